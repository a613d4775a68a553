"""The first stage: a class-agnostic detector on every annotated box of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mqspn.data.posts import Post
from mqspn.network import RegionProposer
from mqspn.regions.states import read_pixels
from mqspn.settings import Settings
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.stage import Stage

__all__ = ["region_proposer_stage"]

_Batch = tuple[Tensor, list[dict[str, Tensor]]]


class _DetectionLoss(nn.Module):
    """The detector's own loss of a batch.

    Where processes share a batch it is the mean of theirs: each divides by its own boxes.
    """

    def __init__(self, proposer: RegionProposer) -> None:
        super().__init__()
        self.proposer = proposer

    def forward(self, batch: _Batch) -> dict[str, Tensor]:
        device = self.proposer.mean.device
        pixels = batch[0].to(device)
        labels = [{key: value.to(device) for key, value in label.items()} for label in batch[1]]
        output = self.proposer.detector(pixel_values=self.proposer.normalise(pixels), labels=labels)
        return {"loss": output.loss}


def region_proposer_stage(
    proposer: RegionProposer, settings: Settings, posts: Sequence[Post]
) -> Stage[_Batch]:
    """Train ``proposer`` on the posts that have an image.

    The boxes are those of every object where the data set lists them (drawn posts do), else the
    gold boxes of the entities. Images are mirrored at random.
    """
    posts = [post for post in posts if post.image is not None]
    if not posts:
        raise ValueError(
            "training.region_proposer needs images and none was found in images/; for text-only "
            "training set training.region_proposer.epochs and training.region_encoder.epochs to 0"
        )
    stage = settings.training.region_proposer

    def make(epoch: int, items: NDArray[np.int64]) -> _Batch:
        chosen = [posts[i] for i in items]
        pixels, sizes = read_pixels(chosen, settings)
        randoms = item_random(settings.training.seed, epoch, items)
        labels = []
        for i, (post, random) in enumerate(zip(chosen, randoms, strict=True)):
            boxes = _boxes(post) / np.tile(sizes[i], 2).astype(np.float32)
            if random.random() < 0.5:
                pixels[i] = pixels[i, :, :, ::-1]
                boxes[:, [0, 2]] = 1.0 - boxes[:, [2, 0]]
            centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            labels.append(
                {
                    "class_labels": torch.zeros(len(boxes), dtype=torch.int64),
                    "boxes": torch.from_numpy(np.concatenate([centre, extent], axis=1)),
                }
            )
        return torch.from_numpy(pixels), labels

    return Stage(
        name="region_proposer",
        module=_DetectionLoss(proposer),
        groups=[{"params": list(proposer.parameters())}],
        settings=stage,
        seed=settings.training.seed,
        items=len(posts),
        batch_items=stage.batch_size,
        make=make,
    )


def _boxes(post: Post) -> NDArray[np.float32]:
    """(N, 4) float32 pixels x1, y1, x2, y2."""
    boxes = [o.box for o in post.objects] or [b for e in post.entities for b in e.boxes]
    return np.array(sorted(set(boxes)), np.float32).reshape(-1, 4)
