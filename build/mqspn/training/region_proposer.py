"""The first stage: a class-agnostic detector on every annotated box of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mqspn.data.posts import Post
from mqspn.network import RegionProposer
from mqspn.settings import Settings
from mqspn.training.region_states import read_pixels
from mqspn.training.stage import Stage

__all__ = ["region_proposer_stage"]

_Batch = tuple[Tensor, list[dict[str, Tensor]]]


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
    size = stage.batch_size

    def batches(epoch: int, random: np.random.Generator) -> Iterator[_Batch]:
        order = random.permutation(len(posts))
        for first in range(0, len(order), size):
            chosen = [posts[i] for i in order[first : first + size]]
            pixels, sizes = read_pixels(chosen, settings)
            labels = []
            for i, post in enumerate(chosen):
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
            yield torch.from_numpy(pixels), labels

    def loss(batch: _Batch) -> dict[str, Tensor]:
        device = proposer.mean.device
        pixels = batch[0].to(device)
        labels = [{key: value.to(device) for key, value in label.items()} for label in batch[1]]
        output = proposer.detector(pixel_values=proposer.normalise(pixels), labels=labels)
        return {"loss": output.loss}

    return Stage(
        name="region_proposer",
        module=proposer,
        groups=[{"params": list(proposer.parameters())}],
        settings=stage,
        seed=settings.training.seed,
        steps=-(-len(posts) // size),
        batches=batches,
        loss=loss,
    )


def _boxes(post: Post) -> NDArray[np.float32]:
    """(N, 4) float32 pixels x1, y1, x2, y2."""
    boxes = [o.box for o in post.objects] or [b for e in post.entities for b in e.boxes]
    return np.array(sorted(set(boxes)), np.float32).reshape(-1, 4)
