"""Run a TensorRT plan on this machine's GPU, for the tensor gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PlanRunner"]

Array = NDArray[Any]


class PlanRunner:
    """A `mqspn.engines.tensor_gate.Runner` over a plan, through Polygraphy; needs the plan's GPU.

    Use it in a ``with`` block, which frees the engine.
    """

    def __init__(self, plan: bytes) -> None:
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        self._runner: Any = TrtRunner(EngineFromBytes(plan))

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The plan's outputs by name, copied off the GPU."""
        found = self._runner.infer({name: np.ascontiguousarray(a) for name, a in feeds.items()})
        return {name: np.array(found[name]) for name in (outputs or found)}

    def __enter__(self) -> PlanRunner:
        self._runner.activate()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.deactivate()
