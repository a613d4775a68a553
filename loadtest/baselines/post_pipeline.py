"""Answer posts in one process: serving's own preprocessing and decoding around a network.

Every baseline is this pipeline with another network in it, or another server around it. What a post
without image needs no vision for is not computed, as a careful author would have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mqspn_backend.decoding import decode
from mqspn_backend.entities import Entity, post_entities
from mqspn_backend.image import read_image
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import ENGINES, MODELS
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Network", "PostPipeline"]

Array = NDArray[Any]
#: The models that only look at the image, and what they say of it.
_VISUAL = {
    "region_proposer": ("REGION_BOXES", "REGION_SCORES"),
    "region_encoder": ("REGION_STATES",),
}


class Network(Protocol):
    """The four parts of the network, by the name of their model in the ensemble."""

    def run(self, model: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run one part on ``feeds`` by tensor name; its outputs by name."""


class PostPipeline:
    """Answers batches of posts with ``network``.

    ``repository``: the model repository whose serving settings and tokenizer are used. ``threads``:
    images decoded at once. A first post is answered here, so that the first caller's is not.
    """

    def __init__(self, repository: Path, network: Network, *, threads: int) -> None:
        folder = repository / "preprocess" / "1"
        self.settings = ServingSettings.from_file(folder / "serving.json")
        self.tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", self.settings.buckets)
        self.network = network
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="image")
        self._empty: dict[str, Array] = {}
        grey = BytesIO()
        Image.new("RGB", (64, 64), "grey").save(grey, "JPEG")
        self.answer([("a post to warm up with", grey.getvalue())])

    def answer(self, posts: Sequence[tuple[str, bytes]]) -> list[list[Entity]]:
        """Find the entities of each (text, encoded image or nothing) of ``posts``."""
        settings = self.settings
        images = list(self._pool.map(self._read_image, [image for _, image in posts]))
        tokens = self.tokenizer.encode([text for text, _ in posts])
        tensors: dict[str, Array] = {
            "INPUT_IDS": tokens.input_ids,
            "ATTENTION_MASK": tokens.attention_mask,
            "PIXELS": np.stack([pixels for pixels, _ in images]),
            "IMAGE_SIZE": np.array([size for _, size in images], np.int32),
        }
        shown = np.flatnonzero(tensors["IMAGE_SIZE"][:, 0])
        for model in ENGINES:
            feeds = {name: tensors[name] for name in MODELS[model].inputs}
            if model in _VISUAL and len(shown) < len(posts):
                tensors |= self._run_rows(model, feeds, shown, len(posts))
            else:
                tensors |= self.network.run(model, feeds)
        if not self._empty:
            self._empty = {n: np.zeros_like(tensors[n][:1]) for n in sum(_VISUAL.values(), ())}
        predictions = decode(
            tensors["TYPE_PROBS"],
            tensors["START_PROBS"],
            tensors["END_PROBS"],
            tensors["REGION_PROBS"],
            tokens.word_starts,
            tokens.word_ends,
            tensors["REGION_BOXES"],
            tensors["REGION_SCORES"],
            settings.decoding,
        )
        return [
            post_entities(predictions[i], text, tokens.offsets[i], images[i][1], settings.types)
            for i, (text, _) in enumerate(posts)
        ]

    def _read_image(self, data: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        return read_image(
            data,
            self.settings.image_side,
            max_bytes=self.settings.max_image_bytes,
            max_pixels=self.settings.max_image_pixels,
        )

    def _run_rows(
        self, model: str, feeds: Mapping[str, Array], rows: NDArray[np.intp], posts: int
    ) -> dict[str, Array]:
        """Run a visual part on the ``rows`` with an image; the others have no regions."""
        found = {name: np.repeat(self._empty[name], posts, axis=0) for name in _VISUAL[model]}
        if len(rows):
            outputs = self.network.run(model, {name: feeds[name][rows] for name in feeds})
            for name, values in found.items():
                values[rows] = outputs[name]
        return found
