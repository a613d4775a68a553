"""Pixels as a pretrained encoder wants them."""

from __future__ import annotations

from torch import Tensor

__all__ = ["normalise_pixels"]


def normalise_pixels(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(pixels / 255 - mean) / std as one product and one sum.

    ``pixels`` (N, 3, H, W) of 0 to 255, any type; ``mean`` and ``std`` (3, 1, 1). Returns float32.
    """
    return pixels.float() * (1.0 / (255.0 * std)) - mean / std
