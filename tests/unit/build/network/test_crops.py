"""Crops are cut where the boxes say, whatever their size: the pixels that grid_sample takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.export.graphs import OPSET
from mqspn.network.crops import crop_regions
from mqspn_backend.engine import OnnxEngine
from torch import Tensor, nn
from torch.nn import functional as F


def sampled_crops(images: Tensor, boxes: Tensor, side: int, supersampling: int) -> Tensor:
    """The definition: a grid of bilinear samples in every box, averaged over the supersampling."""
    B, K, _ = boxes.shape
    fine = side * supersampling
    steps = (torch.arange(fine, dtype=boxes.dtype) + 0.5) / fine
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    xs = x1[..., None] + (x2 - x1)[..., None] * steps
    ys = y1[..., None] + (y2 - y1)[..., None] * steps
    shape = (B, K, fine, fine)
    grid = torch.stack([xs[:, :, None].expand(shape), ys[..., None].expand(shape)], dim=-1)
    grid = grid.reshape(B, K * fine, fine, 2) * 2.0 - 1.0
    crops = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    crops = F.avg_pool2d(crops, supersampling)
    return crops.reshape(B, 3, K, side, side).transpose(1, 2).reshape(B * K, 3, side, side)


#: Corners in and around the image, its borders and pixels' centres among them.
corner = st.one_of(
    st.floats(-0.25, 1.25, width=32), st.sampled_from([0.0, 1.0, 0.5, 0.5 / 24, 1.0 - 0.5 / 24])
)
#: Any two corners: boxes without area, and of corners in the wrong order, among them.
box = st.tuples(corner, corner, corner, corner)


@settings(deadline=None, max_examples=60)
@given(
    boxes=st.lists(st.lists(box, min_size=3, max_size=3), min_size=1, max_size=3),
    side=st.integers(1, 9),
    supersampling=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_the_same_pixels_as_sampling(
    boxes: list[list[tuple[float, ...]]], side: int, supersampling: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (len(boxes), 3, 24, 24), generator=random).to(torch.uint8)
    crops = crop_regions(images, torch.tensor(boxes), side, supersampling)
    expected = sampled_crops(images.float(), torch.tensor(boxes), side, supersampling)
    torch.testing.assert_close(crops / 255, expected / 255, atol=2e-5, rtol=0.0)


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 1.0, 1.0),
        (0.25, 0.3, 0.2501, 0.3001),
        (0.4, 0.4, 0.4, 0.4),
        (0.9, 0.2, 0.1, 0.7),
        (-0.5, -0.5, 0.5, 1.5),
    ],
    ids=["all", "a hundredth of a pixel", "a point", "x in the wrong order", "past the border"],
)
def test_boxes_at_the_demos_size(box: tuple[float, ...]) -> None:
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[box]])
    torch.testing.assert_close(
        crop_regions(images, boxes, 48, 2), sampled_crops(images, boxes, 48, 2), atol=2e-5, rtol=0.0
    )


class Crops(nn.Module):
    """What the exporter takes."""

    def forward(self, images: Tensor, boxes: Tensor) -> Tensor:
        return crop_regions(images, boxes, side=8, supersampling=2)


def test_an_exported_graph_cuts_any_number_of_posts_and_regions(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    boxes = torch.rand(3, 7, 4, generator=torch.Generator().manual_seed(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as `mqspn.export.graphs` does
        torch.onnx.export(
            Crops(),
            (images[:2], boxes[:2, :5]),
            str(tmp_path / "crops.onnx"),
            input_names=["IMAGES", "BOXES"],
            output_names=["CROPS"],
            dynamic_axes={"IMAGES": {0: "B"}, "BOXES": {0: "B", 1: "K"}},
            opset_version=OPSET,
            dynamo=False,
        )
    engine = OnnxEngine(tmp_path / "crops.onnx", threads=1)
    for B, K in ((1, 1), (3, 7)):
        feeds = {"IMAGES": images[:B].numpy(), "BOXES": boxes[:B, :K].numpy()}
        expected = sampled_crops(images[:B].float(), boxes[:B, :K], 8, 2)
        found = torch.from_numpy(engine.run(feeds)["CROPS"])
        torch.testing.assert_close(found / 255, expected / 255, atol=2e-5, rtol=0.0)


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
