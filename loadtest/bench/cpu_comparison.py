"""Compare what runs a graph on a CPU: its time in turns, its distance from FP32, a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mqspn.engines.gates import TOLERANCE
from mqspn.engines.quantisation import Batch
from mqspn.parity import Runner, clear_boxes, compare_runners, tolerant_difference

from bench.cpu_engines import (
    REFERENCE,
    CpuRuntime,
    PrecisionMissingError,
    RuntimeMissingError,
)
from bench.interleaved import Contender, Standing, reason, repeat, run_rounds

__all__ = [
    "FEWEST_COMPARED",
    "Holding",
    "Row",
    "compare_graph",
    "compared_boxes",
    "hold",
    "sum_over_post",
    "verdicts",
]

#: Share of the proposer's boxes that must be comparable for the comparison to say anything.
FEWEST_COMPARED = 0.5


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How far a runtime's tensors are from ONNX Runtime's in FP32, by output.

    ``boxes``: how many could be compared, of how many; None for graphs without boxes.
    """

    differences: dict[str, float]
    tolerance: float
    boxes: tuple[int, int] | None = None

    @property
    def refusal(self) -> str | None:
        """Why the tensors do not hold; None where they do."""
        if self.boxes is not None and self.boxes[0] < FEWEST_COMPARED * self.boxes[1]:
            compared, boxes = self.boxes
            return f"only {compared} of {boxes} boxes have a score that is clear of the last one's"
        name = max(self.differences, key=lambda name: self.differences[name])
        if self.differences[name] > self.tolerance:
            return f"{name} is {self.differences[name]:.2g} off, more than {self.tolerance:g}"
        return None

    def __str__(self) -> str:
        parts = [f"{name} {value:.1e}" for name, value in self.differences.items()]
        if self.boxes is not None:
            parts.append(f"{self.boxes[0]} of {self.boxes[1]} boxes compared")
        return ", ".join(parts)


@dataclass(kw_only=True)
class Row:
    """A runtime's figures for one graph, number of threads and batch.

    ``post_ms``: the median over the rounds; ``ratio``: FP32's time over its own, the median of the
    rounds' ratios. ``missing``: why there are none. ``layers``: how many run in which precision.
    """

    model: str
    runtime: str
    threads: int
    batch: int
    post_ms: float | None = None
    ratio: float | None = None
    missing: str | None = None
    layers: dict[str, int] = field(default_factory=dict)


def hold(
    model: str, runtime: CpuRuntime, reference: Runner, candidate: Runner, batches: Sequence[Batch]
) -> Holding:
    """Compare all outputs on ``batches``, as the tensor gate does, and count the boxes."""
    difference = compare_runners(
        model, reference, candidate, batches, measure=tolerant_difference, against="FP32"
    )
    boxes = compared_boxes(reference, candidate, batches) if model == "region_proposer" else None
    return Holding(
        differences=difference.outputs, tolerance=TOLERANCE[runtime.precision], boxes=boxes
    )


def compared_boxes(
    reference: Runner, candidate: Runner, batches: Sequence[Batch]
) -> tuple[int, int]:
    """Count the boxes that `mqspn.parity.clear_boxes` can compare, and those of all images."""
    compared = boxes = 0
    for feeds in batches:
        expected, found = reference.run(feeds), candidate.run(feeds)
        compared += int(clear_boxes(expected, found).sum())
        boxes += int((expected["REGION_SCORES"] > 0).sum())
    return compared, boxes


