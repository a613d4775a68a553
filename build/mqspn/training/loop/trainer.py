"""The training loop: AdamW, warm-up and decay, on one process or several, exact after a kill.

Everything random in a batch comes from generators seeded by the run's seed, the epoch and the
batch or its items, and the learning rate is a function of the step: the state on disk is the
position, the weights and the optimiser, and a stage killed at any time goes on with the same
numbers.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from mqspn.training.errors import DivergedError
from mqspn.training.loop.logs import TrainingLogs
from mqspn.training.loop.optimiser import (
    build_optimiser,
    learning_rate_factor,
    set_learning_rate,
)
from mqspn.training.loop.progress import StageProgress
from mqspn.training.loop.stage import BatchT, Stage
from mqspn.training.run_folder.stage_state import StageReport

__all__ = ["Trainer"]

_LOG_EVERY = 10  # steps
_ADVICE = "start again in another --run folder with a lower learning_rate"


class Trainer(Generic[BatchT]):
    """Trains one stage to its end, from the folder's saved state where there is one.

    Args:
        stage: what is trained.
        folder: the run's; the stage's state and the curves go there.
        accelerator: the processes, see `mqspn.training.loop.processes.join_processes`.
        save_every_minutes: how often the state is saved within an epoch; it is at each one's end.
        show_bar: whether the main process shows one.
    """

    def __init__(
        self,
        stage: Stage[BatchT],
        folder: Path,
        accelerator: Accelerator,
        *,
        save_every_minutes: float = 5.0,
        show_bar: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stage = stage
        self.folder = folder
        self.accelerator = accelerator
        self.save_every_minutes = save_every_minutes
        self.main = accelerator.is_main_process
        self.show_bar = show_bar and self.main
        batches = len(stage.batches(0, accelerator.num_processes))
        self.steps = math.ceil(batches / stage.settings.accumulation)  # an epoch
        for part in stage.frozen_parts():
            part.requires_grad_(False)
        groups = stage.parameter_groups()
        self.parameters = [p for group in groups for p in group["params"]]
        self.optimiser = build_optimiser(groups, stage.settings)
        self.progress = StageProgress(stage, folder, self.optimiser, accelerator.scaler)
        self.wrapped: nn.Module | None = None
        self.learning: list[bool] = []
        self.logs: TrainingLogs | None = None

    def run(self) -> StageReport:
        """Train to the end; the stage is left with the kept weights, in evaluation mode.

        Raises DivergedError where the loss or a weight is no finite number, RunFolderError for a
        state that can't be gone on from.
        """
        self.progress.resume()
        state = self.progress.state
        if not state.finished and self.main:
            first = self._step_of(state.batch)
            self.logs = TrainingLogs(self.folder / "logs", self.stage.name, first_step=first)
        while not state.finished:
            self._train_epoch()
            self._end_epoch()
        if self.logs is not None:
            self.logs.close()
        self.accelerator.wait_for_everyone()
        self.progress.load_best()
        self._unwrap()
        self.stage.eval()
        return state.report

    def _train_epoch(self) -> None:
        """Take the steps of the epoch that are left."""
        stage, progress = self.stage, self.progress
        state = progress.state
        stage.train()
        for part in stage.frozen_parts():
            part.eval()
        stage.before_epoch(state.epoch)
        self._wrap()
        batches = stage.batches(state.epoch, self.accelerator.num_processes)
        progress.start_clock()
        saved_at = time.monotonic()
        bar = self._bar(len(batches))
        for first in bar:
            group = batches[first : first + stage.settings.accumulation]
            step = self._step_of(first)
            losses = self._compute_gradients(first, group)
            self._update(step)
            progress.add_step(losses, batches=len(group), items=sum(len(items) for items in group))
            done = step + 1 - state.epoch * self.steps
            bar.set_postfix(loss=f"{state.sums['loss'] / done:.3f}")
            if self.logs is not None and step % _LOG_EVERY == 0:
                self._log(step, losses)
            if self.main and time.monotonic() - saved_at >= 60 * self.save_every_minutes:
                progress.lap(training=True)
                self._check_weights()
                progress.save(weights=True)
                progress.lap()
                saved_at = time.monotonic()
        progress.lap(training=True)

    def _compute_gradients(
        self, first: int, group: Sequence[NDArray[np.int64]]
    ) -> dict[str, float]:
        """Add up the mean gradient of a group of batches; their mean losses.

        ``first``: the first one's number in the epoch.
        """
        stage, accelerator, epoch = self.stage, self.accelerator, self.progress.state.epoch
        rank, processes = accelerator.process_index, accelerator.num_processes
        assert self.wrapped is not None
        names: list[str] = []
        total: Tensor | float = 0.0
        for i, items in enumerate(group):
            _seed(stage.seed, epoch, first + i, rank)
            batch = stage.batch(epoch, items[rank::processes])
            last = i + 1 == len(group)
            with nullcontext() if last else accelerator.no_sync(self.wrapped):
                losses = self.wrapped(batch)  # Stage.loss
                accelerator.backward(losses["loss"] / len(group))
            names = list(losses)
            total = total + torch.stack([losses[n].detach().float() for n in names]) / len(group)
        values = accelerator.reduce(total, "mean").tolist()
        means: dict[str, float] = dict(zip(names, values, strict=True))
        if not math.isfinite(means["loss"]):
            raise DivergedError(
                f"{stage.name}: the loss is {means['loss']} in epoch {epoch + 1}; {_ADVICE}"
            )
        return means

    def _update(self, step: int) -> None:
        """Move the weights along their gradients, clipped, at the step's learning rate."""
        settings = self.stage.settings
        self.accelerator.clip_grad_norm_(self.parameters, settings.clip_norm)
        factor = learning_rate_factor(
            step, total=max(1, settings.epochs * self.steps), warmup=settings.warmup
        )
        set_learning_rate(self.optimiser, factor)
        self.prepared.step()
        self.prepared.zero_grad(set_to_none=True)

    def _end_epoch(self) -> None:
        """Score, keep the best weights and the state, and see whether that was the last epoch."""
        stage, progress = self.stage, self.progress
        state = progress.state
        self._check_weights()
        row = {name: value / self.steps for name, value in state.sums.items()}
        stage.eval()
        if stage.scored:
            scored: list[Any] = [dict(stage.score()) if self.main else None]
            broadcast_object_list(scored)
            row |= scored[0]
        best = progress.end_epoch(row)
        if best and self.main:
            progress.save_best()
        progress.lap()
        if self.main:
            progress.save(weights=not state.finished or state.report.best_epoch is None)
            tqdm.write(
                f"{stage.name} epoch {state.epoch}: "
                f"{json.dumps({k: round(v, 4) for k, v in row.items()})}"
            )
        if self.logs is not None:
            self.logs.write(
                state.epoch * self.steps, {f"epoch/{name}": value for name, value in row.items()}
            )

    def _check_weights(self) -> None:
        """Before they are scored or kept: a step may spoil weights whose loss was finite."""
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            raise DivergedError(
                f"{self.stage.name}: a weight is not a finite number in epoch "
                f"{self.progress.state.epoch + 1}; {_ADVICE}"
            )

    def _step_of(self, batch: int) -> int:
        """The step, counted from the stage's beginning, of a batch of this epoch."""
        return self.progress.state.epoch * self.steps + batch // self.stage.settings.accumulation

    def _bar(self, batches: int) -> tqdm[int]:
        """The first batch of each step that is left of an epoch of ``batches``."""
        settings, state = self.stage.settings, self.progress.state
        return tqdm(
            range(state.batch, batches, settings.accumulation),
            total=self.steps,
            initial=state.batch // settings.accumulation,
            desc=f"{self.stage.name} {state.epoch + 1}/{settings.epochs}",
            unit="step",
            disable=not self.show_bar,
            mininterval=2.0,
        )

    def _log(self, step: int, losses: Mapping[str, float]) -> None:
        assert self.logs is not None
        self.progress.lap(training=True)
        rates = {g["base_lr"]: g["lr"] for g in self.optimiser.param_groups}
        named = {f"learning_rate_{base:g}": rate for base, rate in rates.items()}
        speed = self.progress.report.posts_per_second or 0
        self.logs.write(step, {**losses, **named, "posts_per_second": speed})

    def _wrap(self) -> None:
        """Make ``wrapped`` of the stage, anew where other parameters learn than before."""
        learning = [p.requires_grad for p in self.stage.parameters()]
        if self.wrapped is None or learning != self.learning:
            self._unwrap()
            self.wrapped = self.accelerator.prepare_model(self.stage)
            self.prepared = self.accelerator.prepare_optimizer(self.optimiser)
            self.learning = learning

    def _unwrap(self) -> None:
        if self.wrapped is not None:
            self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
            self.wrapped = None
        self.accelerator.free_memory()  # what it holds of an earlier wrapping


def _seed(*parts: int) -> None:
    """Seed every global generator, for what a layer draws, as dropout does."""
    value = int(np.random.default_rng(parts).integers(2**32))
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
