"""How far a stage has come: its state, the time it took, and the files that hold them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mqspn.training.loop.stage import Stage
from mqspn.training.run_folder.stage_state import StageReport, StageState, StateFiles

__all__ = ["StageProgress"]


class StageProgress:
    """A stage's state, from which it goes on after a kill.

    Args:
        stage: whose weights are kept.
        folder: the run's.
        optimiser, scaler: what is kept beside the weights; a scaler only in FP16.
    """

    def __init__(
        self,
        stage: Stage[Any],
        folder: Path,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        self.stage = stage
        self.optimiser = optimiser
        self.scaler = scaler
        self.files = StateFiles(folder, stage.name)
        self.state = StageState(StageReport(stage.name))
        self._clock = time.monotonic()

    @property
    def report(self) -> StageReport:
        return self.state.report

    def resume(self) -> None:
        """Go on from the saved state where there is one; RunFolderError where that can't be."""
        saved = self.files.load()
        if saved is not None:
            if saved.weights:
                self.stage.load_weights(saved.weights)
            if saved.optimiser is not None:
                self.optimiser.load_state_dict(saved.optimiser)
            if saved.scaler is not None and self.scaler is not None:
                self.scaler.load_state_dict(saved.scaler)
            saved.weights, saved.optimiser = {}, None
            self.state = saved
        if self.state.epoch >= self.stage.settings.epochs:
            self.state.finished = True

    def save(self, *, weights: bool) -> None:
        """Write the state to disk; ``weights``: what training goes on from, too."""
        state = self.state
        state.weights = self.stage.kept_weights() if weights else {}
        state.optimiser = None if state.finished else self.optimiser.state_dict()
        state.scaler = None if self.scaler is None else self.scaler.state_dict()
        self.files.save(state)
        state.weights, state.optimiser = {}, None

    def save_best(self) -> None:
        """Write the weights of the epoch that has just ended, the best so far."""
        self.files.save_best(self.state.epoch, self.stage.kept_weights())

    def load_best(self) -> None:
        """Give the stage the weights of its best epoch, where it has one."""
        if self.report.best_epoch is not None:
            self.stage.load_weights(self.files.load_best(self.report.best_epoch))

    def add_step(self, losses: Mapping[str, float], *, batches: int, items: int) -> None:
        """Count one optimiser step on ``batches`` batches of ``items`` items together."""
        state = self.state
        for name, value in losses.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        state.batch += batches
        state.report.items += items

    def end_epoch(self, row: dict[str, float]) -> bool:
        """Go to the next epoch, or finish; whether the one that ended is the best so far.

        ``row``: the epoch's mean losses, and its scores where the stage is scored.
        """
        stage, state, report = self.stage, self.state, self.report
        report.epochs.append(row)
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}
        best = stage.scored and (report.best_score is None or row["score"] >= report.best_score)
        if best:
            report.best_score, report.best_epoch = row["score"], state.epoch
        patience = stage.settings.patience
        state.finished = state.epoch >= stage.settings.epochs
        if not state.finished and 0 < patience <= _epochs_without_gain(
            report.epochs, stage.patience_from
        ):
            state.finished, report.stopped = True, state.epoch
        return best

    def start_clock(self) -> None:
        """Leave out the time until now."""
        self._clock = time.monotonic()

    def lap(self, *, training: bool = False) -> None:
        """Add the time since the last lap to the report."""
        now = time.monotonic()
        report = self.report
        report.seconds += now - self._clock
        if training:
            report.training_seconds += now - self._clock
            report.posts_per_second = round(report.items / max(report.training_seconds, 1e-9), 2)
        self._clock = now


def _epochs_without_gain(rows: Sequence[Mapping[str, float]], first: int) -> int:
    """How many epochs, but for the ``first``, ago the score was last better than ever before.

    0 before the first score above 0: until then a network has not begun to answer.
    """
    best, since = 0.0, 0
    for epoch, row in enumerate(rows):
        if row["score"] > best:
            best, since = row["score"], 0
        elif best > 0 and epoch >= first:
            since += 1
    return since
