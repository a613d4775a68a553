"""The training loop: exact after a kill, its best epoch, patience, accumulation, precision."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from mqspn.settings import MixedPrecision, StageSettings
from mqspn.training.errors import DivergedError, RunFolderError, TrainingError
from mqspn.training.loop.processes import join_processes
from mqspn.training.loop.stage import Stage
from mqspn.training.loop.trainer import Trainer
from mqspn.training.run_folder.stage_state import StageReport, StageState, StateFiles
from numpy.typing import NDArray
from torch import Tensor, nn

ITEMS, BATCH, STEPS = 19, 4, 5
DATA = np.random.default_rng(3).standard_normal((ITEMS, 3)).astype(np.float32)


class Regression(Stage[Tensor]):
    """Dropout, a batch normalisation's buffers, a frozen part, and a part frozen at first."""

    def __init__(self, settings: StageSettings, scores: list[float]) -> None:
        super().__init__(
            name="toy",
            settings=settings,
            seed=5,
            items=ITEMS,
            batch_items=BATCH,
            scored=bool(scores),
        )
        self.frozen = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        self.late = nn.Linear(3, 8)
        self.rest = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.scores = list(scores)

    def batch(self, epoch: int, items: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(DATA[items])

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        predicted = self.rest(self.late(batch + self.frozen(batch).detach()))
        loss = (predicted - batch.sum(1, keepdim=True)).square().mean()
        return {"loss": loss, "half": loss / 2}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [
            {"params": list(self.late.parameters()), "lr": 0.01},
            {"params": list(self.rest.parameters())},
        ]

    def frozen_parts(self) -> Sequence[nn.Module]:
        return [self.frozen]

    def before_epoch(self, epoch: int) -> None:
        self.late.requires_grad_(epoch > 0)

    def score(self) -> Mapping[str, float]:
        return {"score": self.scores.pop(0), "other": 0.5}


def make_stage(
    settings: StageSettings | None = None, scores: list[float] | None = None
) -> Regression:
    torch.manual_seed(0)
    default = StageSettings(epochs=4, batch_size=BATCH, learning_rate=0.05)
    return Regression(settings or default, scores or [])


def cpu(precision: MixedPrecision = "no") -> Accelerator:
    return join_processes("cpu", precision)


def run(stage: Regression, folder: Path) -> StageReport:
    return Trainer(stage, folder, cpu(), save_every_minutes=0, show_bar=False).run()


def weights(stage: Regression) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in stage.state_dict().items()}


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def run_until_killed(
    folder: Path,
    values: dict[str, Any],
    scores: list[float] | None,
    at: str,
    after: int,
    threads: int,
) -> None:
    """A run that is killed when it comes to the point ``at`` for the time ``after`` + 1."""
    torch.set_num_threads(threads)  # sums are then the same to the last bit
    left = [after]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*arguments, **keywords)

        return wrapped

    stage = make_stage(StageSettings(**values), scores)
    with pytest.MonkeyPatch.context() as patch:
        if at == "batch":
            patch.setattr(stage, "batch", counted(stage.batch))
        elif at == "written":  # the bytes are there, under the partial name
            patch.setattr(Path, "replace", counted(Path.replace))
        elif at == "saved":
            patch.setattr(StateFiles, "save", counted(StateFiles.save))
        run(stage, folder)


@pytest.mark.parametrize(
    ("settings", "scores", "at", "after"),
    [
        ({}, None, "batch", 7),  # in the second epoch
        ({"accumulation": 2}, [0.1, 0.5, 0.2, 0.3], "batch", 13),  # between two batches of a step
        ({}, [0.1, 0.5, 0.2, 0.3], "written", 13),  # in the middle of a save
        ({}, [0.1, 0.5, 0.2, 0.3], "saved", 5),  # best weights written, the state not yet
    ],
)
def test_kill_9_changes_nothing(
    tmp_path: Path,
    settings: dict[str, int],
    scores: list[float] | None,
    at: str,
    after: int,
    fork_server: ForkServerContext,
) -> None:
    values: dict[str, Any] = {"epochs": 4, "batch_size": BATCH, "learning_rate": 0.05, **settings}
    whole = make_stage(StageSettings(**values), scores)
    expected = run(whole, tmp_path / "whole")
    killed = fork_server.Process(
        target=run_until_killed,
        args=(tmp_path / "killed", values, scores, at, after, torch.get_num_threads()),
    )
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    state = StateFiles(tmp_path / "killed", "toy").load()
    assert state is not None
    assert not state.finished
    resumed = make_stage(StageSettings(**values), (scores or [])[state.epoch :] or None)
    report = run(resumed, tmp_path / "killed")
    assert_equal(weights(resumed), weights(whole))
    assert report.epochs == expected.epochs
    assert (report.items, report.best_epoch) == (expected.items, expected.best_epoch)
    assert not list((tmp_path / "killed").glob("*.partial")) or at == "written"


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    for scores in (None, [0.2, 0.3, 0.1, 0.1]):
        folder = tmp_path / str(scores)
        first = make_stage(scores=scores)
        expected = run(first, folder)
        again = make_stage(scores=scores)

        def fail(epoch: int, items: NDArray[np.int64]) -> Tensor:
            raise AssertionError("trained again")

        again.batch = fail  # type: ignore[method-assign]
        assert run(again, folder) == expected
        assert_equal(weights(again), weights(first))


