"""Read the caller's own candidate regions: check, clip, normalise and pad them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mqspn_backend.boxes import clip, pixels_to_normalised
from mqspn_backend.errors import PostError

__all__ = ["read_regions"]

FloatArray = npt.NDArray[np.float32]


def read_regions(
    boxes: npt.NDArray[np.floating[Any]], size: tuple[int, int], regions: int
) -> tuple[FloatArray, FloatArray]:
    """Check one post's regions and turn them into K normalised boxes and scores.

    ``boxes``: (K', 4) float, x1, y1, x2, y2 in pixels of the upright image, any K'; a row of four
    zeros is padding wherever it stands. ``size``: the upright image's (width, height), (0, 0) where
    there is none. ``regions``: K.

    Returns (K, 4) float32 boxes, normalised x1, y1, x2, y2, clipped to the image, and (K,) float32
    scores: 1 for a region, 0 for padding. The order is kept and padding goes to the end.

    Raises PostError REGIONS_INVALID for regions without an image, more than K of them, and a row
    that is not finite, not x1 < x2 and y1 < y2, or wholly outside the image.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise PostError(
            "REGIONS_INVALID", f"regions must be rows of four numbers, got shape {boxes.shape}"
        )
    rows = np.flatnonzero((boxes != 0).any(axis=1))
    real: npt.NDArray[np.float64] = boxes[rows].astype(np.float64)
    normalised = np.zeros((regions, 4), np.float32)
    scores = np.zeros(regions, np.float32)
    if not len(real):
        return normalised, scores
    width, height = size
    if width <= 0 or height <= 0:
        raise PostError("REGIONS_INVALID", "regions were given without an image; send none")
    if len(real) > regions:
        raise PostError(
            "REGIONS_INVALID", f"{len(real)} regions were given, the model takes {regions}"
        )
    x1, y1, x2, y2 = real.T
    _refuse(~np.isfinite(real).all(axis=1), rows, real, "is not finite")
    _refuse((x2 <= x1) | (y2 <= y1), rows, real, "must have x1 < x2 and y1 < y2")
    _refuse(
        (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height),
        rows,
        real,
        f"is outside the image of {width} x {height} pixels",
    )
    normalised[: len(real)] = clip(pixels_to_normalised(real, size))
    scores[: len(real)] = 1
    return normalised, scores


def _refuse(
    bad: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.intp],
    real: npt.NDArray[np.float64],
    why: str,
) -> None:
    if bad.any():
        first = int(np.argmax(bad))
        values = ", ".join(f"{v:g}" for v in real[first])
        raise PostError("REGIONS_INVALID", f"region {rows[first]} [{values}] {why}")
