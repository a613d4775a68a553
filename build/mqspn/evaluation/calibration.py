"""Measure calibration: is an answer with score 0.8 right eight times in ten?

Expected calibration error as Naeini et al. (2015) and Guo et al. (2017) define it,

    ECE = sum over bins b of n_b / n * |accuracy_b - confidence_b|,

here over bins of equal mass (about as many answers in each) rather than of equal width, as scores
crowd near 1. Brier score (Brier 1950): the mean of (score - right)^2, right being 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["BINS", "Bin", "Calibration", "calibration"]

#: Bins of equal mass.
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A bin of answers with scores ``low`` to ``high``: count, mean score, share right."""

    answers: int
    low: float
    high: float
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration error ``ece`` and ``brier`` score, 0 (perfect) to 1, and the score bins."""

    ece: float
    brier: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return {"ece": self.ece, "brier": self.brier, "bins": [asdict(b) for b in self.bins]}


def calibration(
    scores: Sequence[float], right: Sequence[bool], *, bins: int = BINS
) -> Calibration | None:
    """Compare the ``scores`` of N answers with whether each is ``right``; None for N = 0.

    Equal scores stay in one bin, so that the order of the answers does not matter; there may be
    fewer than ``bins`` then. Raises ValueError where the lengths differ.
    """
    if len(scores) != len(right):
        raise ValueError(f"{len(scores)} scores, {len(right)} answers right or wrong")
    if not scores:
        return None
    order = np.argsort(scores, kind="stable")
    score = np.asarray(scores, dtype=np.float64)[order]
    hit = np.asarray(right, dtype=np.float64)[order]
    first = np.searchsorted(score, score)  # rank of the first of equal scores
    number = first * bins // len(score)
    found = []
    for b in np.unique(number):
        rows = number == b
        found.append(
            Bin(
                answers=int(rows.sum()),
                low=float(score[rows][0]),
                high=float(score[rows][-1]),
                confidence=float(score[rows].mean()),
                accuracy=float(hit[rows].mean()),
            )
        )
    return Calibration(
        ece=sum(b.answers * abs(b.accuracy - b.confidence) for b in found) / len(score),
        brier=float(((score - hit) ** 2).mean()),
        bins=tuple(found),
    )
