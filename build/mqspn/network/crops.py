"""Cut boxes out of images by two small matrices a region: crop = W_y . image . W_x^T.

Boxes are parallel to the axes, so bilinear sampling is separable: a row of W_y or W_x says how much
of each of the image's S rows or columns a row or column of the crop takes. The positions behind
them need FP32: FP16 has 11 bits for one, BF16 8.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["crop_regions"]


def crop_regions(images: Tensor, boxes: Tensor, side: int, supersampling: int) -> Tensor:
    """Cut boxes out of images and resize each to a square.

    ``images`` (B, 3, S, S) of any type; ``boxes`` (B, K, 4) normalised x1, y1, x2, y2. Each output
    pixel is the mean of ``supersampling`` squared bilinear samples, which keeps a large box from
    aliasing; samples outside the image take its border. Returns (B * K, 3, side, side) float32.
    """
    S = images.shape[-1]
    x1, y1, x2, y2 = boxes.unbind(dim=-1)  # each (B, K)
    rows = _weighted_rows(images, _sample_positions(y1, y2, side, supersampling, S))
    W_x = _column_weights(_sample_positions(x1, x2, side, supersampling, S), S)
    crops = rows.reshape(-1, side * 3, S) @ W_x.reshape(-1, side, S).transpose(1, 2)
    crops = crops / supersampling**2  # (B * K, side * 3, side)
    return crops.reshape(-1, side, 3, side).transpose(1, 2)


def _sample_positions(
    low: Tensor, high: Tensor, side: int, supersampling: int, image_side: int
) -> Tensor:
    """Place samples evenly from ``low`` to ``high`` (B, K), within the image's outermost pixels.

    Returns (B, K * side, supersampling) in pixels, 0 at the first one's centre.
    """
    fine = side * supersampling
    steps = (torch.arange(fine, device=low.device, dtype=low.dtype) + 0.5) / fine
    samples = low[..., None] + (high - low)[..., None] * steps  # (B, K, fine)
    return (
        (samples * image_side - 0.5)
        .clamp(0, image_side - 1)
        .reshape(low.shape[0], -1, supersampling)
    )


def _weighted_rows(images: Tensor, positions: Tensor) -> Tensor:
    """Compute W_y . image. W_y itself is never made: only the two rows beside a sample count.

    ``images`` (B, 3, S, S), ``positions`` (B, M, supersampling). Returns (B * M, 1, 3 * S), the sum
    over an output's samples; each row holds the three channels one after the other.
    """
    B, _, S, _ = images.shape
    above = positions.floor().clamp(max=S - 2)
    weights = torch.stack([above + 1.0 - positions, positions - above], dim=-1)
    pairs = torch.stack([above, above + 1.0], dim=-1).to(torch.int32)  # (B, M, supersampling, 2)
    first_of_image = torch.arange(B, device=images.device, dtype=torch.int32) * S
    indices = (pairs + first_of_image[:, None, None, None]).reshape(-1)
    # TensorRT moves no uint8: floats first.
    lines = images.float().transpose(1, 2).reshape(-1, 3 * S)
    touched = lines.index_select(0, indices)
    taps = 2 * positions.shape[-1]
    return weights.reshape(-1, 1, taps) @ touched.reshape(-1, taps, 3 * S)


def _column_weights(positions: Tensor, image_side: int) -> Tensor:
    """Make W_x from ``positions`` (B, M, supersampling): (B, M, S), a triangle around each sample.

    The triangles of an output's samples are summed.
    """
    pixels = torch.arange(image_side, device=positions.device, dtype=positions.dtype)
    triangles = [
        torch.relu(1.0 - (sample[..., None] - pixels).abs()) for sample in positions.unbind(dim=-1)
    ]
    return sum(triangles[1:], start=triangles[0])
