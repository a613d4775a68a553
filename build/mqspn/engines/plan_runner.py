"""Run a TensorRT plan on this machine's GPU, for the tensor gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mqspn.engines.errors import GateError

__all__ = ["PlanRunner"]

Array = NDArray[Any]


class PlanRunner:
    """A `mqspn.parity.Runner` over a plan, through Polygraphy; needs the plan's GPU.

    Use it in a ``with`` block, which frees the engine.
    """

    def __init__(self, plan: bytes) -> None:
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        self._runner: Any = TrtRunner(EngineFromBytes(plan))

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The plan's outputs by name, copied off the GPU."""
        ready = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        try:
            found = self._runner.infer(ready)
        except Exception as error:  # Polygraphy's and the bindings' own exceptions
            shapes = ", ".join(f"{name} {array.shape}" for name, array in ready.items())
            raise GateError(f"the plan does not run with {shapes}: {error}") from error
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
