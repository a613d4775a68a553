"""One training stage: AdamW, warm-up and decay, on one process or several, exact after a kill.

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from mqspn.settings import StageSettings
from mqspn.training.loop.batching import draw_batches
from mqspn.training.loop.logs import TrainingLogs
from mqspn.training.loop.optimiser import build_optimiser, learning_rate_factor, set_learning_rate
from mqspn.training.run_folder.stage_state import StageReport, StageState, StateFiles

__all__ = ["Stage", "StageReport"]

BatchT = TypeVar("BatchT")
_LOG_EVERY = 10  # steps
_ADVICE = "start again in another --run folder with a lower learning_rate"


@dataclass(kw_only=True)
class Stage(Generic[BatchT]):
    """What `run` needs of a stage.

    ``module`` takes a batch and gives a mapping of scalars with "loss". ``groups`` are optimiser
    parameter groups, see `mqspn.training.loop.optimiser.build_optimiser`. ``frozen`` parts of
    ``module`` stay in evaluation mode, learn nothing and are not kept. ``items``: how many items
    an epoch goes through, ``batch_items`` at a time over all processes, of like ``lengths``
    (items,) where those are given. ``make`` gives the batch of some items in an epoch.
    ``score`` (asked of one process after each epoch) gives a mapping with "score", higher being
    better: where it is given the best epoch's weights are kept (of equals the last), else the last
    one's. ``patience_from``: so many epochs do not count against patience.

    Raises ValueError for a patience without a score to measure it by.
    """

    name: str
    module: nn.Module
    groups: Sequence[dict[str, Any]]
    settings: StageSettings
    seed: int
    items: int
    batch_items: int
    make: Callable[[int, NDArray[np.int64]], BatchT]
    lengths: NDArray[np.int64] | None = None
    frozen: Sequence[nn.Module] = ()
    before_epoch: Callable[[int], None] = lambda epoch: None
    score: Callable[[], Mapping[str, float]] | None = None
    patience_from: int = 0

    def __post_init__(self) -> None:
        if self.settings.patience and self.score is None:
            raise ValueError(
                f"training.{self.name}.patience needs a score on dev, and this stage has none "
                "with these data; set it to 0"
            )

    def run(
        self,
        folder: Path,
        accelerator: Accelerator,
        *,
        save_every_minutes: float = 5.0,
        progress: bool = True,
    ) -> StageReport:
        """Train to the end, from ``folder``'s saved state where there is one.

        Leaves ``module`` with the kept weights, in evaluation mode. Raises FloatingPointError
        where the loss or a weight is not a number, ValueError for a state that can't be gone on
        from.
        """
        return _StageRun(self, folder, accelerator, save_every_minutes, progress).run()

    def batches(self, epoch: int, processes: int) -> list[NDArray[np.int64]]:
        """The items of each batch of ``epoch``, over all processes."""
        return draw_batches(
            self.items,
            self.batch_items,
            np.random.default_rng([self.seed, epoch]),
            lengths=self.lengths,
            processes=processes,
        )

    def kept_weights(self) -> dict[str, Tensor]:
        """Every parameter and buffer of ``module`` that is not in a frozen part."""
        frozen = {id(part) for part in self.frozen}
        prefixes = tuple(
            f"{name}." for name, part in self.module.named_modules() if id(part) in frozen
        )
        return {k: v for k, v in self.module.state_dict().items() if not k.startswith(prefixes)}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take `kept_weights`, all of them; ValueError where they are another network's."""
        own = self.kept_weights()
        if own.keys() != weights.keys() or any(own[k].shape != w.shape for k, w in weights.items()):
            raise ValueError(
                f"the saved state of {self.name} is another network's; name another --run folder"
            )
        self.module.load_state_dict(weights, strict=False)


