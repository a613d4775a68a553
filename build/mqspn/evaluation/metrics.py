"""MNER, EEG and GMNER: what counts as a right answer, and precision, recall and F1 of that.

A predicted entity is right when its span is exactly a gold entity's and, for

- MNER (multimodal named entity recognition), its type is that entity's;
- EEG (entity extraction and grounding), its region is right;
- GMNER (grounded MNER), both are.

A region is right when gold and answer are both "not in the image", or when the answered box has an
IoU above 0.5 with any of the gold boxes. Scores are micro-averaged over all posts. A gold entity
is matched at most once: a second answer to it is a false positive. See `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mqspn_backend.boxes import iou_matrix
from scipy.optimize import linear_sum_assignment

from mqspn.data.posts import Box, GoldEntity

__all__ = [
    "IOU_THRESHOLD",
    "Counts",
    "PredictedEntity",
    "Scores",
    "match_entities",
    "region_is_right",
    "score",
]

#: An answered box must have a larger IoU than this with a gold box.
IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class PredictedEntity:
    """One answer: characters ``start`` to ``end`` (exclusive), type name, box or None.

    ``box`` is x1, y1, x2, y2 in pixels of the upright image; None: "not in the image". ``score`` is
    the system's confidence from 0 to 1; no metric here depends on it.
    """

    start: int
    end: int
    type: str
    box: Box | None = None
    score: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Entities in the gold annotation, in the answers, and right answers."""

    gold: int = 0
    predicted: int = 0
    correct: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            gold=self.gold + other.gold,
            predicted=self.predicted + other.predicted,
            correct=self.correct + other.correct,
        )

    @property
    def precision(self) -> float:
        """Share of the answers that are right; 0 where there are no answers."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold entities that were found; 0 where there are no gold entities."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is right."""
        total = self.gold + self.predicted
        return 2 * self.correct / total if total else 0.0

    def to_json(self) -> dict[str, float | int]:
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
        }


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The counts of the three metrics; scores of parts of a data set add up to the whole's."""

    mner: Counts = Counts()
    eeg: Counts = Counts()
    gmner: Counts = Counts()

    def __add__(self, other: Scores) -> Scores:
        return Scores(
            mner=self.mner + other.mner, eeg=self.eeg + other.eeg, gmner=self.gmner + other.gmner
        )

    def to_json(self) -> dict[str, Any]:
        """`{"mner": {"precision", "recall", "f1", "gold", "predicted", "correct"}, ...}`."""
        return {
            "mner": self.mner.to_json(),
            "eeg": self.eeg.to_json(),
            "gmner": self.gmner.to_json(),
        }


def score(
    gold: Sequence[Sequence[GoldEntity]], predicted: Sequence[Sequence[PredictedEntity]]
) -> Scores:
    """Micro-averaged scores of the answers to some posts, both given in the same order of posts.

    The order of the entities of a post does not matter. Raises ValueError where the numbers of
    posts differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} posts with gold entities, {len(predicted)} with answers")
    total = Scores()
    for expected, answered in zip(gold, predicted, strict=True):
        total += Scores(
            mner=_count(expected, answered, type_matters=True, region_matters=False),
            eeg=_count(expected, answered, type_matters=False, region_matters=True),
            gmner=_count(expected, answered, type_matters=True, region_matters=True),
        )
    return total


def match_entities(
    gold: Sequence[GoldEntity],
    predicted: Sequence[PredictedEntity],
    *,
    type_matters: bool,
    region_matters: bool,
) -> list[tuple[int, int]]:
    """The right answers of one post, as pairs (index into ``gold``, index into ``predicted``).

    Each index is in one pair at most, and there are as many pairs as can be: where gold entities
    or answers share a span, the best assignment counts, so that no order matters. Of several such
    the one whose right answers have the highest scores (see `PredictedEntity`) is taken.
    """
    right = np.zeros((len(gold), len(predicted)), dtype=bool)
    for i, expected in enumerate(gold):
        for j, answered in enumerate(predicted):
            right[i, j] = (
                (expected.start, expected.end) == (answered.start, answered.end)
                and (not type_matters or expected.type == answered.type)
                and (not region_matters or region_is_right(expected.boxes, answered.box))
            )
    # A weight belongs to an answer, and is never 0: the heaviest assignment has the most pairs.
    weights = right * np.array([1 + min(max(0.0, answer.score), 1.0) for answer in predicted])
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if right[i, j]]


def region_is_right(boxes: Sequence[Box], box: Box | None) -> bool:
    """Whether ``box`` (None: "not in the image") answers an entity with the gold ``boxes``.

    A gold entity without boxes asks for None; one with boxes asks for a box that has an IoU above
    `IOU_THRESHOLD` with any of them, so None is wrong even where no proposal could have hit.
    """
    if not boxes or box is None:
        return not boxes and box is None
    iou = iou_matrix(np.asarray([box], dtype=np.float64), np.asarray(boxes, dtype=np.float64))
    return bool((iou > IOU_THRESHOLD).any())


def _count(
    gold: Sequence[GoldEntity],
    predicted: Sequence[PredictedEntity],
    *,
    type_matters: bool,
    region_matters: bool,
) -> Counts:
    pairs = match_entities(
        gold, predicted, type_matters=type_matters, region_matters=region_matters
    )
    return Counts(gold=len(gold), predicted=len(predicted), correct=len(pairs))
