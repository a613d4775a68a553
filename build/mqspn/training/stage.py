"""One training stage: AdamW, warm-up and decay, progress bar, checkpoint after every epoch, resume.

A stage killed at any time goes on from its last whole epoch with the same numbers: batches are
drawn from a generator seeded by the run's seed and the epoch.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mqspn.settings import StageSettings

__all__ = ["Stage", "StageReport"]

BatchT = TypeVar("BatchT")


@dataclass
class StageReport:
    """What a stage did: seconds of training, losses of each epoch, the best development score."""

    name: str
    seconds: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None


@dataclass(kw_only=True)
class Stage(Generic[BatchT]):
    """What `run` needs of a stage.

    ``batches`` gives epoch e's batches from a generator seeded for it, ``steps`` their number.
    ``loss`` gives a mapping with "loss". ``score`` (higher is better) is asked after each epoch;
    where it is given the best epoch's weights are kept (of equals
    the last), else the last one's. ``groups`` are
    optimiser parameter groups.
    """

    name: str
    module: nn.Module
    groups: Sequence[dict[str, Any]]
    settings: StageSettings
    seed: int
    steps: int
    batches: Callable[[int, np.random.Generator], Iterable[BatchT]]
    loss: Callable[[BatchT], dict[str, Tensor]]
    before_epoch: Callable[[int], None] = lambda epoch: None
    score: Callable[[], float] | None = None

    def run(self, folder: Path, *, progress: bool = True) -> StageReport:
        """Train to the end, from ``folder``'s saved epoch where there is one.

        Leaves ``module`` with the kept weights, in evaluation mode.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.pt"
        settings = self.settings
        total = max(1, settings.epochs * self.steps)
        warmup = max(1, round(settings.warmup * total))
        optimiser = torch.optim.AdamW(
            list(self.groups), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda s: min((s + 1) / warmup, max(0.0, (total - s) / (total - warmup + 1)))
        )
        report = StageReport(self.name)
        first, best = 0, None
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=False)
            self.module.load_state_dict(state["module"])
            report, best, first = state["report"], state["best"], state["epoch"]
            if first < settings.epochs:
                optimiser.load_state_dict(state["optimiser"])
                schedule.load_state_dict(state["schedule"])
        for epoch in range(first, settings.epochs):
            began = time.monotonic()
            _seed(self.seed, epoch)
            self.module.train()
            self.before_epoch(epoch)
            sums: dict[str, float] = {}
            count = 0
            bar = tqdm(
                self.batches(epoch, np.random.default_rng([self.seed, epoch])),
                total=self.steps,
                desc=f"{self.name} {epoch + 1}/{settings.epochs}",
                unit="step",
                disable=not progress,
                mininterval=2.0,
            )
            for batch in bar:
                losses = self.loss(batch)
                if not torch.isfinite(losses["loss"]):
                    raise FloatingPointError(
                        f"{self.name}: the loss is {losses['loss'].item()} in epoch {epoch + 1}; "
                        "start again in another --run folder with a lower learning_rate"
                    )
                optimiser.zero_grad(set_to_none=True)
                losses["loss"].backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(
                    [p for group in self.groups for p in group["params"]], settings.clip_norm
                )
                optimiser.step()
                schedule.step()
                count += 1
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach())
                bar.set_postfix(loss=f"{sums['loss'] / count:.3f}")
            row = {name: value / max(count, 1) for name, value in sums.items()}
            self.module.eval()
            if self.score is not None:
                score = self.score()
                row["score"] = score
                if report.best_score is None or score >= report.best_score:
                    report.best_score, report.best_epoch = score, epoch + 1
                    best = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
            report.seconds += time.monotonic() - began
            report.epochs.append(row)
            shown = {k: round(v, 4) for k, v in row.items()}
            tqdm.write(f"{self.name} epoch {epoch + 1}: {json.dumps(shown)}")
            partial = path.with_suffix(".partial")
            torch.save(
                {
                    "epoch": epoch + 1,
                    "module": self.module.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "report": report,
                    "best": best,
                },
                partial,
            )
            partial.replace(path)
        if best is not None:
            self.module.load_state_dict(best)
        self.module.eval()
        return report


def _seed(seed: int, epoch: int) -> None:
    value = int(np.random.default_rng([seed, epoch, 1]).integers(2**31))
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
