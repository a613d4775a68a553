"""What a call gives back and takes: small frozen values."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image

from mqspn_client.errors import PostError, ProtocolError

__all__ = [
    "Box",
    "Entity",
    "ImageSource",
    "Post",
    "Prediction",
    "Regions",
    "ServerMetadata",
    "parse_answer",
]

#: An image as a caller may give it: encoded bytes, a file's path, or a Pillow image.
ImageSource: TypeAlias = "bytes | str | os.PathLike[str] | Image.Image"
#: Candidate regions: K rows of x1, y1, x2, y2 in pixels of the upright image. Arrays will do.
Regions: TypeAlias = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright image (EXIF orientation applied).

    Attributes:
        x1: Left edge.
        y1: Upper edge.
        x2: Right edge.
        y2: Lower edge.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def to_list(self) -> list[float]:
        """``[x1, y1, x2, y2]``, as the server's JSON has it."""
        return [self.x1, self.y1, self.x2, self.y2]


@dataclass(frozen=True)
class Entity:
    """A named entity of a post.

    Attributes:
        text: The entity's words, ``text[start:end]`` of the post.
        start: Its first character, in Unicode code points of the text as it was sent.
        end: The character behind its last one.
        type: The name of its type, such as "PER".
        score: How sure the model is of span and type, 0 to 1.
        box: Where the image shows it. None: it is not in the image.
        box_score: How sure the model is of ``box``, or of its absence, 0 to 1. None where the
            server gives none.

    Examples:
        >>> entity = prediction.entities[0]
        >>> text[entity.start : entity.end] == entity.text
        True
    """

    text: str
    start: int
    end: int
    type: str
    score: float
    box: Box | None
    box_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """The entity as the server's JSON has it."""
        return {
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "type": self.type,
            "score": self.score,
            "box": self.box.to_list() if self.box else None,
            "box_score": self.box_score,
        }


@dataclass(frozen=True)
class Prediction:
    """The answer to one post.

    Attributes:
        entities: Its entities, sorted by start.
        model_version: What the server calls the checkpoint that answered.
        truncated: True where the text was longer than the model reads. The entities are then of
            its beginning.
    """

    entities: tuple[Entity, ...]
    model_version: str
    truncated: bool

    def to_dict(self) -> dict[str, Any]:
        """The prediction as the server's JSON has it."""
        return {
            "entities": [entity.to_dict() for entity in self.entities],
            "model_version": self.model_version,
            "truncated": self.truncated,
        }


@dataclass(frozen=True)
class Post:
    """A post to send: a text, and perhaps an image.

    Attributes:
        text: The post's text.
        image: Encoded bytes (JPEG, PNG, WebP, GIF), a file's path, a Pillow image, or None.
        regions: K rows of x1, y1, x2, y2 in pixels of the upright image, from a detector of your
            own. None: the server proposes regions. An empty list: there are none.

    Examples:
        >>> Post("Jordan lands", "post.jpg", regions=[[10, 20, 110, 180]])
        Post(text='Jordan lands', image='post.jpg', regions=[[10, 20, 110, 180]])
    """

    text: str
    image: ImageSource | None = None
    regions: Regions | None = None


@dataclass(frozen=True)
class ServerMetadata:
    """What a server says of itself and of the ensemble that is called.

    Attributes:
        server: The server's name.
        server_version: Its version, such as "2.51.0".
        model: The ensemble's name.
        model_versions: The versions that it has loaded.
        inputs: The names of the ensemble's input tensors.
        outputs: The names of its output tensors.
    """

    server: str
    server_version: str
    model: str
    model_versions: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def parse_answer(answer: bytes) -> Prediction | PostError:
    """Read one post's ENTITIES: a `Prediction`, or the `PostError` of a post that was not read.

    Keys it does not know are passed over. Raises `ProtocolError` naming what is missing or wrong.
    """
    try:
        values = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the server's ENTITIES is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ProtocolError("the server's ENTITIES is not a JSON object")
    if "error" in values:
        problem = values["error"]
        if not isinstance(problem, dict):
            raise ProtocolError("the server's ENTITIES has an error that is not an object")
        return PostError(
            _field(problem, "code", str, "error"), _field(problem, "message", str, "error")
        )
    entities = _field(values, "entities", list, "answer")
    return Prediction(
        entities=tuple(_entity(value, i) for i, value in enumerate(entities)),
        model_version=_field(values, "model_version", str, "answer"),
        truncated=_field(values, "truncated", bool, "answer"),
    )


def _entity(values: Any, index: int) -> Entity:
    where = f"entity {index}"
    if not isinstance(values, dict):
        raise ProtocolError(f"the server's {where} is not an object")
    box = values.get("box", ...)
    if box is not None and not (
        isinstance(box, list) and len(box) == 4 and all(_is_number(v) for v in box)
    ):
        raise ProtocolError(f"the server's {where}: 'box' must be null or four numbers")
    box_score = values.get("box_score")
    if box_score is not None and not _is_number(box_score):
        raise ProtocolError(f"the server's {where}: 'box_score' must be null or a number")
    return Entity(
        text=_field(values, "text", str, where),
        start=_field(values, "start", int, where),
        end=_field(values, "end", int, where),
        type=_field(values, "type", str, where),
        score=float(_field(values, "score", float, where)),
        box=None if box is None else Box(*(float(v) for v in box)),
        box_score=None if box_score is None else float(box_score),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _field(values: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in values:
        raise ProtocolError(f"the server's {where} has no {key!r}")
    value = values[key]
    if kind is float:
        good = _is_number(value)
    elif kind is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    else:
        good = isinstance(value, kind)
    if not good:
        raise ProtocolError(
            f"the server's {where}: {key!r} must be of type {kind.__name__}, not {value!r:.80}"
        )
    return value
