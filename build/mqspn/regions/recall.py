"""Recall of the region proposer: what the network can ground at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mqspn_backend.boxes import iou_matrix
from numpy.typing import ArrayLike, NDArray

from mqspn.data.posts import Box

__all__ = ["ProposalRecall", "proposal_recall"]


@dataclass(frozen=True, kw_only=True)
class ProposalRecall:
    """How many gold boxes, and how many groundable entities, the first ``k`` proposals cover."""

    k: int
    boxes: int
    boxes_covered: int
    entities: int
    entities_covered: int

    @property
    def box_recall(self) -> float:
        """Share of gold boxes covered by any proposal; 0 where there are no gold boxes."""
        return self.boxes_covered / self.boxes if self.boxes else 0.0

    @property
    def entity_recall(self) -> float:
        """Share of groundable entities with any box covered: the ceiling of their EEG recall."""
        return self.entities_covered / self.entities if self.entities else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "box_recall": self.box_recall,
            "entity_recall": self.entity_recall,
            "boxes": self.boxes,
            "entities": self.entities,
        }


def proposal_recall(
    gold: Sequence[Sequence[Sequence[Box]]],
    proposals: Sequence[ArrayLike],
    *,
    k: int = 16,
    iou: float = 0.5,
) -> ProposalRecall:
    """Recall of the first ``k`` proposals of each post at an IoU above ``iou``.

    ``gold``: for each post, for each of its entities, the boxes of the entity (none: it is not in
    the image and does not count). ``proposals``: for each post its candidate boxes (K, 4), best
    first; (0, 4) where there are none. Both in pixels of the upright image. A box that several
    entities of a post share counts once among boxes, and in each of the entities. Raises ValueError
    where the numbers of posts differ or proposals have another shape.
    """
    if len(gold) != len(proposals):
        raise ValueError(f"{len(gold)} posts with gold boxes, {len(proposals)} with proposals")
    boxes = boxes_covered = entities = entities_covered = 0
    for number, (expected, proposed) in enumerate(zip(gold, proposals, strict=True)):
        candidates = np.asarray(proposed, dtype=np.float64)
        if candidates.ndim != 2 or candidates.shape[1] != 4:
            raise ValueError(f"proposals of post {number} must be (K, 4), not {candidates.shape}")
        wanted = sorted({box for entity in expected for box in entity})
        covered = _covered(wanted, candidates[:k], iou)
        boxes += len(wanted)
        boxes_covered += len(covered)
        entities += sum(bool(entity) for entity in expected)
        entities_covered += sum(not covered.isdisjoint(entity) for entity in expected)
    return ProposalRecall(
        k=k,
        boxes=boxes,
        boxes_covered=boxes_covered,
        entities=entities,
        entities_covered=entities_covered,
    )


def _covered(boxes: list[Box], candidates: NDArray[np.float64], iou: float) -> set[Box]:
    if not boxes or not len(candidates):
        return set()
    hits = (iou_matrix(np.asarray(boxes, dtype=np.float64), candidates) > iou).any(axis=1)
    return {box for box, hit in zip(boxes, hits, strict=True) if hit}
