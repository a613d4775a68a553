"""The rows of a batch job: one JSON object a line in, one a line out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mqspn_client.errors import MqspnError
from mqspn_client.types import Post, Prediction

__all__ = ["InputRow", "RowError", "RowId", "error_row", "prediction_row", "read_rows", "row_line"]

RowId = str | int | None


class RowError(MqspnError):
    """A row that is no post (bad JSON, a missing key, a value of the wrong type), or one that the
    client itself failed on.
    """

    code = "ROW_INVALID"


@dataclass(frozen=True)
class InputRow:
    """One line of the input: its number from 1, its id, and its post or what is wrong with it."""

    line: int
    id: RowId
    post: Post | RowError


def read_rows(source: BinaryIO, image_root: Path) -> Iterator[InputRow]:
    """Read rows one at a time; blank lines are passed over.

    A row is ``{"id", "text", "image"}``: ``id`` a string or integer, ``text`` a string, ``image``
    a path (relative to ``image_root`` unless absolute), null or absent; ``regions``, a list of
    [x1, y1, x2, y2] in pixels, may stand beside them. Other keys are passed over. A row that is
    none of this carries a `RowError`.
    """
    for number, line in enumerate(source, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        if line.strip():
            yield _read_row(line, number, image_root)


def _read_row(line: bytes, number: int, image_root: Path) -> InputRow:
    try:
        values = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return InputRow(number, None, RowError(f"line {number} is not JSON: {error}"))
    if not isinstance(values, dict):
        return InputRow(number, None, RowError(f"line {number} is not a JSON object"))
    row_id = values.get("id")
    if isinstance(row_id, bool) or not isinstance(row_id, str | int):
        wrong = "has no id" if "id" not in values else "has an id that is no string or integer"
        return InputRow(number, None, RowError(f"line {number} {wrong}"))
    problem = _problem(values)
    if problem:
        return InputRow(number, row_id, RowError(f"line {number}: {problem}"))
    image = values.get("image")
    return InputRow(
        number,
        row_id,
        Post(
            text=values["text"],
            image=None if image is None else image_root / image,
            regions=values.get("regions"),
        ),
    )


def _problem(values: dict[str, Any]) -> str | None:
    if "text" not in values:
        return "the text is missing"
    if not isinstance(values["text"], str):
        return "the text is not a string"
    image = values.get("image")
    if image is not None and (not isinstance(image, str) or not image):
        return "image must be a path or null"
    if not isinstance(values.get("regions") or [], list):
        return "regions must be a list of [x1, y1, x2, y2] or null"
    return None


def prediction_row(row: InputRow, prediction: Prediction) -> dict[str, Any]:
    """``{"id", "entities", "model_version", "truncated"}``."""
    return {"id": row.id, **prediction.to_dict()}


def error_row(row: InputRow, error: MqspnError) -> dict[str, Any]:
    """``{"id", "error": {"code", "message"}}``; the id is null where the row has none."""
    return {"id": row.id, "error": error.to_dict()}


def row_line(values: dict[str, Any]) -> bytes:
    """One output line: UTF-8 JSON; half surrogate pairs stay escaped, as nothing else can."""
    try:
        return json.dumps(values, ensure_ascii=False).encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(values).encode("ascii") + b"\n"
