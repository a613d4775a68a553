"""`mqspn train`: the run's folder beside its output, and settings that make no encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.errors import BuildError
from mqspn.training import command


@pytest.fixture
def train_calls(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The run folders that the command trains in."""
    runs: list[Path] = []
    monkeypatch.setattr("mqspn.training.train.train", lambda *_, run, **__: runs.append(run))
    return runs


@pytest.mark.parametrize(
    ("output", "run"),
    [("out", "out.run"), ("a/out/", "a/out.run"), (".", "../here.run"), ("..", "../../top.run")],
)
def test_the_run_folder_is_beside_the_output(
    output: str,
    run: str,
    train_calls: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "top" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    command.train(data=Path("data"), output=Path(output))
    (made,) = train_calls
    assert made.resolve() == (here / run).resolve()


def test_a_linked_output_keeps_its_run_folder(train_calls: list[Path], tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "target")
    command.train(data=Path("data"), output=link)
    assert train_calls == [tmp_path / "out.run"]


def test_an_output_without_a_name_needs_a_run_folder(train_calls: list[Path]) -> None:
    with pytest.raises(BuildError, match=r"--output / has no name .*; give --run"):
        command.train(data=Path("data"), output=Path("/"))
    command.train(data=Path("data"), output=Path("/"), run=Path("run"))
    assert train_calls == [Path("run")]
