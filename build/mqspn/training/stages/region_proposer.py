"""The first stage: a class-agnostic detector on every annotated box of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mqspn.data.posts import Post
from mqspn.network import RegionProposer
from mqspn.regions.states import read_pixels
from mqspn.settings import Settings
from mqspn.training.errors import TrainingError
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.stage import Stage

__all__ = ["DetectionBatch", "RegionProposerStage"]

#: Pixels (B, 3, S, S) uint8, and for each image the detector's labels: "class_labels" (N,) int64,
#: all 0, and "boxes" (N, 4) float32, normalised centre x, centre y, width, height.
DetectionBatch = tuple[Tensor, list[dict[str, Tensor]]]


class RegionProposerStage(Stage[DetectionBatch]):
    """Trains the region proposer with its detector's own loss.

    The boxes are those of every object where the data set lists them (synthetic posts do), else
    the gold boxes of the entities. Images are mirrored at random.

    Args:
        proposer: what is trained.
        settings: the run's.
        posts: the train split; those without an image are left out.

    Raises TrainingError where no post has an image.
    """

    def __init__(self, proposer: RegionProposer, settings: Settings, posts: Sequence[Post]) -> None:
        posts = [post for post in posts if post.image is not None]
        if not posts:
            raise TrainingError(
                "training.region_proposer needs images and none was found in images/; for "
                "text-only training set training.region_proposer.epochs and "
                "training.region_encoder.epochs to 0"
            )
        super().__init__(
            name="region_proposer",
            settings=settings.training.region_proposer,
            seed=settings.training.seed,
            items=len(posts),
            batch_items=settings.training.region_proposer.batch_size,
        )
        self.proposer = proposer
        self.run_settings = settings
        self.posts = posts

    def batch(self, epoch: int, items: NDArray[np.int64]) -> DetectionBatch:
        """Read the images of ``items`` and their boxes; half of them are mirrored."""
        chosen = [self.posts[i] for i in items]
        pixels, sizes = read_pixels(chosen, self.run_settings)
        randoms = item_random(self.seed, epoch, items)
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

    def loss(self, batch: DetectionBatch) -> dict[str, Tensor]:
        """Compute the detector's own loss of a batch.

        Where processes share a batch it is the mean of theirs: each divides by its own boxes.
        """
        device = self.proposer.mean.device
        pixels = batch[0].to(device)
        labels = [{key: value.to(device) for key, value in label.items()} for label in batch[1]]
        output = self.proposer.detector(pixel_values=self.proposer.normalise(pixels), labels=labels)
        return {"loss": output.loss}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The whole proposer learns."""
        return [{"params": list(self.proposer.parameters())}]


def _boxes(post: Post) -> NDArray[np.float32]:
    """(N, 4) float32 pixels x1, y1, x2, y2."""
    boxes = [o.box for o in post.objects] or [b for e in post.entities for b in e.boxes]
    return np.array(sorted(set(boxes)), np.float32).reshape(-1, 4)
