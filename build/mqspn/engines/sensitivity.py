"""Which layers need FP32: each candidate is kept in it, and the graph measured again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from mqspn_backend.engine import OnnxEngine
from numpy.typing import NDArray

from mqspn.engines.gates import check_tensors
from mqspn.engines.kept_layers import CANDIDATES, KEPT, KeptLayers, find_nodes
from mqspn.engines.precision import Precision, convert_graph
from mqspn.parity import Difference

__all__ = ["Sensitivity", "measure_sensitivity"]

#: A candidate is worth FP32 where it takes a largest difference of more than `_NOTICEABLE` to less
#: than `_SHARE` of it.
_NOTICEABLE = 0.01
_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """One measured candidate: ``before`` without it, ``after`` with its ``nodes`` in FP32."""

    candidate: KeptLayers
    nodes: int
    before: Difference
    after: Difference

    @property
    def worth_keeping(self) -> bool:
        before, after = self.before.largest, self.after.largest
        return before > _NOTICEABLE and after < _SHARE * before

    def __str__(self) -> str:
        verdict = "keep" if self.worth_keeping else "not needed"
        return (
            f"{self.candidate.graph}:{self.candidate.name} ({self.nodes} nodes): "
            f"{self.before.largest:.1e} -> {self.after.largest:.1e}: {verdict}"
        )


def measure_sensitivity(
    model: str,
    graph: Path,
    batches: Sequence[Mapping[str, NDArray[Any]]],
    *,
    precision: Precision,
    candidates: Sequence[KeptLayers] = CANDIDATES,
    kept: Sequence[KeptLayers] = KEPT,
) -> list[Sensitivity]:
    """Convert ``graph`` of engine ``model`` without and with each candidate in FP32.

    What else of ``kept`` it has is in FP32 both times. Candidates of which the graph has no layer
    are left out. ``batches``: inputs by name, of synthetic posts or the caller's (see
    `mqspn.engines.samples`); the first decides what leaves the type's range. Runs under ONNX
    Runtime, without a GPU.
    """
    reference = OnnxEngine(graph, threads=2)
    nodes_of = onnx.load(str(graph)).graph
    results = []
    with tempfile.TemporaryDirectory(prefix="mqspn-sensitivity-") as folder:
        low = Path(folder) / "low.onnx"

        @cache
        def difference(kept: tuple[KeptLayers, ...]) -> tuple[int, Difference]:
            converted = convert_graph(
                model, graph, low, precision=precision, samples=batches[0], kept=kept
            )
            runner = OnnxEngine(converted.runnable, threads=2)
            result = check_tensors(model, reference, runner, batches, precision=precision)
            return len(converted.kept), result.difference

        for candidate in candidates:
            if candidate.graph == model and find_nodes(nodes_of, candidate):
                others = tuple(k for k in kept if (k.graph, k.name) != (model, candidate.name))
                fewer, before = difference(others)
                # What is always kept is measured once, whichever candidate it is.
                more, after = difference(
                    tuple(kept) if len(others) < len(kept) else (*kept, candidate)
                )
                results.append(
                    Sensitivity(candidate=candidate, nodes=more - fewer, before=before, after=after)
                )
    return results
