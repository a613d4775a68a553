"""The gates: what a graph or an engine must hold against FP32 to be served.

The tensor gate compares one model's outputs, the entity gate the F1 of the whole pipeline. A gate
answers with a result; `require_passed` is where a refusal becomes an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

from mqspn.data.posts import Post
from mqspn.engines.choices import Precision
from mqspn.engines.errors import GateError
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.engines.quantisation import Batch, calibration_batches
from mqspn.engines.samples import SAMPLE_POSTS, sample_batches, synthetic_posts
from mqspn.evaluation.metrics import Scores, score
from mqspn.evaluation.predictors import Predictor
from mqspn.parity import Difference, Runner, compare_runners, tolerant_difference

__all__ = [
    "ALLOWED_LOSS",
    "TOLERANCE",
    "EntityLoss",
    "GateResult",
    "Reference",
    "TensorResult",
    "check_entities",
    "check_tensors",
    "require_passed",
]

#: The largest difference of an output from FP32, as `mqspn.parity.tolerant_difference` measures it.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.2, "int8": 0.35}
#: Points of F1 (of 100) that MNER, EEG or GMNER may fall below FP32.
ALLOWED_LOSS = 0.2


class GateResult(Protocol):
    """What a gate measured, with its verdict."""

    @property
    def refusal(self) -> str | None:
        """Why this may not be served and what to change; None where it passed."""


Result = TypeVar("Result", bound=GateResult)


def require_passed(result: Result) -> Result:
    """``result`` where it passed; raises GateError with its refusal where it did not."""
    if result.refusal is not None:
        raise GateError(result.refusal)
    return result


@dataclass(frozen=True, kw_only=True)
class TensorResult:
    """The tensor gate's answer for one model in ``precision``."""

    difference: Difference
    precision: Precision

    @property
    def refusal(self) -> str | None:
        """Why the graph or engine may not be served; None within `TOLERANCE`."""
        tolerance = TOLERANCE[self.precision]
        if self.difference.largest <= tolerance:
            return None
        return (
            f"{self.difference}; more than {tolerance:g}, the tolerance of {self.precision}: "
            f"compile with --precision fp32, or --keep more layers in FP32 (`mqspn sensitivity` "
            "measures which)"
        )


def check_tensors(
    model: str,
    reference: Runner,
    candidate: Runner,
    batches: Sequence[Batch],
    *,
    precision: Precision,
) -> TensorResult:
    """Judge the difference of ``candidate`` from the FP32 ``reference`` on ``batches``, by name.

    ``precision`` has the tolerance. See `mqspn.parity.compare_runners` and `tolerant_difference`.
    """
    against = f"FP32 over {len(batches)} batches"
    difference = compare_runners(
        model, reference, candidate, batches, measure=tolerant_difference, against=against
    )
    return TensorResult(difference=difference, precision=precision)


class Reference:
    """The FP32 graphs of ``repository`` and what they make of sample posts, each at first use.

    Lower precisions are made from it, and they and the plans are held to it by the tensor gate.
    The posts are those of ``calibrate``, or synthetic ones where there are none.
    """

    def __init__(self, repository: Path, calibrate: Sequence[Post] = ()) -> None:
        self._repository = repository
        self._calibrate = calibrate

    @cached_property
    def pipeline(self) -> GraphPipeline:
        return GraphPipeline(self._repository)

    @cached_property
    def batches(self) -> dict[str, list[Batch]]:
        """What each graph is converted and compared on, by model name."""
        if self._calibrate:
            return sample_batches(self.pipeline, self._calibrate)
        with synthetic_posts(SAMPLE_POSTS) as posts:
            return sample_batches(self.pipeline, posts)

    @cached_property
    def calibration(self) -> dict[str, list[Batch]]:
        """What INT8 takes each graph's scales from: all posts but those it is compared on."""
        return calibration_batches(self.pipeline, self._calibrate[SAMPLE_POSTS:])

    def hold(self, model: str, candidate: Runner, precision: Precision) -> Difference:
        """Hold ``candidate`` against the graph of ``model``; raises GateError where it is off."""
        reference, batches = self.pipeline.engines[model], self.batches[model]
        return require_passed(
            check_tensors(model, reference, candidate, batches, precision=precision)
        ).difference


@dataclass(frozen=True, kw_only=True)
class EntityLoss:
    """The entity gate's answer: scores of FP32 and of the candidate on the same posts."""

    posts: int
    reference: Scores
    candidate: Scores

    @property
    def losses(self) -> dict[str, float]:
        """Points of F1 lost, by metric; negative where the candidate is better."""
        return {
            name: 100 * (getattr(self.reference, name).f1 - getattr(self.candidate, name).f1)
            for name in ("mner", "eeg", "gmner")
        }

    @property
    def refusal(self) -> str | None:
        """Why the candidate may not be served; None within `ALLOWED_LOSS` in all three metrics.

        Posts on which the reference finds nothing right prove nothing: they are refused too.
        """
        if self.reference.mner.correct == 0:
            return (
                f"the FP32 graphs find no entity in these {self.posts} posts, so that nothing can "
                "be compared; check with posts like those the checkpoint was trained on"
            )
        if max(self.losses.values()) > ALLOWED_LOSS:
            return (
                f"{self}: more than {ALLOWED_LOSS} points below FP32; compile with --precision "
                "fp32, or --keep more layers in FP32 (`mqspn sensitivity` measures which)"
            )
        return None

    def __str__(self) -> str:
        parts = [
            f"{name.upper()} {100 * getattr(self.candidate, name).f1:.2f} "
            f"({100 * getattr(self.reference, name).f1:.2f} in FP32)"
            for name in self.losses
        ]
        return f"F1 on {self.posts} posts: {', '.join(parts)}"


def check_entities(posts: Sequence[Post], reference: Predictor, candidate: Predictor) -> EntityLoss:
    """Score both predictors on ``posts``, which are annotated."""
    gold = [post.entities for post in posts]
    return EntityLoss(
        posts=len(posts),
        reference=score(gold, reference.predict(posts)),
        candidate=score(gold, candidate.predict(posts)),
    )
