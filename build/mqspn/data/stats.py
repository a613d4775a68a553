"""Counts of a split: what a data set holds, to compare with what its paper says it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mqspn.data.posts import Post

__all__ = ["SplitStats", "stats"]


@dataclass(frozen=True, kw_only=True)
class SplitStats:
    """One row of the table.

    ``groundable``: entities with a box. ``boxes``: summed over entities, so that a name mentioned
    twice counts its boxes twice. ``adjacent``: entities that begin right behind another one, with
    nothing but a space between. ``without_image``: text-only posts. ``by_type``: entities by type.
    """

    posts: int
    entities: int
    groundable: int
    boxes: int
    adjacent: int
    without_image: int
    by_type: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def stats(posts: Sequence[Post]) -> SplitStats:
    """Count what ``posts`` hold; types come in order of their names."""
    entities = [entity for post in posts for entity in post.entities]
    types = Counter(entity.type for entity in entities)
    return SplitStats(
        posts=len(posts),
        entities=len(entities),
        groundable=sum(entity.groundable for entity in entities),
        boxes=sum(len(entity.boxes) for entity in entities),
        adjacent=sum(_adjacent(post) for post in posts),
        without_image=sum(post.image is None for post in posts),
        by_type={name: types[name] for name in sorted(types)},
    )


def _adjacent(post: Post) -> int:
    ends = {entity.end for entity in post.entities}
    return sum(entity.start - 1 in ends for entity in post.entities)
