"""The two networks that a pipeline can run: PyTorch eager, or the ONNX graphs that are served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mqspn_backend.tensors import ENGINES, MODELS
from numpy.typing import NDArray

from baselines.post_pipeline import Network, PostPipeline

__all__ = ["CHECKPOINT", "NETWORKS", "REPOSITORY", "eager_pipeline", "onnx_pipeline"]

Array = NDArray[Any]
_ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = _ROOT / "build" / "checkpoints" / "demo"
#: The committed model repository, made of that checkpoint.
REPOSITORY = _ROOT / "model_repository"


class _Eager:
    """A checkpoint in PyTorch eager, FP32, on the CPU: the modules that export traces."""

    def __init__(self, checkpoint: Path, threads: int) -> None:
        import torch
        from mqspn.checkpoint import load_checkpoint
        from mqspn.export.graphs import graph_modules

        torch.set_num_threads(threads)
        self._torch = torch
        model = load_checkpoint(checkpoint).model.eval().requires_grad_(False)
        self._parts = {name: part.eval() for name, part in graph_modules(model).items()}

    def run(self, model: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        torch = self._torch
        with torch.inference_mode():
            inputs = [torch.from_numpy(np.ascontiguousarray(v)) for v in feeds.values()]
            outputs = self._parts[model](*inputs)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        return {n: o.numpy() for n, o in zip(MODELS[model].outputs, outputs, strict=True)}


class _Onnx:
    """The four ONNX graphs of a model repository, on ONNX Runtime as serving sets it up."""

    def __init__(self, repository: Path, threads: int) -> None:
        from mqspn_backend.engine import OnnxEngine

        self._engines = {
            model: OnnxEngine(repository / model / "1" / "model.onnx", threads=threads)
            for model in ENGINES
        }

    def run(self, model: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._engines[model].run(feeds, MODELS[model].outputs)


def eager_pipeline(*, threads: int) -> PostPipeline:
    """Make the committed checkpoint's pipeline in PyTorch, ``threads`` threads in an operator."""
    network: Network = _Eager(CHECKPOINT, threads)
    return PostPipeline(REPOSITORY, network, threads=threads)


def onnx_pipeline(*, threads: int) -> PostPipeline:
    """Make the pipeline over the committed graphs, ``threads`` threads in an operator."""
    network: Network = _Onnx(REPOSITORY, threads)
    return PostPipeline(REPOSITORY, network, threads=threads)


#: By the name that the command line takes.
NETWORKS: dict[str, Callable[..., PostPipeline]] = {
    "eager": eager_pipeline,
    "onnx": onnx_pipeline,
}
