"""How far the outputs of what runs a graph are from those that they stand for.

Both gates over tensors measure here: an exported graph against PyTorch, and a converted graph or a
plan against the FP32 graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mqspn_backend.tensors import MODELS
from numpy.typing import NDArray

__all__ = [
    "Difference",
    "Measure",
    "Runner",
    "absolute_difference",
    "clear_boxes",
    "compare_runners",
    "tolerant_difference",
]

Array = NDArray[Any]
Outputs = Mapping[str, Array]

#: The difference of one output, by its name, between what is expected and what is found.
Measure = Callable[[str, Outputs, Outputs], float]


class Runner(Protocol):
    """Anything that runs a model: `mqspn_backend.engine.OnnxEngine`, a plan, a PyTorch module."""

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """The model's outputs by name."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest difference of each output of ``model``, over all batches.

    ``against`` says from what, and over how much: "FP32 over 2 batches".
    """

    model: str
    against: str
    outputs: dict[str, float]

    @property
    def largest(self) -> float:
        return max(self.outputs.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.1e}" for name, value in self.outputs.items())
        return f"{self.model}: largest difference from {self.against}: {parts}"


def compare_runners(
    model: str,
    reference: Runner,
    candidate: Runner,
    batches: Sequence[Mapping[str, Array]],
    *,
    measure: Measure,
    against: str,
) -> Difference:
    """Run both on each of ``batches``, inputs by name, and take each output's largest difference.

    Another shape or dtype, or a difference that is not a number, counts as infinite.
    """
    outputs = MODELS[model].outputs
    largest = dict.fromkeys(outputs, 0.0)
    for feeds in batches:
        expected = reference.run(feeds, outputs)
        found = candidate.run(feeds, outputs)
        for name in outputs:
            difference = float("inf")
            if (expected[name].shape, expected[name].dtype) == (
                found[name].shape,
                found[name].dtype,
            ):
                difference = measure(name, expected, found)
            # max() would pass over a difference that is not a number.
            difference = difference if np.isfinite(difference) else float("inf")
            largest[name] = max(largest[name], difference)
    return Difference(model=model, against=against, outputs=largest)


def absolute_difference(name: str, expected: Outputs, found: Outputs) -> float:
    """The largest absolute difference of output ``name``, element by element."""
    return float(np.abs(found[name] - expected[name]).max(initial=0.0))


def tolerant_difference(name: str, expected: Outputs, found: Outputs) -> float:
    """The difference of output ``name`` in units that mean the same for every checkpoint.

    Probabilities and box coordinates as they are, states in units of their own root mean square.
    Two proposers may order boxes of nearly the same score either way, and choose either of them as
    the last: a box of one is compared with the nearest of the other, and only where its score is
    clear of the last one's.
    """
    if name == "REGION_BOXES":
        return _box_difference(expected, found)
    difference = absolute_difference(name, expected, found)
    if name.endswith("_STATES"):
        difference /= float(np.sqrt(np.square(expected[name]).mean()))
    return difference


def clear_boxes(expected: Outputs, found: Outputs) -> Array:
    """Tell which boxes can be compared: (B, K) bool, those whose score is clear of the last one's.

    Clear by twice the largest difference of a score, so that both proposers choose them.
    """
    scores = expected["REGION_SCORES"]
    margin = float(np.abs(found["REGION_SCORES"] - scores).max(initial=0.0))
    return np.asarray(scores > scores[:, -1:] + 2 * margin)


def _box_difference(expected: Outputs, found: Outputs) -> float:
    """Boxes (B, K, 4) whose score is clear of the last, against the nearest found one."""
    gaps = expected["REGION_BOXES"][:, :, None] - found["REGION_BOXES"][:, None]  # (B, K, K, 4)
    nearest = np.abs(gaps).max(axis=-1).min(axis=-1)  # (B, K)
    return float(np.where(clear_boxes(expected, found), nearest, 0.0).max(initial=0.0))