def test_frozen_parts_are_never_kept(tmp_path: Path) -> None:
    stage = make_stage(scores=[0.1, 0.2, 0.3, 0.4])
    before = weights(stage)
    run(stage, tmp_path)
    best = StateFiles(tmp_path, "toy").load_best(4)
    assert best.keys() == {k for k in before if not k.startswith("frozen.")}
    assert "rest.0.running_mean" in best
    for name, value in weights(stage).items():
        assert torch.equal(value, before[name]) == name.startswith("frozen."), name
    assert [p.name for p in tmp_path.glob("*.pt")] != []
    assert {p.name for p in tmp_path.glob("*.pt")} == {"toy.pt", "toy.best-4.pt"}


def test_the_best_epochs_weights_are_kept(tmp_path: Path) -> None:
    two = make_stage(scores=[0.1])
    captured: list[dict[str, Tensor]] = []

    def score() -> Mapping[str, float]:
        captured.append(weights(two))
        return {"score": [0.1, 0.9, 0.3, 0.2][len(captured) - 1]}

    two.score = score  # type: ignore[method-assign]
    report = run(two, tmp_path)
    assert (report.best_epoch, report.best_score) == (2, 0.9)
    assert_equal(weights(two), captured[1])


def test_patience_counts_epochs_without_a_better_score(tmp_path: Path) -> None:
    settings = StageSettings(epochs=9, batch_size=BATCH, learning_rate=0.05, patience=2)
    stage = make_stage(settings, [0.1, 0.3, 0.2, 0.3, 0.9])
    report = run(stage, tmp_path)
    assert [row["score"] for row in report.epochs] == [0.1, 0.3, 0.2, 0.3]
    assert (report.stopped, report.best_epoch) == (4, 4)  # an equal score is kept, but no better
    assert run(make_stage(settings, [1.0]), tmp_path) == report


def test_patience_waits_for_a_first_score_and_for_frozen_epochs(tmp_path: Path) -> None:
    settings = StageSettings(epochs=9, batch_size=BATCH, learning_rate=0.05, patience=2)
    slow = make_stage(settings, [0.0, 0.0, 0.0, 0.0, 0.2, 0.1, 0.2, 0.9])
    report = run(slow, tmp_path / "slow")
    assert (report.stopped, report.best_epoch) == (7, 7)
    frozen = make_stage(settings, [0.3, 0.2, 0.2, 0.2, 0.2, 0.9])
    frozen.patience_from = 3
    assert run(frozen, tmp_path / "frozen").stopped == 5


def test_patience_without_a_score_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"training\.toy\.patience needs a score"):
        make_stage(StageSettings(epochs=2, patience=1))


