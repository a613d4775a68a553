"""Decode the network's output for a batch of posts to entities, whatever ran the network.

Without PyTorch: `mqspn compile` scores ONNX graphs where only the compiler is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mqspn_backend.decoding import decode
from mqspn_backend.entities import post_entities
from mqspn_backend.serving_settings import DecodingSettings
from mqspn_backend.text import TextBatch
from numpy.typing import NDArray

from mqspn.data.posts import Post
from mqspn.evaluation.metrics import PredictedEntity

__all__ = ["NetworkOutput", "decode_output"]


@dataclass(frozen=True, kw_only=True)
class NetworkOutput:
    """The network's probabilities for B posts, with their regions and image sizes.

    ``type_probs`` (B, Q, T + 1), ``start_probs`` and ``end_probs`` (B, Q, L), ``region_probs``
    (B, Q, R): float32. ``region_boxes`` (B, K, 4) float32, normalised x1, y1, x2, y2;
    ``region_scores`` (B, K) float32, 0 for padding; ``sizes`` (B, 2) int32, width and height in
    pixels of the upright image, 0 where there is none.
    """

    posts: Sequence[Post]
    tokens: TextBatch
    type_probs: NDArray[np.float32]
    start_probs: NDArray[np.float32]
    end_probs: NDArray[np.float32]
    region_probs: NDArray[np.float32]
    region_boxes: NDArray[np.float32]
    region_scores: NDArray[np.float32]
    sizes: NDArray[np.int32]


def decode_output(
    output: NetworkOutput, settings: DecodingSettings, types: Sequence[str]
) -> list[list[PredictedEntity]]:
    """Decode ``output`` to the entities of each post; ``types``: the names of the T types."""
    decoded = decode(
        output.type_probs,
        output.start_probs,
        output.end_probs,
        output.region_probs,
        output.tokens.word_starts,
        output.tokens.word_ends,
        output.region_boxes,
        output.region_scores,
        settings,
    )
    answers = []
    for i, post in enumerate(output.posts):
        size = (int(output.sizes[i, 0]), int(output.sizes[i, 1]))
        found = post_entities(decoded[i], post.text, output.tokens.offsets[i], size, types)
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
