"""Convert boxes, float arrays (..., 4), between the coordinate frames the system uses.

Frames: "cxcywh" is centre and size, "xyxy" is left, top, right, bottom. "normalised" counts in
widths and heights of the upright image, [0, 1]; "pixels" in pixels of the upright image, whose
(width, height) is ``size``. x grows to the right, y downwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "area",
    "clip",
    "cxcywh_to_xyxy",
    "iou_matrix",
    "normalised_to_pixels",
    "pixels_to_normalised",
    "xyxy_to_cxcywh",
]

FloatArray = npt.NDArray[np.floating[Any]]


def cxcywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """Convert (..., 4) centre x, centre y, width, height to x1, y1, x2, y2, in the same unit."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def xyxy_to_cxcywh(boxes: FloatArray) -> FloatArray:
    """Convert (..., 4) x1, y1, x2, y2 to centre x, centre y, width, height, in the same unit."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def normalised_to_pixels(boxes: FloatArray, size: tuple[float, float]) -> FloatArray:
    """Convert (..., 4) xyxy in [0, 1] to pixels of an image of ``size`` (width, height)."""
    return boxes * _scale(size, boxes)


def pixels_to_normalised(boxes: FloatArray, size: tuple[float, float]) -> FloatArray:
    """Convert (..., 4) xyxy in pixels of an image of ``size`` (width, height) to [0, 1].

    Raises ValueError where the size is not positive.
    """
    if not (size[0] > 0 and size[1] > 0):
        raise ValueError(f"boxes need an image of positive size, got {size[0]} x {size[1]}")
    return boxes / _scale(size, boxes)


def clip(boxes: FloatArray, size: tuple[float, float] = (1.0, 1.0)) -> FloatArray:
    """Clip (..., 4) xyxy to ``size`` (width, height), which is (1, 1) for normalised boxes."""
    return np.clip(boxes, 0, _scale(size, boxes))


def area(boxes: FloatArray) -> FloatArray:
    """Compute areas (...) of (..., 4) xyxy; 0 for a box whose right is left of its left."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    result: FloatArray = sides[..., 0] * sides[..., 1]
    return result


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute the intersection over union of (N, 4) and (M, 4) xyxy boxes of one frame: (N, M).

    IoU depends on no unit, but both must be in the same one. 0 where both boxes are empty.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = area(np.concatenate([low, high], axis=-1))
    union = area(a)[:, None] + area(b)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _scale(size: tuple[float, float], boxes: FloatArray) -> FloatArray:
    width, height = size
    return np.array([width, height, width, height], dtype=boxes.dtype)
