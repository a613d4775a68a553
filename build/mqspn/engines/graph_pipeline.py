"""The whole pipeline over four ONNX graphs of a model repository, without a server.

Between the graphs it runs the functions that serving runs, so what it answers is what the served
repository answers; the gates run it on the graphs of two precisions and compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.image import read_image
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import MODELS
from mqspn_backend.text import TextBatch, TextTokenizer
from numpy.typing import NDArray

from mqspn.data.posts import Post
from mqspn.engines.errors import GraphError
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.network_output import NetworkOutput, decode_output
from mqspn.repository import ENGINES
from mqspn.repository.shape_profiles import read_configuration

__all__ = ["GraphPipeline", "find_graphs", "graph_paths"]

Array = NDArray[Any]


def graph_paths(repository: Path) -> dict[str, Path]:
    """Name where the graph of each engine model lies in ``repository``, by model name."""
    return {model: repository / model / "1" / "model.onnx" for model in ENGINES}


def find_graphs(repository: Path) -> dict[str, Path]:
    """Find the graph of each engine model; raises GraphError naming those that are absent."""
    graphs = graph_paths(repository)
    missing = [str(path) for path in graphs.values() if not path.is_file()]
    if missing:
        raise GraphError(
            f"{repository} lacks {', '.join(missing)}; make the model repository with `mqspn build`"
        )
    return graphs


class GraphPipeline:
    """A `mqspn.evaluation.predictors.Predictor` over the graphs of ``repository``.

    ``graphs`` replaces the graph of some or all engine models, by model name; ``engines`` runs
    them. Raises GraphError naming the file that is missing or cannot be read.
    """

    def __init__(
        self,
        repository: Path,
        graphs: Mapping[str, Path] | None = None,
        *,
        threads: int = 2,
        batch_size: int = 16,
    ) -> None:
        folder = repository / "preprocess" / "1"
        self._tokenizer_file = folder / "tokenizer.json"
        self.batch_size = batch_size
        #: The largest batch that serving makes.
        self.max_batch_size: int = read_configuration(repository, ENGINES[0]).max_batch_size
        paths = {**graph_paths(repository), **(graphs or {})}
        try:
            self.settings = ServingSettings.from_file(folder / "serving.json")
            self.tokenizer = TextTokenizer.from_file(self._tokenizer_file, self.settings.buckets)
            self.engines = {model: OnnxEngine(paths[model], threads=threads) for model in ENGINES}
        except (FileNotFoundError, ValueError) as error:  # what the backend raises of such files
            raise GraphError(
                f"{error}; make the model repository again with `mqspn build`"
            ) from error

    def tensors(self, posts: Sequence[Post], bucket: int | None = None) -> dict[str, Array]:
        """Run one batch of ``posts``: every tensor between the models, by its name in serving.

        ``bucket``: the length to pad to, that of the longest post's bucket where it is None.
        """
        return self._run(posts, bucket)[1]

    def predict(self, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
        """Find the entities of each post, in the order of ``posts``; boxes in pixels."""
        answers: list[list[PredictedEntity]] = []
        for first in range(0, len(posts), self.batch_size):
            batch = posts[first : first + self.batch_size]
            tokens, tensors = self._run(batch)
            output = NetworkOutput(
                posts=batch,
                tokens=tokens,
                type_probs=tensors["TYPE_PROBS"],
                start_probs=tensors["START_PROBS"],
                end_probs=tensors["END_PROBS"],
                region_probs=tensors["REGION_PROBS"],
                region_boxes=tensors["REGION_BOXES"],
                region_scores=tensors["REGION_SCORES"],
                sizes=tensors["IMAGE_SIZE"],
            )
            answers += decode_output(output, self.settings.decoding, self.settings.types)
        return answers

    def _run(
        self, posts: Sequence[Post], bucket: int | None = None
    ) -> tuple[TextBatch, dict[str, Array]]:
        images = [
            read_image(
                post.image.read_bytes() if post.image is not None else b"",
                self.settings.image_side,
                max_bytes=self.settings.max_image_bytes,
                max_pixels=self.settings.max_image_pixels,
            )
            for post in posts
        ]
        tokenizer = self.tokenizer
        if bucket is not None:
            tokenizer = TextTokenizer.from_file(self._tokenizer_file, (bucket,))
        tokens = tokenizer.encode([post.text for post in posts])
        tensors: dict[str, Array] = {
            "INPUT_IDS": tokens.input_ids,
            "ATTENTION_MASK": tokens.attention_mask,
            "PIXELS": np.stack([pixels for pixels, _ in images]),
            "IMAGE_SIZE": np.array([size for _, size in images], np.int32),
        }
        for model in ENGINES:
            feeds = {name: tensors[name] for name in MODELS[model].inputs}
            tensors |= self.engines[model].run(feeds, MODELS[model].outputs)
        return tokens, tensors