def test_gradients_are_clipped_and_rates_follow_the_schedule(tmp_path: Path) -> None:
    settings = StageSettings(
        epochs=2, batch_size=BATCH, learning_rate=0.05, clip_norm=0.01, warmup=0.4
    )
    stage = make_stage(settings)
    rates: list[tuple[float, ...]] = []
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def step(optimiser: torch.optim.AdamW, *arguments: object) -> object:
        gradients = [p.grad.flatten() for p in stage.parameters() if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        rates.append(tuple(sorted({group["lr"] for group in optimiser.param_groups})))
        return original(optimiser, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        run(stage, tmp_path)
    assert norms == pytest.approx([0.01] * 2 * STEPS, rel=1e-3)  # all were longer
    # Ten steps: four of warm-up, then down by sevenths; `late` has a base rate of its own.
    factors = [1 / 4, 2 / 4, 3 / 4, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]
    assert [low for low, _ in rates] == pytest.approx([0.01 * f for f in factors])
    assert [high for _, high in rates] == pytest.approx([0.05 * f for f in factors])


@pytest.mark.parametrize("scores", [None, [0.9]])
def test_weights_that_the_last_step_spoilt_are_not_kept(
    tmp_path: Path, scores: list[float] | None
) -> None:
    """The loss is finite to the end; the gradient of its last batch is not."""
    stage = make_stage(StageSettings(epochs=1, batch_size=BATCH, learning_rate=0.05), scores)
    loss_of, calls = stage.loss, [0]

    def spoilt(batch: Tensor) -> dict[str, Tensor]:
        calls[0] += 1
        if calls[0] < STEPS:
            return loss_of(batch)
        root = (
            (stage.get_parameter("rest.2.bias") * 0).abs().sum().sqrt()
        )  # 0, with an infinite slope
        return {name: loss + root for name, loss in loss_of(batch).items()}

    stage.loss = spoilt  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="a weight is not a finite number in epoch 1"):
        run(stage, tmp_path)
    state = StateFiles(tmp_path, "toy").load()
    assert state is not None
    assert state.batch == STEPS - 1
    assert all(bool(value.isfinite().all()) for value in state.weights.values())
    assert not list(tmp_path.glob("*.best-*"))


def test_accumulated_batches_make_one_step_of_their_mean(tmp_path: Path) -> None:
    settings = StageSettings(epochs=1, batch_size=BATCH, learning_rate=0.05, accumulation=3)
    stage = make_stage(settings)
    stage.eval()
    stage.train = lambda mode=True: stage  # type: ignore[method-assign]
    steps: list[list[Tensor]] = []
    original = torch.optim.AdamW.step

    def step(optimiser: torch.optim.AdamW, *arguments: object) -> object:
        steps.append([p.grad.clone() for p in stage.rest.parameters()])
        return original(optimiser, *arguments)

    batches = [torch.from_numpy(DATA[items]) for items in stage.batches(0, 1)[:3]]
    mean = sum(stage(batch)["loss"] for batch in batches) / 3
    parameters = list(stage.rest.parameters())
    expected = torch.autograd.grad(mean, parameters)
    norm = torch.cat([g.flatten() for g in expected]).norm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        run(stage, tmp_path)
    assert len(steps) == 2  # five batches: three, then the two that are left
    for found, gradient in zip(steps[0], expected, strict=True):
        torch.testing.assert_close(found, gradient * min(1.0, 1.0 / float(norm)))


def test_training_lowers_the_loss_and_counts(tmp_path: Path) -> None:
    settings = StageSettings(epochs=12, batch_size=BATCH, learning_rate=0.05)
    report = run(make_stage(settings), tmp_path)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]
    assert report.epochs[0]["half"] == pytest.approx(report.epochs[0]["loss"] / 2)
    assert report.items == 12 * ITEMS
    assert report.posts_per_second == pytest.approx(report.items / report.training_seconds, 0.01)
    assert 0 < report.training_seconds < report.seconds
    assert list((tmp_path / "logs" / "toy").glob("events.*"))


def test_bf16_learns_with_weights_in_fp32(tmp_path: Path) -> None:
    full, half = make_stage(), make_stage()
    run(full, tmp_path / "full")
    report = Trainer(half, tmp_path / "half", cpu("bf16"), show_bar=False).run()
    assert all(p.dtype == torch.float32 for p in half.parameters())
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]
    assert not torch.equal(*(stage.get_parameter("rest.2.weight") for stage in (full, half)))


def test_fp16_without_a_gpu_is_refused() -> None:
    with pytest.raises(TrainingError, match="use no or bf16"):
        cpu("fp16")


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    stage = make_stage()
    spoilt = torch.full((BATCH, 3), float("nan"))
    stage.batch = lambda epoch, items: spoilt  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match="learning_rate"):
        run(stage, tmp_path)


@pytest.mark.parametrize("content", [{"epoch": 1}, {"epoch": 1, "report": StageReport("toy")}, b""])
def test_another_versions_state_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "toy.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(RunFolderError, match="another --run folder"):
        run(make_stage(), tmp_path)


def test_another_networks_state_is_refused(tmp_path: Path) -> None:
    StateFiles(tmp_path, "toy").save(
        StageState(StageReport("toy"), weights={"rest.0.weight": torch.ones(9)})
    )
    with pytest.raises(RunFolderError, match="another network's"):
        run(make_stage(), tmp_path)
