"""The commit that `compare.py --against` names."""

from __future__ import annotations

from compare import app
from typer.testing import CliRunner


def test_a_commit_that_git_does_not_know_is_wrong_usage(tmp_path):
    done = CliRunner().invoke(app, ["--against", "nosuchcommit", "--output", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "there is no commit 'nosuchcommit' here" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
