"""The tensor gate: how far a graph or an engine is from the FP32 graph under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mqspn_backend.tensors import MODELS
from numpy.typing import NDArray

from mqspn.engines.errors import GateError
from mqspn.engines.precision import Precision

__all__ = ["TOLERANCE", "Difference", "Runner", "check_tensors", "compare_tensors"]

Array = NDArray[Any]

#: The largest difference of an output from FP32: of probabilities and box coordinates as they are,
#: of states in units of their own root mean square.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.2, "int8": 0.35}


class Runner(Protocol):
    """Anything that runs a graph: `mqspn_backend.engine.OnnxEngine`, `PlanRunner`."""

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The graph's outputs by name."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest difference of each output of a model from FP32, over all the batches."""

    model: str
    outputs: dict[str, float]
    batches: int

    @property
    def largest(self) -> float:
        return max(self.outputs.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.1e}" for name, value in self.outputs.items())
        return f"{self.model}: largest difference from FP32 over {self.batches} batches: {parts}"


def compare_tensors(
    model: str, reference: Runner, candidate: Runner, batches: Sequence[Mapping[str, Array]]
) -> Difference:
    """Run both on each of ``batches``, inputs by name, and compare the outputs.

    A difference in shape, or one that is not a number, counts as infinite. Two proposers may order
    boxes of nearly the same score either way, and choose either of them as the last: a box of one
    is compared with the nearest of the other, and only where its score is clear of the last one's.
    """
    outputs = MODELS[model].outputs
    largest = dict.fromkeys(outputs, 0.0)
    for feeds in batches:
        expected = reference.run(feeds, outputs)
        found = candidate.run(feeds, outputs)
        for name in outputs:
            if expected[name].shape != found[name].shape:
                difference = float("inf")
            elif name == "REGION_BOXES":
                difference = _boxes(expected, found)
            else:
                difference = float(np.abs(found[name] - expected[name]).max(initial=0.0))
                if name.endswith("_STATES"):
                    difference /= float(np.sqrt(np.square(expected[name]).mean()))
            # max() would pass over a difference that is not a number.
            difference = difference if np.isfinite(difference) else float("inf")
            largest[name] = max(largest[name], difference)
    return Difference(model=model, outputs=largest, batches=len(batches))


def check_tensors(
    model: str,
    reference: Runner,
    candidate: Runner,
    batches: Sequence[Mapping[str, Array]],
    *,
    precision: Precision,
) -> Difference:
    """`compare_tensors`; raises GateError past the tolerance of ``precision``."""
    difference = compare_tensors(model, reference, candidate, batches)
    if difference.largest > TOLERANCE[precision]:
        raise GateError(
            f"{difference}; more than {TOLERANCE[precision]:g}, the tolerance of {precision}: "
            f"compile with --precision fp32, or --keep more layers in FP32 (`mqspn sensitivity` "
            "measures which)"
        )
    return difference


def _boxes(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """Boxes (B, K, 4) whose score is clear of the last, against the nearest found one."""
    scores = expected["REGION_SCORES"]
    margin = float(np.abs(found["REGION_SCORES"] - scores).max(initial=0.0))
    clear = scores > scores[:, -1:] + 2 * margin  # (B, K)
    gaps = expected["REGION_BOXES"][:, :, None] - found["REGION_BOXES"][:, None]  # (B, K, K, 4)
    nearest = np.abs(gaps).max(axis=-1).min(axis=-1)  # (B, K)
    return float(np.where(clear, nearest, 0.0).max(initial=0.0))
