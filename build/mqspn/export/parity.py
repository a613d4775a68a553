"""How far an exported graph is from PyTorch, at shapes that were not traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.tensors import MODELS
from numpy.typing import NDArray
from torch import Tensor, nn

from mqspn.parity import Difference, absolute_difference, compare_runners

__all__ = ["TorchRunner", "check_parity"]


class TorchRunner:
    """Runs a PyTorch ``module`` as `OnnxEngine` runs the graph of ``model``: arrays by name."""

    def __init__(self, model: str, module: nn.Module) -> None:
        self._spec = MODELS[model]
        self._module = module

    @torch.no_grad()
    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The module's outputs by name."""
        found = self._module(*(torch.from_numpy(feeds[name]) for name in self._spec.inputs))
        tensors = (found,) if isinstance(found, Tensor) else found
        named = dict(zip(self._spec.outputs, tensors, strict=True))
        return {name: named[name].numpy() for name in outputs or self._spec.outputs}


def check_parity(
    model: str, module: nn.Module, path: Path, inputs: Sequence[dict[str, Tensor]]
) -> Difference:
    """Run ``module`` and the graph at ``path`` on each of ``inputs`` and compare.

    A difference in shape or type, or one that is not a number, counts as infinite.
    """
    return compare_runners(
        model,
        TorchRunner(model, module),
        OnnxEngine(path, threads=2),
        [{name: value.numpy() for name, value in feeds.items()} for feeds in inputs],
        measure=absolute_difference,
        against=f"PyTorch at {len(inputs)} shapes",
    )
