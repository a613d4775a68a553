"""Compare the answers of two systems to the same posts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from mqspn.evaluation.metrics import PredictedEntity
from mqspn_backend.boxes import iou_matrix

__all__ = ["AnswerBounds", "AnswerComparison", "compare_answers"]

_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class AnswerBounds:
    """The bounds of a comparison: what counts as the same answer, how many may differ.

    ``box_iou``: the least IoU of two boxes of one entity; None: boxes are not compared.
    ``score``: the largest difference of its scores. ``differing_share``: of the posts, 0 to 1,
    that may differ in any entity.
    """

    differing_share: float
    box_iou: float | None = 0.9
    score: float = 0.02


@dataclass(frozen=True, kw_only=True)
class AnswerComparison:
    """The result of a comparison: how many answers differ, and in what.

    Of ``posts`` compared, ``differing`` have an entity that the other answer has not.
    ``entities``: of the reference. ``missing`` and ``added``: span and type are in one answer only.
    ``moved``: the box is another, or there in one answer only. ``rescored``: the score is another.
    ``examples``: a few differences in words.
    """

    posts: int
    differing: int
    entities: int
    missing: int
    added: int
    moved: int
    rescored: int
    largest_score_difference: float
    bounds: AnswerBounds
    examples: tuple[str, ...] = field(default=())

    @property
    def broken(self) -> str | None:
        """Say why the check failed; None where it passed."""
        if not self.entities:
            return "the reference found no entity in any post: nothing was compared"
        allowed = self.bounds.differing_share
        if self.differing > allowed * self.posts:
            return (
                f"{self.differing} of {self.posts} posts are answered differently, the bound is "
                f"{allowed:.1%}: {'; '.join(self.examples)}"
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.posts - self.differing, "broken": self.broken}


def compare_answers(
    reference: Sequence[Sequence[PredictedEntity]],
    found: Sequence[Sequence[PredictedEntity]],
    bounds: AnswerBounds,
) -> AnswerComparison:
    """Compare the entities of each post, in the same order of posts.

    Raises ValueError where the numbers of posts differ.
    """
    missing = added = moved = rescored = differing = 0
    largest = 0.0
    examples: list[str] = []
    for place, (wanted, given) in enumerate(zip(reference, found, strict=True)):
        # A span has one entity: decoding removes overlaps.
        wanted_by_key = {(e.start, e.end, e.type): e for e in wanted}
        given_by_key = {(e.start, e.end, e.type): e for e in given}
        shared = wanted_by_key.keys() & given_by_key.keys()
        differences = []
        for key in sorted(wanted_by_key.keys() | given_by_key.keys()):
            name = "{2} {0}-{1}".format(*key)
            if key not in shared:
                gone = key in wanted_by_key
                missing, added = missing + gone, added + (not gone)
                differences.append(f"{name} {'is missing' if gone else 'is added'}")
                continue
            a, b = wanted_by_key[key], given_by_key[key]
            largest = max(largest, abs(a.score - b.score))
            if not _same_box(a, b, bounds.box_iou):
                moved += 1
                differences.append(f"{name} has box {b.box}, not {a.box}")
            if abs(a.score - b.score) > bounds.score:
                rescored += 1
                differences.append(f"{name} has score {b.score:.3f}, not {a.score:.3f}")
        if differences:
            differing += 1
            examples.append(f"post {place}: {', '.join(differences)}")
    return AnswerComparison(
        posts=len(reference),
        differing=differing,
        entities=sum(map(len, reference)),
        missing=missing,
        added=added,
        moved=moved,
        rescored=rescored,
        largest_score_difference=round(largest, 5),
        bounds=bounds,
        examples=tuple(examples[:_EXAMPLES]),
    )


def _same_box(a: PredictedEntity, b: PredictedEntity, least_iou: float | None) -> bool:
    if least_iou is None:
        return True
    if a.box is None or b.box is None:
        return a.box is b.box
    if a.box == b.box:  # a box without area has an IoU of 0 with itself
        return True
    return bool(iou_matrix(np.array([a.box]), np.array([b.box]))[0, 0] >= least_iou)
