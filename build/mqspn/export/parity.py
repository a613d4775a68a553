"""How far an exported graph is from PyTorch, at shapes that were not traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.tensors import MODELS
from torch import Tensor, nn

__all__ = ["Parity", "check_parity"]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The largest absolute difference of each output of a graph, over all checked shapes."""

    graph: str
    differences: dict[str, float]
    shapes: int

    @property
    def largest(self) -> float:
        return max(self.differences.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.1e}" for name, value in self.differences.items())
        return f"{self.graph}: largest difference from PyTorch at {self.shapes} shapes: {parts}"


@torch.no_grad()
def check_parity(
    name: str, module: nn.Module, path: Path, inputs: Sequence[dict[str, Tensor]]
) -> Parity:
    """Run ``module`` and the graph at ``path`` on each of ``inputs`` and compare.

    A difference in shape, or one that is not a number, counts as infinite.
    """
    engine = OnnxEngine(path, threads=2)
    differences = dict.fromkeys(MODELS[name].outputs, 0.0)
    for feeds in inputs:
        expected = module(*feeds.values())
        if isinstance(expected, Tensor):
            expected = (expected,)
        found = engine.run({key: value.numpy() for key, value in feeds.items()})
        for output, value in zip(differences, expected, strict=True):
            reference = value.numpy()
            if found[output].shape != reference.shape:
                differences[output] = float("inf")
                continue
            difference = float(np.abs(found[output] - reference).max(initial=0.0))
            # max() would pass over a difference that is not a number.
            difference = difference if np.isfinite(difference) else float("inf")
            differences[output] = max(differences[output], difference)
    return Parity(graph=name, differences=differences, shapes=len(inputs))
