"""The entity gate: what lower precision costs in F1 of the whole pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mqspn.data.posts import Post
from mqspn.evaluation.metrics import Scores, score
from mqspn.evaluation.predictors import Predictor

__all__ = ["ALLOWED_LOSS", "EntityLoss", "check_entities"]

#: Points of F1 (of 100) that MNER, EEG or GMNER may fall below FP32.
ALLOWED_LOSS = 0.2


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
