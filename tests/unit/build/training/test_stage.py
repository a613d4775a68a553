"""A killed stage goes on from its last whole epoch with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mqspn.settings import StageSettings
from mqspn.training.stage import Stage
from torch import Tensor, nn


class KilledError(Exception):
    pass


def make_stage(
    epochs: int = 4, kill_at: int | None = None, scores: list[float] | None = None
) -> Stage[Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    left = list(scores or [])

    def batches(epoch: int, random: np.random.Generator) -> Iterator[Tensor]:
        for step in range(5):
            if kill_at is not None and (epoch, step) == (kill_at, 2):
                raise KilledError
            yield torch.from_numpy(random.standard_normal((4, 3)).astype(np.float32))

    return Stage(
        name="toy",
        module=module,
        groups=[{"params": list(module.parameters())}],
        settings=StageSettings(epochs=epochs, learning_rate=0.05),
        seed=5,
        steps=5,
        batches=batches,
        loss=lambda batch: {"loss": (module(batch) - batch.sum(1, keepdim=True)).square().mean()},
        score=(lambda: left.pop(0)) if scores else None,
    )


def weights(stage: Stage[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in stage.module.parameters()]


def test_resume_after_a_kill_changes_nothing(tmp_path: Path) -> None:
    whole = make_stage()
    expected = whole.run(tmp_path / "whole", progress=False)
    with pytest.raises(KilledError):
        make_stage(kill_at=2).run(tmp_path / "killed", progress=False)
    resumed = make_stage()
    report = resumed.run(tmp_path / "killed", progress=False)
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert report.epochs == expected.epochs


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    first = make_stage()
    first.run(tmp_path, progress=False)
    again = make_stage(kill_at=0)
    again.run(tmp_path, progress=False)
    for a, b in zip(weights(first), weights(again), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_the_best_epochs_weights_are_kept(tmp_path: Path) -> None:
    two = make_stage(epochs=4)
    captured: list[list[Tensor]] = []
    two.score = lambda: [0.1, 0.9, 0.3, 0.2][len(captured) - 1]
    original = two.score

    def score() -> float:
        captured.append(weights(two))
        return original()

    two.score = score
    report = two.run(tmp_path, progress=False)
    assert (report.best_epoch, report.best_score) == (2, 0.9)
    for a, b in zip(weights(two), captured[1], strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    report = make_stage(epochs=12).run(tmp_path, progress=False)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    stage = make_stage()
    stage.loss = lambda batch: {"loss": batch.sum() * float("nan")}
    with pytest.raises(FloatingPointError, match="learning_rate"):
        stage.run(tmp_path, progress=False)
