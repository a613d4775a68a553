"""INT8 in a graph: explicit quantisation by NVIDIA ModelOpt, calibrated on posts.

Pairs of QuantizeLinear and DequantizeLinear stand before the operands of matrix products and
convolutions: symmetric, one scale a tensor for what the graph computes, one a channel for its
weights. A computed tensor's scale comes from its largest magnitude over the calibration posts.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mqspn_backend.tensors import MODELS
from numpy.typing import NDArray

from mqspn.data.posts import Post
from mqspn.engines.errors import CompileSettingsError
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.repository import ENGINES

__all__ = [
    "FEWEST_POSTS",
    "Batch",
    "calibration_batches",
    "calibration_digest",
    "choose_posts",
    "quantise_graph",
]

#: Inputs of a graph by name, B first.
Batch = Mapping[str, NDArray[Any]]

#: Fewer posts than this do not show what values a graph takes.
FEWEST_POSTS = 32
_MOST_POSTS = 128
_BATCH = 8
_OPERATORS = ("MatMul", "Gemm", "Conv")


def choose_posts(posts: Sequence[Post]) -> list[Post]:
    """Choose at most 128 of ``posts``, evenly spread: to calibrate and to compare on.

    Raises CompileSettingsError for fewer than `FEWEST_POSTS`.
    """
    if len(posts) < FEWEST_POSTS:
        raise CompileSettingsError(
            f"{len(posts)} posts are too few to calibrate on: give {FEWEST_POSTS} or more"
        )
    count = min(len(posts), _MOST_POSTS)
    return [posts[i * len(posts) // count] for i in range(count)]


def calibration_digest(posts: Sequence[Post]) -> str:
    """Compute the SHA-256 of the texts and images of ``posts``, in hexadecimal."""
    sha = hashlib.sha256()
    for post in posts:
        for part in (post.text.encode(), b"" if post.image is None else post.image.read_bytes()):
            sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()


def calibration_batches(pipeline: GraphPipeline, posts: Sequence[Post]) -> dict[str, list[Batch]]:
    """Run the pipeline on ``posts``: what each engine model's graph is given, by model name."""
    batches: dict[str, list[Batch]] = {model: [] for model in ENGINES}
    for first in range(0, len(posts), _BATCH):
        tensors = pipeline.tensors(posts[first : first + _BATCH])
        for model in ENGINES:
            batches[model].append({name: tensors[name] for name in MODELS[model].inputs})
    return batches


def quantise_graph(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Write the FP32 graph ``source`` to ``target`` with Q/DQ pairs, the rest still in FP32.

    Raises ImportError without ModelOpt, and whatever ModelOpt raises for a graph that it does not
    take.
    """
    from modelopt.onnx.quantization import quantize
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
        """ModelOpt asks for the first batch, runs through all, and starts again."""

        def __init__(self) -> None:
            self.rewind()

        def get_next(self) -> Batch | None:
            return next(self._left, None)

        def get_first(self) -> Batch:
            return batches[0]

        def rewind(self) -> None:
            self._left = iter(batches)

    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)  # it reports the absence of a GPU as an error
    try:
        # ModelOpt leaves files beside what it reads and what it writes.
        with tempfile.TemporaryDirectory(prefix="mqspn-int8-") as folder:
            graph = Path(folder) / "graph.onnx"
            graph.write_bytes(source.read_bytes())
            quantised = Path(folder) / "quantised.onnx"
            quantize(
                str(graph),
                quantize_mode="int8",
                calibration_method="max",
                calibration_data_reader=Reader(),
                calibration_eps=["cpu"],
                op_types_to_quantize=list(_OPERATORS),
                high_precision_dtype="fp32",
                output_path=str(quantised),
                log_level="ERROR",
            )
            target.write_bytes(quantised.read_bytes())
    finally:
        logging.disable(disabled)
