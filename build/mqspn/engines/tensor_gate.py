"""The tensor gate: how far a graph or an engine is from the FP32 graph under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mqspn.engines.precision import Precision
from mqspn.parity import Difference, Runner, compare_runners, tolerant_difference

__all__ = ["TOLERANCE", "TensorResult", "check_tensors", "compare_tensors"]

#: The largest difference of an output from FP32, as `mqspn.parity.tolerant_difference` measures it.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.2, "int8": 0.35}


@dataclass(frozen=True, kw_only=True)
class TensorResult:
    """The tensor gate's answer for one model in ``precision``."""

    difference: Difference
    precision: Precision

    @property
    def refusal(self) -> str | None:
        """Why the graph or engine may not be served; None within `TOLERANCE`."""
        tolerance = TOLERANCE[self.precision]
        if self.difference.largest <= tolerance:
            return None
        return (
            f"{self.difference}; more than {tolerance:g}, the tolerance of {self.precision}: "
            f"compile with --precision fp32, or --keep more layers in FP32 (`mqspn sensitivity` "
            "measures which)"
        )


def compare_tensors(
    model: str,
    reference: Runner,
    candidate: Runner,
    batches: Sequence[Mapping[str, NDArray[Any]]],
) -> Difference:
    """The difference of ``candidate`` from the FP32 ``reference`` on ``batches``, inputs by name.

    See `mqspn.parity.compare_runners` and `tolerant_difference`.
    """
    against = f"FP32 over {len(batches)} batches"
    return compare_runners(
        model, reference, candidate, batches, measure=tolerant_difference, against=against
    )


def check_tensors(
    model: str,
    reference: Runner,
    candidate: Runner,
    batches: Sequence[Mapping[str, NDArray[Any]]],
    *,
    precision: Precision,
) -> TensorResult:
    """Measure as `compare_tensors` does, and judge by the tolerance of ``precision``."""
    difference = compare_tensors(model, reference, candidate, batches)
    return TensorResult(difference=difference, precision=precision)
