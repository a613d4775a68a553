"""Predictions of a checkpoint without a server: PyTorch between serving's own NumPy functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mqspn_backend.decoding import decode
from mqspn_backend.entities import post_entities
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from tqdm import tqdm

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.training.region_states import RegionStates, compute_region_states

__all__ = ["CheckpointPredictor", "predict_with_states"]


class CheckpointPredictor:
    """A `mqspn.evaluation.predictors.Predictor` over a checkpoint.

    ``proposals`` keeps the proposed regions of every post predicted with its image: by post id,
    (n, 4) in pixels of the upright image, best first.
    """

    def __init__(self, checkpoint: Checkpoint, *, batch_size: int = 32, progress: bool = True):
        self.checkpoint = checkpoint
        self.batch_size = batch_size
        self.progress = progress
        self.proposals: dict[str, NDArray[np.float32]] = {}

    def predict(self, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
        """Entities of each post, in the posts' order."""
        regions = compute_region_states(
            self.checkpoint.model,
            self.checkpoint.settings,
            posts,
            batch_size=self.batch_size,
            progress=self.progress,
        )
        self.proposals |= {
            post.id: regions.proposals(row)
            for row, post in enumerate(posts)
            if post.image is not None
        }
        return predict_with_states(
            self.checkpoint,
            posts,
            regions,
            batch_size=self.batch_size,
            progress=self.progress,
        )


@torch.inference_mode()
def predict_with_states(
    checkpoint: Checkpoint,
    posts: Sequence[Post],
    regions: RegionStates,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> list[list[PredictedEntity]]:
    """Entities of ``posts`` whose region states are already computed."""
    settings, model = checkpoint.settings, checkpoint.model.eval()
    text = TextTokenizer(checkpoint.tokenizer, settings.serving.buckets)
    names = [t.name for t in settings.types]
    answers: list[list[PredictedEntity]] = []
    for first in tqdm(
        range(0, len(posts), batch_size), desc="posts", unit="batch", disable=not progress
    ):
        rows = slice(first, first + batch_size)
        chunk = posts[rows]
        tokens = text.encode([post.text for post in chunk])
        boxes, scores = regions.boxes[rows], regions.scores[rows]
        prediction = model(
            *(
                torch.from_numpy(array).to(model.device)
                for array in (
                    tokens.input_ids,
                    tokens.attention_mask,
                    regions.visual_states[rows],
                    boxes,
                    scores,
                )
            )
        )[-1]
        types, starts, ends, chosen = (p.cpu().numpy() for p in prediction.probabilities())
        decoded = decode(
            types,
            starts,
            ends,
            chosen,
            tokens.word_starts,
            tokens.word_ends,
            boxes,
            scores,
            settings.decoding,
        )
        for i, post in enumerate(chunk):
            size = (int(regions.sizes[first + i, 0]), int(regions.sizes[first + i, 1]))
            found = post_entities(decoded[i], post.text, tokens.offsets[i], size, names)
            answers.append(
                [
                    PredictedEntity(
                        e["start"],
                        e["end"],
                        e["type"],
                        (e["box"][0], e["box"][1], e["box"][2], e["box"][3]) if e["box"] else None,
                        e["score"],
                    )
                    for e in found
                ]
            )
    return answers
