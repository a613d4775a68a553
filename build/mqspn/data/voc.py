"""Boxes of one image from a Pascal VOC file, where an object's name is the entity's words.

expat is used directly because it knows the line of every element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from mqspn.data.errors import Problem
from mqspn.data.posts import Box

__all__ = ["ImageBoxes", "NamedBoxes", "normalise_name", "read_voc"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class NamedBoxes:
    """One ``object``: its name as `normalise_name` leaves it, its boxes, the line of the name."""

    name: str
    boxes: tuple[Box, ...]
    line: int


@dataclass(frozen=True)
class ImageBoxes:
    """One file: (width, height) of the image in pixels, and its objects in file order."""

    size: tuple[int, int]
    objects: tuple[NamedBoxes, ...]


def normalise_name(name: str) -> str:
    """Names and entities are compared without outer white space and with inner runs as one space.

    Letter case and everything else count.
    """
    return " ".join(name.split())


def read_voc(path: Path, problems: list[Problem]) -> ImageBoxes | None:
    """Read one file; faults are appended to ``problems``.

    A faulty box is left out, as is an object without a name; None where the file as a whole cannot
    be used (not well-formed XML, an unknown encoding, or no image size). Corners are taken as
    written, as continuous pixel coordinates; numbers may have decimals.
    """
    reader = _Reader(path, problems)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader.parser = parser
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        message = f"broken XML: {expat.ErrorString(error.code)} (column {error.offset + 1})"
        problems.append(Problem(path, error.lineno, message))
        return None
    except OSError as error:
        problems.append(Problem(path, None, f"cannot be read: {error.strerror}"))
        return None
    except (LookupError, ValueError) as error:  # an encoding that Python or expat does not know
        problems.append(Problem(path, 1, f"broken XML: {error}; save the file as UTF-8"))
        return None
    return reader.result()


@dataclass
class _Object:
    line: int
    name: str = ""
    name_line: int = 0
    boxes: list[tuple[int, dict[str, str]]] = field(default_factory=list)


class _Reader:
    """Collects elements by their path from the root, whose own name does not matter."""

    parser: expat.XMLParserType

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self._path = path
        self._problems = problems
        self._open: list[str] = []
        self._text = ""
        self._line = 0
        self._size: dict[str, str] = {}
        self._objects: list[_Object] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag)
        self._text = ""
        self._line = self.parser.CurrentLineNumber
        match self._open[1:]:
            case ["object"]:
                self._objects.append(_Object(self._line))
            case ["object", "bndbox"]:
                self._objects[-1].boxes.append((self._line, {}))

    def characters(self, data: str) -> None:
        self._text += data

    def end(self, tag: str) -> None:
        match self._open[1:]:
            case ["size", ("width" | "height") as side]:
                self._size[side] = self._text
            case ["object", "name"]:
                if self._objects[-1].name_line:
                    message = "second <name> of one object; give each name an <object> of its own"
                    self._problem(self._line, message)
                self._objects[-1].name = normalise_name(self._text)
                self._objects[-1].name_line = self._line
            case ["object", "bndbox", corner]:
                self._objects[-1].boxes[-1][1][corner] = self._text
        self._open.pop()

    def result(self) -> ImageBoxes | None:
        size = (_number(self._size.get("width")), _number(self._size.get("height")))
        if size[0] is None or size[1] is None or min(size[0], size[1]) < 1:
            message = "needs <size> with a positive <width> and <height>, the image's in pixels"
            self._problem(None, message)
            return None
        width, height = int(size[0]), int(size[1])
        named = []
        for found in self._objects:
            if not found.name:
                self._problem(found.line, "object without a <name>; give it the entity's words")
                continue
            if not found.boxes:
                self._problem(found.line, f"object {found.name!r} has no <bndbox>")
            boxes = [self._box(line, values, width, height) for line, values in found.boxes]
            kept = tuple(box for box in boxes if box is not None)
            named.append(NamedBoxes(found.name, kept, found.name_line))
        return ImageBoxes((width, height), tuple(named))

    def _box(self, line: int, values: dict[str, str], width: int, height: int) -> Box | None:
        corners = [_number(values.get(corner)) for corner in _CORNERS]
        for corner, value in zip(_CORNERS, corners, strict=True):
            if value is None:
                written = f"is {values[corner]!r}" if corner in values else "is missing"
                self._problem(line, f"<{corner}> of the box {written}; it must be a number")
                return None
        x1, y1, x2, y2 = (value for value in corners if value is not None)
        shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
        if x1 >= x2 or y1 >= y2:
            self._problem(line, f"{shown} is empty; xmin < xmax and ymin < ymax are needed")
            return None
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            self._problem(line, f"{shown} lies outside its image of {width} x {height} pixels")
            return None
        return x1, y1, x2, y2

    def _problem(self, line: int | None, message: str) -> None:
        self._problems.append(Problem(self._path, line, message))


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace("_", "?"))  # "1_0" is a number to Python alone
    except ValueError:
        return None
    return value if math.isfinite(value) else None
