"""The command: its parts are mounted, and what a user can mend is one plain line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mqspn_client
import pytest
from mqspn.cli import app, main
from typer.testing import CliRunner


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    script = code or "from mqspn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_is_there() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert names == {
        "draw-posts",
        "train",
        "evaluate",
        "tune",
        "propose",
        "ablate",
        "compile",
        "sensitivity",
        "export",
        "build",
        "serve",
        "predict",
        "batch",
    }
    assert groups == {"data"}
    assert run("evaluate", "--help").returncode == 0


def test_it_says_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"mqspn {mqspn_client.__version__}\n")


def test_the_version_waits_until_it_is_asked_for() -> None:
    code = (
        "import sys, mqspn; assert 'mqspn_client' not in sys.modules; print(mqspn.__version__)\n"
        "assert not hasattr(mqspn, '__versoin__')"
    )
    ran = run(code=code)
    assert (ran.returncode, ran.stdout) == (0, f"{mqspn_client.__version__}\n")


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['yaml'] = None\n"
        "from mqspn.cli import main; main()"
    )
    assert run("--help", code=code).returncode == 0
    missing = run("evaluate", "--data", ".", "--checkpoint", ".", code=code)
    assert missing.returncode == 1
    assert "pip install 'mqspn-triton[build]'" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "--checkpoint", "nowhere", "--output", "x"), "not a checkpoint"),
        (
            ("train", "--data", "nowhere", "--output", "x", "--settings", "dmo"),
            "base, base_untrained, demo",
        ),
        (
            ("train", "--data", "nowhere", "--output", "x", "--set", "network.layerz=2"),
            "did you mean 'network.layers'",
        ),
        (("train", "--data", "nowhere", "--output", "x"), "no split 'train' in nowhere"),
        (("evaluate", "--data", "nowhere"), "--checkpoint DIR or --url"),
        (
            ("build", "--checkpoint", "nowhere", "--output", "x", "--cuda-fp16"),
            "fp16 is for tensorrt",
        ),
        (("draw-posts", "--split", "tset", "--count", "1", "--output", "x"), "tset"),
    ],
)
def test_errors_are_plain(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mqspn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())


def test_draw_posts_can_be_read_back(tmp_path: Path) -> None:
    assert (
        run(
            "draw-posts", "--split", "dev", "--count", "3", "--seed", "4", "--output", str(tmp_path)
        ).returncode
        == 0
    )
    stats = run("data", "stats", str(tmp_path), "--json")
    assert stats.returncode == 0
    assert json.loads(stats.stdout)["dev"]["posts"] == 3
