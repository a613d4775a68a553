"""Types for a post and its gold entities, as training and evaluation see them.

Spans are character offsets (Unicode code points, end exclusive) in the post's text. Boxes are
x1, y1, x2, y2 in pixels of the upright image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["AmbiguousMention", "AnnotatedObject", "Box", "GoldEntity", "Post", "word_offsets"]

#: x1, y1, x2, y2 in pixels of the upright image.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class GoldEntity:
    """One gold entity: characters ``start`` to ``end`` (exclusive), type name, boxes.

    ``boxes`` holds every box of the image that shows the entity; empty: it is not in the image.
    """

    start: int
    end: int
    type: str
    boxes: tuple[Box, ...] = ()

    @property
    def groundable(self) -> bool:
        """Whether the image shows the entity."""
        return bool(self.boxes)


@dataclass(frozen=True)
class AnnotatedObject:
    """An annotated object of an image: its class, its box, its visible share (0 to 1).

    ``named``: whether the post's text names it.
    """

    object_class: str
    box: Box
    visible: float
    named: bool


@dataclass(frozen=True)
class AmbiguousMention:
    """A mention whose name alone fits several types, as Jordan does: player, country, shoe.

    ``by`` says what settles the type: "image" (only the image tells) or "context" (the
    words around it tell). ``start`` and ``end`` are character offsets, end exclusive. ``type`` is
    the right type's name.
    """

    start: int
    end: int
    type: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Post:
    """One post: its words, its image file, its gold entities.

    ``text`` is ``words`` joined by one space. ``entities`` are in text order and do not overlap.
    ``image`` is the image file, or None for a text-only post, whose entities keep their gold boxes:
    what is lost by lacking the image is for the evaluation to say. ``image_size`` is the width and
    height in pixels that the annotation states, where it does. ``tags``, ``objects`` and
    ``ambiguous`` come from `annotations/`, where a data set has them.
    """

    id: str
    text: str
    words: tuple[str, ...]
    entities: tuple[GoldEntity, ...]
    image: Path | None
    image_size: tuple[int, int] | None = None
    tags: frozenset[str] = frozenset()
    objects: tuple[AnnotatedObject, ...] = ()
    ambiguous: tuple[AmbiguousMention, ...] = ()

    def without_image(self) -> Post:
        """Return the post as a text-only one; its annotation stays."""
        return replace(self, image=None)


def word_offsets(words: tuple[str, ...]) -> list[tuple[int, int]]:
    """Find (start, end) of each word, in characters, in the words joined by one space."""
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return offsets
