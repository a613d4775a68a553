"""Count what a split holds, to compare with what the data set's paper says it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mqspn.data.posts import Post

__all__ = ["SplitStats", "stats"]


@dataclass(frozen=True, kw_only=True)
class SplitStats:
    """The counts of one split.

    ``groundable``: entities with a box. ``boxes``: summed over entities, so that a name mentioned
    twice counts its boxes twice. ``adjacent``: entities that begin right behind another one, with
    nothing but a space between. ``without_image``: text-only posts. ``ids_elsewhere`` and
    ``texts_elsewhere``: posts whose image id, or whose text, another split has too. ``by_type``:
    entities by type.
    """

    posts: int
    entities: int
    groundable: int
    boxes: int
    adjacent: int
    without_image: int
    ids_elsewhere: int
    texts_elsewhere: int
    by_type: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def stats(posts: Sequence[Post], others: Iterable[Post] = ()) -> SplitStats:
    """Count the posts, entities and boxes of a split; types in order of their names.

    ``others``: the posts of the other splits, which a sound data set shares none with.
    """
    ids, texts = set(), set()
    for post in others:
        ids.add(post.id)
        texts.add(post.text)
    entities = [entity for post in posts for entity in post.entities]
    types = Counter(entity.type for entity in entities)
    return SplitStats(
        posts=len(posts),
        entities=len(entities),
        groundable=sum(entity.groundable for entity in entities),
        boxes=sum(len(entity.boxes) for entity in entities),
        adjacent=sum(_adjacent(post) for post in posts),
        without_image=sum(post.image is None for post in posts),
        ids_elsewhere=sum(post.id in ids for post in posts),
        texts_elsewhere=sum(post.text in texts for post in posts),
        by_type={name: types[name] for name in sorted(types)},
    )


def _adjacent(post: Post) -> int:
    ends = {entity.end for entity in post.entities}
    return sum(entity.start - 1 in ends for entity in post.entities)
