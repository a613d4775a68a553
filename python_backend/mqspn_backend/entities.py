"""Turn the predictions of a post into ENTITIES, the JSON that callers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from mqspn_backend.boxes import clip, normalised_to_pixels
from mqspn_backend.decoding import Prediction

__all__ = ["Entity", "answer_json", "error_json", "post_entities"]


class Entity(TypedDict):
    """One entity of the answer; ``text == post_text[start:end]`` in Unicode code points.

    ``box``: [x1, y1, x2, y2] in pixels of the upright image, or None where the entity is not in
    it; ``box_score`` is the probability of that region, or of "not in the image".
    """

    text: str
    start: int
    end: int
    type: str
    score: float
    box: list[float] | None
    box_score: float


def post_entities(
    predictions: Sequence[Prediction],
    text: str,
    offsets: npt.NDArray[np.integer[Any]],
    size: tuple[int, int],
    types: Sequence[str],
) -> list[Entity]:
    """Turn predictions into the entities of one post's answer, sorted by start.

    ``offsets``: (L, 2), code points of ``text``, end exclusive. ``size``: the upright image's
    (width, height) in pixels, to which boxes are clipped, rounded to 0.1 pixel. Scores are rounded
    to four decimals.
    """
    entities = []
    for prediction in predictions:
        start = int(offsets[prediction.start_token, 0])
        end = int(offsets[prediction.end_token, 1])
        box = None
        if prediction.box is not None:
            pixels = clip(normalised_to_pixels(np.array(prediction.box, np.float64), size), size)
            box = [round(v, 1) for v in pixels.tolist()]
        entities.append(
            Entity(
                text=text[start:end],
                start=start,
                end=end,
                type=types[prediction.type_index],
                score=round(prediction.score, 4),
                box=box,
                box_score=round(prediction.box_score, 4),
            )
        )
    return sorted(entities, key=lambda entity: (entity["start"], entity["end"]))


def answer_json(entities: Sequence[Entity], *, model_version: str, truncated: bool) -> str:
    """Write the JSON answer of a post that could be read."""
    return json.dumps(
        {"entities": list(entities), "model_version": model_version, "truncated": truncated},
        ensure_ascii=False,
        allow_nan=False,
    )


def error_json(code: str, message: str) -> str:
    """Write the JSON answer of a post that could not be read, in a request of many posts."""
    return json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)
