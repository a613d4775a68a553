"""The second stage: the visual encoder learns to tell looks apart, on crops of drawn objects.

It stands in for pretrained weights where none can be had. The classifier is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mqspn.data.posts import Post
from mqspn.network import RegionEncoder
from mqspn.regions.states import read_pixels
from mqspn.settings import Settings
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.processes import mean_over_processes
from mqspn.training.loop.stage import Stage

__all__ = ["region_encoder_stage"]

_Batch = tuple[Tensor, Tensor, Tensor]
_CROPS = 4  # crops an image gives: its objects, the rest background


class _LookClassifier(nn.Module):
    def __init__(self, encoder: RegionEncoder, looks: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classify = nn.Linear(encoder.visual_width, looks)

    def name_looks(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Logits (B, crops, looks) of the crops ``boxes`` (B, crops, 4) of ``pixels``."""
        return self.classify(self.encoder.visual_states(pixels, boxes))  # type: ignore[no-any-return]

    def forward(self, batch: _Batch) -> dict[str, Tensor]:
        """Cross-entropy of the looks, over all processes' crops; colours are jittered."""
        pixels, boxes, labels = (tensor.to(self.encoder.mean.device) for tensor in batch)
        if float(torch.rand(())) < 0.5:  # brightness and channel gain
            gain = 0.8 + 0.4 * torch.rand(len(pixels), 3, 1, 1, device=pixels.device)
            pixels = (pixels.float() * gain).clamp(0, 255).to(torch.uint8)
        logits = self.name_looks(pixels, boxes).flatten(0, 1)
        flat = labels.flatten()
        total = F.cross_entropy(
            logits, flat, ignore_index=-100, label_smoothing=0.05, reduction="sum"
        )
        count = mean_over_processes((flat != -100).sum().float())
        return {"loss": total / count.clamp(min=1.0)}


def region_encoder_stage(
    encoder: RegionEncoder, settings: Settings, posts: Sequence[Post], held_out: Sequence[Post]
) -> Stage[_Batch]:
    """Train ``encoder``'s vision transformer to name the look in a crop, "background" included.

    Crops are the annotated boxes, jittered by up to a tenth of their size. The stage's score is
    the share of ``held_out`` objects named right. Raises ValueError where the data set does not
    list its objects: then use a pretrained region encoder and leave the stage's epochs at 0.
    """
    posts = [post for post in posts if post.image is not None and post.objects]
    if not posts:
        raise ValueError(
            "training.region_encoder needs annotations/<split>.jsonl with the objects' looks; "
            "without them set training.region_encoder.epochs to 0 and use a pretrained encoder"
        )
    looks = {
        look: i + 1 for i, look in enumerate(sorted({o.look for p in posts for o in p.objects}))
    }
    torch.manual_seed(settings.training.seed)
    classifier = _LookClassifier(encoder, len(looks) + 1).to(encoder.mean.device)
    stage = settings.training.region_encoder

    def crops(
        chosen: Sequence[Post], randoms: Sequence[np.random.Generator], jitter: float
    ) -> _Batch:
        pixels, sizes = read_pixels(chosen, settings)
        boxes = np.zeros((len(chosen), _CROPS, 4), np.float32)
        labels = np.zeros((len(chosen), _CROPS), np.int64)
        for i, (post, random) in enumerate(zip(chosen, randoms, strict=True)):
            objects = list(post.objects)
            random.shuffle(objects)  # type: ignore[arg-type]
            taken = np.array([o.box for o in post.objects], np.float32) / np.tile(sizes[i], 2)
            for j in range(_CROPS):
                if j < len(objects):
                    box = np.array(objects[j].box, np.float32) / np.tile(sizes[i], 2)
                    extent = np.tile(box[2:] - box[:2], 2)
                    box = box + random.uniform(-jitter, jitter, 4) * extent
                    boxes[i, j] = np.clip(box, 0, 1)
                    labels[i, j] = looks.get(objects[j].look, -100)
                else:
                    boxes[i, j], clear = _background(taken, random)
                    labels[i, j] = 0 if clear else -100
        return torch.from_numpy(pixels), torch.from_numpy(boxes), torch.from_numpy(labels)

    def make(epoch: int, items: NDArray[np.int64]) -> _Batch:
        randoms = item_random(settings.training.seed, epoch, items)
        return crops([posts[i] for i in items], randoms, 0.1)

    @torch.inference_mode()
    def score() -> Mapping[str, float]:
        right = total = 0
        seen = [post for post in held_out if post.image is not None and post.objects]
        for first in range(0, len(seen), 32):
            chosen = seen[first : first + 32]
            randoms = item_random(0, 0, range(first, first + len(chosen)))
            pixels, boxes, labels = (
                tensor.to(encoder.mean.device) for tensor in crops(chosen, randoms, 0.0)
            )
            named = classifier.name_looks(pixels, boxes).argmax(dim=-1)
            objects = labels > 0
            right += int(((named == labels) & objects).sum())
            total += int(objects.sum())
        return {"score": right / max(total, 1)}

    return Stage(
        name="region_encoder",
        module=classifier,
        groups=[
            {"params": [*encoder.vision.parameters(), *classifier.classify.parameters()]},
        ],
        settings=stage,
        seed=settings.training.seed,
        items=len(posts),
        batch_items=max(1, stage.batch_size // _CROPS),
        make=make,
        score=score if any(post.image and post.objects for post in held_out) else None,
    )


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
