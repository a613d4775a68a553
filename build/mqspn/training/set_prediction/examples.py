"""From posts to what the network learns from: tokens, region states and gold targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mqspn_backend.boxes import iou_matrix
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from torch import Tensor

from mqspn.data.posts import Post
from mqspn.regions.states import RegionStates

__all__ = ["Batch", "Example", "Target", "collate", "make_examples"]


@dataclass(frozen=True)
class Target:
    """A post's gold entities as targets: N entities.

    ``types`` (N,) int64, 1 to T; ``starts``, ``ends`` (N,) int64 token positions, end inclusive;
    ``regions`` (N, R) float32, 1 where a region is a right answer, index 0 the null region.
    """

    types: Tensor
    starts: Tensor
    ends: Tensor
    regions: Tensor


@dataclass(frozen=True)
class Example:
    """One post's tokens (L,), the row of its region states, and its targets."""

    input_ids: NDArray[np.int32]
    row: int
    target: Target


@dataclass(frozen=True)
class Batch:
    """Tensors of `mqspn.network.Mqspn.forward`, and the targets of its posts."""

    input_ids: Tensor
    attention_mask: Tensor
    visual_states: Tensor
    region_boxes: Tensor
    region_scores: Tensor
    targets: list[Target]


def make_examples(
    posts: Sequence[Post],
    regions: RegionStates,
    tokenizer: TextTokenizer,
    *,
    types: Sequence[str],
    region_iou: float,
) -> tuple[list[Example], int]:
    """Turn ``posts`` into examples; also count the gold entities that had to be left out.

    Left out: entities past the longest token bucket, and those whose span is not made of whole
    words of the tokenizer. A region is right where its IoU with any gold box exceeds
    ``region_iou``; where none is, the null region is right (for training only).
    """
    examples, lost = [], 0
    for row, post in enumerate(posts):
        tokens = tokenizer.encode([post.text])
        length = int(tokens.attention_mask[0].sum())
        offsets = tokens.offsets[0]
        start_at = {int(offsets[i, 0]): i for i in np.flatnonzero(tokens.word_starts[0])}
        end_at = {int(offsets[i, 1]): i for i in np.flatnonzero(tokens.word_ends[0])}
        right_types, starts, ends, right_regions = [], [], [], []
        for entity in post.entities:
            start, end = start_at.get(entity.start), end_at.get(entity.end)
            if start is None or end is None or entity.type not in types:
                lost += 1
                continue
            right_types.append(1 + types.index(entity.type))
            starts.append(start)
            ends.append(end)
            right_regions.append(_right_regions(entity.boxes, regions, row, region_iou))
        R = regions.boxes.shape[1] + 1
        examples.append(
            Example(
                tokens.input_ids[0, :length],
                row,
                Target(
                    torch.tensor(right_types, dtype=torch.int64),
                    torch.tensor(starts, dtype=torch.int64),
                    torch.tensor(ends, dtype=torch.int64),
                    torch.from_numpy(np.array(right_regions, np.float32).reshape(-1, R)),
                ),
            )
        )
    return examples, lost


def _right_regions(
    gold: Sequence[tuple[float, float, float, float]],
    regions: RegionStates,
    row: int,
    threshold: float,
) -> NDArray[np.float32]:
    """(R,) float32: 1 at every right region, or at the null region where there is none."""
    right = np.zeros(regions.boxes.shape[1] + 1, np.float32)
    width, height = regions.sizes[row]
    if gold and width:
        pixels = np.array([width, height, width, height], np.float32)
        iou = iou_matrix(regions.boxes[row] * pixels, np.array(gold, np.float32))  # (K, G)
        right[1:] = (iou.max(axis=1) > threshold) & (regions.scores[row] > 0)
    if not right.any():
        right[0] = 1.0
    return right


def collate(
    examples: Sequence[Example],
    regions: RegionStates,
    *,
    pad_token_id: int,
    unknown_token_id: int,
    word_dropout: float = 0.0,
    entity_dropout: float = 0.0,
    image_dropout: float = 0.0,
    randoms: Sequence[np.random.Generator] | None = None,
) -> Batch:
    """Make a batch of examples, padded to the longest; in training drop tokens and images.

    A dropped token becomes [UNK]. A post whose image is dropped is taught that nothing of it is in
    the image.

    Args:
        examples: B of them.
        regions: of all posts; an example's ``row`` is its own there.
        pad_token_id, unknown_token_id: the tokenizer's.
        word_dropout: share of the tokens outside entities that are dropped.
        entity_dropout: share of those inside.
        image_dropout: share of the images.
        randoms: a generator for each example; None drops nothing.
    """
    B, L = len(examples), max(len(e.input_ids) for e in examples)
    input_ids = np.full((B, L), pad_token_id, np.int32)
    attention_mask = np.zeros((B, L), np.int32)
    rows = [e.row for e in examples]
    scores = regions.scores[rows].copy()
    targets = []
    for i, example in enumerate(examples):
        ids = example.input_ids
        target = example.target
        random = None if randoms is None else randoms[i]
        if random is not None and (word_dropout > 0 or entity_dropout > 0):
            share = np.full(len(ids), word_dropout)
            share[[0, -1]] = 0.0  # [CLS], [SEP]
            for start, end in zip(target.starts.tolist(), target.ends.tolist(), strict=True):
                share[start : end + 1] = entity_dropout
            ids = np.where(random.random(len(ids)) < share, unknown_token_id, ids)
        if random is not None and random.random() < image_dropout:
            scores[i] = 0.0
            null = torch.zeros_like(target.regions)
            null[:, 0] = 1.0
            target = Target(target.types, target.starts, target.ends, null)
        input_ids[i, : len(ids)] = ids
        attention_mask[i, : len(ids)] = 1
        targets.append(target)
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(attention_mask),
        torch.from_numpy(regions.visual_states[rows]),
        torch.from_numpy(regions.boxes[rows]),
        torch.from_numpy(scores),
        targets,
    )
