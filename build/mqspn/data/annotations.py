"""Read `annotations/<split>.jsonl`: what a data set knows of its posts beyond entities.

One JSON object a line, one line a post::

    {"id": "train_17_00004", "tags": ["ambiguous_image"],
     "objects": [{"look": "...", "box": [x1, y1, x2, y2], "visible": 0.9, "named": true}],
     "ambiguous": [{"start": 3, "end": 4, "type": "PER", "by": "image"}]}

``look`` is the object's class. All keys but ``id`` may be left out and unknown keys are ignored.
Boxes are pixels of the upright image. ``start`` and ``end`` (exclusive) count words; ``type`` is a
label of the data or its type's name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqspn.data.bio import LabelledSentence, LabelledSpan
from mqspn.data.errors import Problem
from mqspn.data.posts import AmbiguousMention, AnnotatedObject, word_offsets

__all__ = ["Annotation", "read_annotations"]

_SETTLED_BY = ("image", "context")


@dataclass(frozen=True)
class Annotation:
    """What one line says of a post: tags, objects, ambiguous mentions (`mqspn.data.posts`)."""

    tags: frozenset[str] = frozenset()
    objects: tuple[AnnotatedObject, ...] = ()
    ambiguous: tuple[AmbiguousMention, ...] = ()


def read_annotations(
    path: Path,
    sentences: Sequence[LabelledSentence],
    labels: Mapping[str, str],
    problems: list[Problem],
) -> dict[str, Annotation]:
    """Read one file: annotations by post id. Faults are appended to ``problems``.

    Each line must be about one of ``sentences``, each ambiguous mention about one of its entities
    and of the type that entity has.
    """
    by_id = {sentence.id: sentence for sentence in sentences}
    found: dict[str, Annotation] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("must be a JSON object")
            sentence = by_id.get(str(values.get("id")))
            if sentence is None:
                raise ValueError(f"id {values.get('id')!r} is that of no post of the split")
            if sentence.id in found:
                raise ValueError(f"id {sentence.id!r} has an earlier line")
            found[sentence.id] = _annotation(values, sentence, labels)
        except RecursionError:
            problems.append(Problem(path, number, "is nested too deeply"))
        except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            problems.append(Problem(path, number, str(error)))
    return found


def _annotation(
    values: Mapping[str, Any], sentence: LabelledSentence, labels: Mapping[str, str]
) -> Annotation:
    tags = values.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("tags must be a list of strings")
    objects = [_object(item) for item in _items(values, "objects")]
    ambiguous = [_mention(item, sentence, labels) for item in _items(values, "ambiguous")]
    return Annotation(frozenset(tags), tuple(objects), tuple(ambiguous))


def _items(values: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = values.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{key} must be a list of objects")
    return items


def _object(item: Mapping[str, Any]) -> AnnotatedObject:
    object_class, box = item.get("look"), item.get("box")
    visible, named = item.get("visible", 1.0), item.get("named", False)
    if not isinstance(object_class, str):
        raise ValueError(f"objects: look {object_class!r} must be a string")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(v) for v in box):
        raise ValueError(f"objects: box {box!r} must be four numbers x1, y1, x2, y2")
    x1, y1, x2, y2 = map(float, box)
    if not (x1 < x2 and y1 < y2):
        raise ValueError(f"objects: box {box!r} is empty; x1 < x2 and y1 < y2 are needed")
    if not (isinstance(visible, bool) or _is_number(visible)) or not 0 <= visible <= 1:
        raise ValueError(f"objects: visible {visible!r} must be a share from 0 to 1")
    if not isinstance(named, bool):
        raise ValueError(f"objects: named {named!r} must be true or false")
    return AnnotatedObject(object_class, (x1, y1, x2, y2), float(visible), named)


def _mention(
    item: Mapping[str, Any], sentence: LabelledSentence, labels: Mapping[str, str]
) -> AmbiguousMention:
    start, end, type_, by = (item.get(key) for key in ("start", "end", "type", "by"))
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(type_, str)):
        raise ValueError("ambiguous: start and end must be word indices and type a string")
    type_ = labels.get(type_, type_)
    if by not in _SETTLED_BY:
        raise ValueError(f"ambiguous: by {by!r} must be one of: {', '.join(_SETTLED_BY)}")
    if LabelledSpan(start, end, type_) not in sentence.spans:
        message = f"ambiguous: words {start} to {end} (exclusive) of type {type_!r} are no entity"
        raise ValueError(f"{message} of post {sentence.id!r}")
    offsets = word_offsets(sentence.words)
    return AmbiguousMention(offsets[start][0], offsets[end - 1][1], type_, by)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # no infinity, no NaN, no integer past every float