@dataclass
class _StageRun(Generic[BatchT]):
    """One call of `Stage.run`."""

    stage: Stage[BatchT]
    folder: Path
    accelerator: Accelerator
    save_every_minutes: float
    progress: bool
    clock: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        stage = self.stage
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files = StateFiles(self.folder, stage.name)
        self.main = self.accelerator.is_main_process
        self.state = StageState(StageReport(stage.name))
        self.per_epoch = len(stage.batches(0, self.accelerator.num_processes))
        self.steps = math.ceil(self.per_epoch / stage.settings.accumulation)
        for part in stage.frozen:
            part.requires_grad_(False)
        self.parameters = [p for group in stage.groups for p in group["params"]]
        self.optimiser = build_optimiser(stage.groups, stage.settings)
        self.wrapped: nn.Module | None = None
        self.learning: list[bool] = []
        self.logs: TrainingLogs | None = None

    def run(self) -> StageReport:
        stage, state = self.stage, self._resume()
        state.finished = state.finished or state.epoch >= stage.settings.epochs
        if not state.finished and self.main:
            first = state.epoch * self.steps + state.batch // stage.settings.accumulation
            self.logs = TrainingLogs(self.folder / "logs", stage.name, first_step=first)
        while not state.finished:
            self._epoch()
            self._finish_epoch()
        if self.logs is not None:
            self.logs.close()
        self.accelerator.wait_for_everyone()
        if state.report.best_epoch is not None:
            stage.load_weights(self.files.load_best(state.report.best_epoch))
        self._unwrap()
        stage.module.eval()
        return state.report

    def _resume(self) -> StageState:
        saved = self.files.load()
        if saved is not None:
            if saved.weights:
                self.stage.load_weights(saved.weights)
            if saved.optimiser is not None:
                self.optimiser.load_state_dict(saved.optimiser)
            if saved.scaler is not None and self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(saved.scaler)
            saved.weights, saved.optimiser = {}, None
            self.state = saved
        return self.state

    def _epoch(self) -> None:
        """The steps of the epoch that are left."""
        stage, state = self.stage, self.state
        stage.module.train()
        for part in stage.frozen:
            part.eval()
        stage.before_epoch(state.epoch)
        self._wrap()
        batches = stage.batches(state.epoch, self.accelerator.num_processes)
        accumulation = stage.settings.accumulation
        self.clock, saved_at = time.monotonic(), time.monotonic()
        bar = tqdm(
            range(state.batch, len(batches), accumulation),
            total=self.steps,
            initial=state.batch // accumulation,
            desc=f"{stage.name} {state.epoch + 1}/{stage.settings.epochs}",
            unit="step",
            disable=not (self.progress and self.main),
            mininterval=2.0,
        )
        for first in bar:
            group = batches[first : first + accumulation]
            step = state.epoch * self.steps + first // accumulation
            losses = self._step(step, first, group)
            for name, value in losses.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            state.batch = first + len(group)
            state.report.items += sum(len(batch) for batch in group)
            bar.set_postfix(loss=f"{state.sums['loss'] / (1 + first // accumulation):.3f}")
            if self.logs is not None and step % _LOG_EVERY == 0:
                self._log(step, losses)
            if self.main and time.monotonic() - saved_at >= 60 * self.save_every_minutes:
                self._lap(training=True)
                self._check_weights()
                self._save(weights=True)
                self._lap()
                saved_at = time.monotonic()
        self._lap(training=True)

    def _step(self, step: int, first: int, group: Sequence[NDArray[np.int64]]) -> dict[str, float]:
        """One optimiser step on the mean gradient of a group of batches; their mean losses."""
        stage, state, accelerator = self.stage, self.state, self.accelerator
        rank, processes = accelerator.process_index, accelerator.num_processes
        assert self.wrapped is not None
        names: list[str] = []
        total: Tensor | float = 0.0
        for i, items in enumerate(group):
            _seed(stage.seed, state.epoch, first + i, rank)
            batch = stage.make(state.epoch, items[rank::processes])
            last = i + 1 == len(group)
            with nullcontext() if last else accelerator.no_sync(self.wrapped):
                losses = self.wrapped(batch)
                accelerator.backward(losses["loss"] / len(group))
            names = list(losses)
            total = total + torch.stack([losses[n].detach().float() for n in names]) / len(group)
        values = accelerator.reduce(total, "mean").tolist()
        means: dict[str, float] = dict(zip(names, values, strict=True))
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(
                f"{stage.name}: the loss is {means['loss']} in epoch {state.epoch + 1}; {_ADVICE}"
            )
        settings = stage.settings
        accelerator.clip_grad_norm_(self.parameters, settings.clip_norm)
        factor = learning_rate_factor(
            step, total=max(1, settings.epochs * self.steps), warmup=settings.warmup
        )
        set_learning_rate(self.optimiser, factor)
        self.prepared.step()
        self.prepared.zero_grad(set_to_none=True)
        return means

    def _finish_epoch(self) -> None:
        """Score, keep the best weights and the state, and see whether that was the last epoch."""
        stage, state = self.stage, self.state
        self._check_weights()
        row = {name: value / self.steps for name, value in state.sums.items()}
        stage.module.eval()
        if stage.score is not None:
            scored: list[Any] = [dict(stage.score()) if self.main else None]
            broadcast_object_list(scored)
            row |= scored[0]
        report = state.report
        report.epochs.append(row)
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, {}
        if stage.score is not None and (
            report.best_score is None or row["score"] >= report.best_score
        ):
            report.best_score, report.best_epoch = row["score"], state.epoch
            if self.main:
                self.files.save_best(state.epoch, stage.kept_weights())
        patience = stage.settings.patience
        state.finished = state.epoch >= stage.settings.epochs
        if not state.finished and 0 < patience <= _epochs_without_gain(
            report.epochs, stage.patience_from
        ):
            state.finished, report.stopped = True, state.epoch
        self._lap()
        if self.main:
            self._save(weights=not state.finished or report.best_epoch is None)
            tqdm.write(
                f"{stage.name} epoch {state.epoch}: "
                f"{json.dumps({k: round(v, 4) for k, v in row.items()})}"
            )
        if self.logs is not None:
            self.logs.write(
                state.epoch * self.steps, {f"epoch/{name}": value for name, value in row.items()}
            )

    def _log(self, step: int, losses: Mapping[str, float]) -> None:
        assert self.logs is not None
        report = self.state.report
        self._lap(training=True)
        rates = {g["base_lr"]: g["lr"] for g in self.optimiser.param_groups}
        named = {f"learning_rate_{base:g}": rate for base, rate in rates.items()}
        self.logs.write(step, {**losses, **named, "posts_per_second": report.posts_per_second or 0})

    def _save(self, *, weights: bool) -> None:
        """Write the state to disk; ``weights``: what training goes on from, too."""
        state, scaler = self.state, self.accelerator.scaler
        state.weights = self.stage.kept_weights() if weights else {}
        state.optimiser = None if state.finished else self.optimiser.state_dict()
        state.scaler = None if scaler is None else scaler.state_dict()
        self.files.save(state)
        state.weights, state.optimiser = {}, None

    def _check_weights(self) -> None:
        """Before they are scored or kept: a step may spoil weights whose loss was finite."""
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            raise FloatingPointError(
                f"{self.stage.name}: a weight is not a finite number in epoch "
                f"{self.state.epoch + 1}; {_ADVICE}"
            )

    def _lap(self, *, training: bool = False) -> None:
        """Add the time since the last lap to the report."""
        now = time.monotonic()
        report = self.state.report
        report.seconds += now - self.clock
        if training:
            report.training_seconds += now - self.clock
            report.posts_per_second = round(report.items / max(report.training_seconds, 1e-9), 2)
        self.clock = now

    def _wrap(self) -> None:
        """Make ``wrapped`` of the module, anew where other parameters learn than before."""
        learning = [p.requires_grad for p in self.stage.module.parameters()]
        if self.wrapped is None or learning != self.learning:
            self._unwrap()
            self.wrapped = self.accelerator.prepare_model(self.stage.module)
            self.prepared = self.accelerator.prepare_optimizer(self.optimiser)
            self.learning = learning

    def _unwrap(self) -> None:
        if self.wrapped is not None:
            self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
            self.wrapped = None
        self.accelerator.free_memory()  # what it holds of an earlier wrapping


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


def _seed(*parts: int) -> None:
    value = int(np.random.default_rng(parts).integers(2**32))
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
