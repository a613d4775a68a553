"""Predict with a checkpoint, without a server: PyTorch between serving's NumPy functions.

In two halves, so that the second can be had many times for one of the first: what the network says
of a batch (`network_outputs`), and the entities that decoding makes of it
(`mqspn.evaluation.network_output.decode_output`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from tqdm import tqdm

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.network_output import NetworkOutput, decode_output
from mqspn.regions.states import RegionStates, compute_region_states

__all__ = [
    "CheckpointPredictor",
    "network_outputs",
    "predict_with_states",
]


class CheckpointPredictor:
    """Predicts with a checkpoint in PyTorch; a `mqspn.evaluation.predictors.Predictor`.

    ``proposals``: a folder of regions proposed before, which are taken instead of running the
    region proposer. The attribute ``proposals`` keeps the regions of every post predicted with its
    image: by post id, (n, 4) in pixels of the upright image, best first.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        proposals: Path | None = None,
        *,
        batch_size: int = 32,
        progress: bool = True,
    ):
        self.checkpoint = checkpoint
        self.batch_size = batch_size
        self.progress = progress
        self.proposals: dict[str, NDArray[np.float32]] = {}
        self._proposals_folder = proposals

    def predict(self, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
        """Predict the entities of each post, in the posts' order."""
        regions = compute_region_states(
            self.checkpoint.model,
            self.checkpoint.settings,
            posts,
            proposals=self._proposals_folder,
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


def network_outputs(
    checkpoint: Checkpoint,
    posts: Sequence[Post],
    regions: RegionStates,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> Iterator[NetworkOutput]:
    """Run the network over ``posts``, whose region states are already computed, batch by batch."""
    settings, model = checkpoint.settings, checkpoint.model.eval()
    text = TextTokenizer(checkpoint.tokenizer, settings.serving.buckets)
    for first in tqdm(
        range(0, len(posts), batch_size), desc="posts", unit="batch", disable=not progress
    ):
        rows = slice(first, first + batch_size)
        tokens = text.encode([post.text for post in posts[rows]])
        inputs = (
            tokens.input_ids,
            tokens.attention_mask,
            regions.visual_states[rows],
            regions.boxes[rows],
            regions.scores[rows],
        )
        with torch.inference_mode():
            prediction = model(*(torch.from_numpy(a).to(model.device) for a in inputs))[-1]
            types, starts, ends, chosen = (
                p.float().cpu().numpy() for p in prediction.probabilities()
            )
        yield NetworkOutput(
            posts=posts[rows],
            tokens=tokens,
            type_probs=types,
            start_probs=starts,
            end_probs=ends,
            region_probs=chosen,
            region_boxes=regions.boxes[rows],
            region_scores=regions.scores[rows],
            sizes=regions.sizes[rows],
        )


def predict_with_states(
    checkpoint: Checkpoint,
    posts: Sequence[Post],
    regions: RegionStates,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> list[list[PredictedEntity]]:
    """Predict the entities of ``posts`` whose region states are already computed."""
    settings = checkpoint.settings
    types = [t.name for t in settings.types]
    answers: list[list[PredictedEntity]] = []
    for output in network_outputs(
        checkpoint, posts, regions, batch_size=batch_size, progress=progress
    ):
        answers += decode_output(output, settings.decoding, types)
    return answers