def compare_graph(
    model: str,
    graphs: Mapping[str, Path],
    runtimes: Sequence[CpuRuntime],
    *,
    threads: int,
    timed: Mapping[int, Batch],
    held: Sequence[Batch],
    rounds: int,
    seconds: float,
) -> tuple[list[Row], dict[str, Holding]]:
    """Time every runtime on each of ``timed`` (by batch size) in turns; hold it on ``held``.

    ``graphs``: the file that each runtime reads, by its name; without one its row says why.
    """
    engines: dict[str, Runner] = {}
    missing: dict[str, str] = {}
    for runtime in runtimes:
        try:
            engines[runtime.name] = runtime.load(graphs[runtime.name], threads)
        except KeyError:
            missing[runtime.name] = "the graph could not be quantised"
        except (PrecisionMissingError, RuntimeMissingError) as error:
            missing[runtime.name] = str(error)
        except Exception as error:  # what the runtimes raise has no common root
            missing[runtime.name] = reason(error)
    rows = []
    for batch, feeds in timed.items():
        standings = {
            name: Standing(
                contender=Contender(
                    name=name,
                    batch=batch,
                    rate=_rate(engine, feeds, batch),
                    is_reference=name == REFERENCE.name,
                )
            )
            for name, engine in engines.items()
        }
        for engine in engines.values():
            engine.run(feeds)
        run_rounds(
            list(standings.values()),
            rounds=rounds,
            seconds=seconds,
            deadline=time.monotonic() + 600,
        )
        for runtime in runtimes:
            row = Row(model=model, runtime=runtime.name, threads=threads, batch=batch)
            row.missing = missing.get(runtime.name)
            standing = standings.get(runtime.name)
            if standing is not None:
                row.missing = standing.error
                row.layers = getattr(engines[runtime.name], "layers", {})
                if standing.error is None:
                    row.post_ms = float(np.median([1000 / rate for rate in standing.rates]))
                    row.ratio = float(np.median(standing.ratios))
            rows.append(row)
    reference = engines[REFERENCE.name]
    holdings = {
        runtime.name: hold(model, runtime, reference, engines[runtime.name], held)
        for runtime in runtimes
        if runtime.name in engines and runtime is not REFERENCE
    }
    return rows, holdings


def _rate(engine: Runner, feeds: Batch, posts: int) -> Callable[[float], float]:
    return lambda seconds: repeat(lambda: engine.run(feeds), posts, seconds)


def sum_over_post(rows: Sequence[Row], runtime: str, *, threads: int, batch: int) -> float | None:
    """Sum a post's ms in ``runtime`` over the graphs; None where one of them is missing."""
    times = [
        row.post_ms
        for row in rows
        if (row.runtime, row.threads, row.batch) == (runtime, threads, batch)
    ]
    return None if None in times or not times else sum(time for time in times if time is not None)


def verdicts(
    rows: Sequence[Row], holdings: Mapping[tuple[str, str], Holding], mark: float
) -> dict[str, dict[str, Any]]:
    """Judge each runtime but FP32 by a post's sum, at one post and the most threads.

    ``holdings``: by graph and runtime. A runtime stays where the sum is ``mark`` times faster than
    FP32's in ONNX Runtime and all its tensors hold.
    """
    threads, batch = max(row.threads for row in rows), min(row.batch for row in rows)
    whole = sum_over_post(rows, REFERENCE.name, threads=threads, batch=batch)
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row.runtime for row in rows):
        if name == REFERENCE.name:
            continue
        own = sum_over_post(rows, name, threads=threads, batch=batch)
        ratio = whole / own if whole and own else None
        missing = {
            row.model: row.missing
            for row in rows
            if row.runtime == name and row.missing and (row.threads, row.batch) == (threads, batch)
        }
        against = [f"{model}: {why}" for model, why in missing.items()]
        if len(missing) > 1 and len(set(missing.values())) == 1:
            against = [*set(missing.values())]
        against += [
            f"{model}: {held.refusal}"
            for (model, runtime), held in holdings.items()
            if runtime == name and held.refusal
        ]
        if ratio is not None and ratio < mark:
            against.append(f"{ratio:.2f} times ONNX Runtime in FP32, less than {mark:g}")
        found[name] = {"ratio": ratio, "stays": not against, "against": against}
    return found
