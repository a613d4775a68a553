"""Crops are cut where the boxes say, whatever their size."""

from __future__ import annotations

import torch
from mqspn.network.region_encoder import crop_regions


def test_crop_takes_the_boxs_pixels() -> None:
    image = torch.zeros(1, 3, 40, 40)
    image[:, 0, 10:20, 20:40] = 1.0  # rows 10 to 20, columns 20 to 40
    boxes = torch.tensor([[[0.5, 0.25, 1.0, 0.5], [0.0, 0.0, 0.5, 0.25]]])
    crops = crop_regions(image, boxes, side=8, supersampling=2)
    assert crops.shape == (2, 3, 8, 8)
    assert float(crops[0, 0, 1:-1, 1:-1].min()) == 1.0
    assert float(crops[1].max()) == 0.0


def test_crops_keep_posts_and_regions_in_order() -> None:
    levels = torch.tensor([0.2, 0.8])
    images = levels[:, None, None, None].expand(2, 3, 16, 16)
    boxes = torch.tensor([[0.1, 0.1, 0.6, 0.6], [0.3, 0.2, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]])
    crops = crop_regions(images, boxes.expand(2, 3, 4), side=4, supersampling=1)
    expected = levels.repeat_interleave(3)[:, None, None, None].expand_as(crops)
    torch.testing.assert_close(crops, expected)


def test_supersampling_averages_a_fine_pattern() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    image = checks.float().expand(1, 3, 64, 64)
    whole = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    aliased = crop_regions(image, whole, side=16, supersampling=1)
    smooth = crop_regions(image, whole, side=16, supersampling=4)
    assert float((smooth - 0.5).abs().max()) < 1e-5
    assert float((aliased - 0.5).abs().max()) <= 0.5


def test_degenerate_box_stays_finite() -> None:
    image = torch.rand(1, 3, 16, 16)
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]]])
    assert torch.isfinite(crop_regions(image, boxes, side=4, supersampling=2)).all()
