"""A stage's state on disk, from which it goes on after a kill as if nothing had happened.

`<stage>.pt` holds the position, the report, the trained weights, the optimiser and the gradient
scaler; `<stage>.best-<epoch>.pt` the weights of the best epoch. What is frozen is in neither.
No random state is kept, for there is none: whatever a batch draws comes from generators seeded for
that batch. A file is replaced in one step, after its bytes have reached the disk.
"""

from __future__ import annotations

import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mqspn.files.replace import replacing
from mqspn.training.errors import RunFolderError

__all__ = ["StageReport", "StageState", "StateFiles"]

_FORMAT = 2


@dataclass
class StageReport:
    """What a stage did: losses and scores of each epoch, the best score, the speed.

    ``seconds`` is all of the stage's time, over all resumes; ``training_seconds`` that of its
    steps alone, in which ``items`` posts were learnt from. ``stopped``: the epoch after which
    patience ended it.
    """

    name: str
    seconds: float = 0.0
    training_seconds: float = 0.0
    items: int = 0
    posts_per_second: float | None = None
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    stopped: int | None = None


@dataclass
class StageState:
    """Where a stage stands: ``batch`` batches of epoch ``epoch`` are done.

    ``sums`` are the epoch's losses, summed over its steps. ``weights`` are the trained ones, empty
    once a finished stage has those of its best epoch.
    """

    report: StageReport
    epoch: int = 0
    batch: int = 0
    finished: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] | None = None
    scaler: dict[str, Any] | None = None


class StateFiles:
    """The files of one stage in a run's folder."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder = folder
        self.stage = stage
        self.path = folder / f"{stage}.pt"

    def load(self) -> StageState | None:
        """Read the state, its tensors on the CPU; None where the stage has not begun.

        Raises RunFolderError where the file is not one of this version's.
        """
        if not self.path.is_file():
            return None
        values = _load(self.path)
        if values.pop("format", None) != _FORMAT:
            raise _unreadable(self.path)
        return StageState(**{**values, "report": StageReport(**values["report"])})

    def save(self, state: StageState) -> None:
        """Replace the state, then drop the weights of epochs that it no longer calls the best."""
        values = {**vars(state), "report": asdict(state.report), "format": _FORMAT}
        _save(values, self.path)
        best = state.report.best_epoch
        for path in self.folder.glob(f"{self.stage}.best-*.pt"):
            if best is None or path != self._best(best):
                path.unlink()

    def save_best(self, epoch: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights of ``epoch``; before the state that calls it the best is saved."""
        _save(weights, self._best(epoch))

    def load_best(self, epoch: int) -> dict[str, Tensor]:
        """Read the weights of ``epoch``; RunFolderError where they are gone."""
        path = self._best(epoch)
        if not path.is_file():
            raise RunFolderError(f"{path} is missing from the run; name another --run folder")
        return _load(path)

    def _best(self, epoch: int) -> Path:
        return self.folder / f"{self.stage}.best-{epoch}.pt"


def _save(values: dict[str, Any], path: Path) -> None:
    with replacing(path) as file:
        torch.save(values, file)


def _load(path: Path) -> dict[str, Any]:
    try:
        # torch.load does not look at the archive's checksums.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a file that is something else makes torch raise is anything
        raise _unreadable(path) from error
    if damaged is not None or not isinstance(values, dict):
        raise _unreadable(path)
    return values


def _unreadable(path: Path) -> RunFolderError:
    return RunFolderError(
        f"{path} is damaged or no state of a run of this version, and can't be gone on from; name "
        "another --run folder, or delete this one"
    )
