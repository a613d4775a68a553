"""A stage's files: what was saved comes back, and what is damaged is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mqspn.training.run_folder.stage_state import StageReport, StageState, StateFiles


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def overwrite(path: Path) -> None:
    path.write_text("hello world")


def replace_by_a_list(path: Path) -> None:
    torch.save([1, 2], path)


DAMAGE = [empty, cut, flip, overwrite, replace_by_a_list]


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    files = StateFiles(tmp_path, "network")
    files.save_best(1, {"weight": torch.ones(1000)})
    report = StageReport(name="network", best_score=0.5, best_epoch=1)
    files.save(StageState(report=report, epoch=2, weights={"weight": torch.zeros(1000)}))
    return files


def test_what_was_saved_comes_back(files: StateFiles) -> None:
    state = files.load()
    assert state is not None
    assert state.epoch == 2
    assert state.report.best_score == 0.5
    assert not state.weights["weight"].any()
    assert files.load_best(1)["weight"].all()
    assert sorted(path.name for path in files.folder.iterdir()) == [
        "network.best-1.pt",
        "network.pt",
    ]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_named(damage: Callable[[Path], None], files: StateFiles) -> None:
    damage(files.path)
    with pytest.raises(ValueError, match=r"network\.pt is damaged or no state"):
        files.load()


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_weights_do_not_reach_a_checkpoint(
    damage: Callable[[Path], None], files: StateFiles
) -> None:
    damage(files.folder / "network.best-1.pt")
    with pytest.raises(ValueError, match=r"network\.best-1\.pt is damaged or no state"):
        files.load_best(1)


def test_weights_that_are_gone_are_named(files: StateFiles) -> None:
    with pytest.raises(ValueError, match=r"network\.best-3\.pt is missing"):
        files.load_best(3)
