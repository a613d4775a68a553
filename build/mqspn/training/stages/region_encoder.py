"""The second stage: the visual encoder learns to classify objects, on crops of synthetic posts.

It stands in for pretrained weights where none can be had. The classifier is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mqspn.data.posts import Post
from mqspn.network import RegionEncoder
from mqspn.regions.states import read_pixels
from mqspn.settings import Settings
from mqspn.training.errors import TrainingError
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.processes import mean_over_processes
from mqspn.training.loop.stage import Stage

__all__ = ["CropBatch", "RegionEncoderStage"]

#: Pixels (B, 3, S, S) uint8; boxes (B, crops, 4) float32, normalised x1, y1, x2, y2; labels
#: (B, crops) int64, 0 background, -100 not counted.
CropBatch = tuple[Tensor, Tensor, Tensor]
_CROPS = 4  # crops an image gives: its objects, the rest background
_IGNORED = -100
_BACKGROUND = 0


class RegionEncoderStage(Stage[CropBatch]):
    """Trains the vision transformer to name the object class in a crop, "background" included.

    Crops are the annotated boxes, jittered by up to a tenth of their size. The stage's score is
    the share of held-out objects named right.

    Args:
        encoder: what is trained.
        settings: the run's.
        posts: the train split; those without an image or objects are left out.
        held_out: the dev split.

    Raises TrainingError where the data set does not list its objects: then use a pretrained region
    encoder and leave the stage's epochs at 0.
    """

    def __init__(
        self,
        encoder: RegionEncoder,
        settings: Settings,
        posts: Sequence[Post],
        held_out: Sequence[Post],
    ) -> None:
        posts, held_out = _with_objects(posts), _with_objects(held_out)
        if not posts:
            raise TrainingError(
                "training.region_encoder needs annotations/<split>.jsonl with object classes; "
                "without them set training.region_encoder.epochs to 0 and use a pretrained encoder"
            )
        super().__init__(
            name="region_encoder",
            settings=settings.training.region_encoder,
            seed=settings.training.seed,
            items=len(posts),
            batch_items=max(1, settings.training.region_encoder.batch_size // _CROPS),
            scored=bool(held_out),
        )
        self.run_settings = settings
        self.posts = posts
        self.held_out = held_out
        names = sorted({o.object_class for post in posts for o in post.objects})
        self.labels = {name: label for label, name in enumerate(names, 1)}
        self.encoder = encoder
        torch.manual_seed(self.seed)
        classify = nn.Linear(encoder.visual_width, len(self.labels) + 1)
        self.classify = classify.to(encoder.mean.device)

    def batch(self, epoch: int, items: NDArray[np.int64]) -> CropBatch:
        """Read the images of ``items``, with jittered crops."""
        randoms = item_random(self.seed, epoch, items)
        return self._crops([self.posts[i] for i in items], randoms, jitter=0.1)

    def loss(self, batch: CropBatch) -> dict[str, Tensor]:
        """Compute the cross-entropy of the classes, over all processes' crops.

        Brightness and the channels' gain are jittered in half of the batches.
        """
        pixels, boxes, labels = (tensor.to(self.encoder.mean.device) for tensor in batch)
        if float(torch.rand(())) < 0.5:
            gain = 0.8 + 0.4 * torch.rand(len(pixels), 3, 1, 1, device=pixels.device)
            pixels = (pixels.float() * gain).clamp(0, 255).to(torch.uint8)
        logits = self.class_logits(pixels, boxes).flatten(0, 1)
        flat = labels.flatten()
        total = F.cross_entropy(
            logits, flat, ignore_index=_IGNORED, label_smoothing=0.05, reduction="sum"
        )
        count = mean_over_processes((flat != _IGNORED).sum().float())
        return {"loss": total / count.clamp(min=1.0)}

    def class_logits(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Logits (B, crops, classes) of the crops ``boxes`` (B, crops, 4) of ``pixels``."""
        return self.classify(self.encoder.visual_states(pixels, boxes))  # type: ignore[no-any-return]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The vision transformer and the classifier learn."""
        return [{"params": [*self.encoder.vision.parameters(), *self.classify.parameters()]}]

    @torch.inference_mode()
    def score(self) -> Mapping[str, float]:
        """Measure the share of held-out objects named right."""
        right = total = 0
        for first in range(0, len(self.held_out), 32):
            chosen = self.held_out[first : first + 32]
            randoms = item_random(0, 0, range(first, first + len(chosen)))
            pixels, boxes, labels = (
                tensor.to(self.encoder.mean.device)
                for tensor in self._crops(chosen, randoms, jitter=0.0)
            )
            named = self.class_logits(pixels, boxes).argmax(dim=-1)
            objects = labels > _BACKGROUND
            right += int(((named == labels) & objects).sum())
            total += int(objects.sum())
        return {"score": right / max(total, 1)}

    def _crops(
        self, posts: Sequence[Post], randoms: Sequence[np.random.Generator], *, jitter: float
    ) -> CropBatch:
        """Choose the crops of each post's image with its own generator."""
        pixels, sizes = read_pixels(posts, self.run_settings)
        boxes = np.zeros((len(posts), _CROPS, 4), np.float32)
        labels = np.zeros((len(posts), _CROPS), np.int64)
        for i, (post, random) in enumerate(zip(posts, randoms, strict=True)):
            objects = list(post.objects)
            random.shuffle(objects)  # type: ignore[arg-type]
            taken = np.array([o.box for o in post.objects], np.float32) / np.tile(sizes[i], 2)
            for j in range(_CROPS):
                if j < len(objects):
                    box = np.array(objects[j].box, np.float32) / np.tile(sizes[i], 2)
                    extent = np.tile(box[2:] - box[:2], 2)
                    box = box + random.uniform(-jitter, jitter, 4) * extent
                    boxes[i, j] = np.clip(box, 0, 1)
                    labels[i, j] = self.labels.get(objects[j].object_class, _IGNORED)
                else:
                    boxes[i, j], clear = _background(taken, random)
                    labels[i, j] = _BACKGROUND if clear else _IGNORED
        return torch.from_numpy(pixels), torch.from_numpy(boxes), torch.from_numpy(labels)


def _with_objects(posts: Sequence[Post]) -> list[Post]:
    return [post for post in posts if post.image is not None and post.objects]


def _background(
    taken: NDArray[np.float32], random: np.random.Generator
) -> tuple[NDArray[np.float32], bool]:
    """A random box, and whether less than a fifth of it is covered by an object."""
    extent = random.uniform(0.15, 0.5, 2)
    corner = random.uniform(0, 1 - extent)
    box = np.concatenate([corner, corner + extent]).astype(np.float32)
    overlap = np.clip(
        np.minimum(taken[:, 2:], box[2:]) - np.maximum(taken[:, :2], box[:2]), 0, None
    ).prod(axis=1)
    return box, bool((overlap < 0.2 * extent.prod()).all())
