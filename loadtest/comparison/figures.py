"""Medians and ranges over rounds, and ratios that are taken within a round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from comparison.rows import TimedRow

__all__ = ["Spread", "latency_percentiles", "rates", "ratio", "spread"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure's median over ``rounds`` rounds, its lowest and its highest."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"

    def to_json(self) -> dict[str, float]:
        return {key: round(float(value), 4) for key, value in asdict(self).items()}


def spread(values: Iterable[float]) -> Spread | None:
    """Sum up ``values``, one a round; None where there is none."""
    found = list(values)
    if not found:
        return None
    return Spread(
        median=float(np.median(found)), low=min(found), high=max(found), rounds=len(found)
    )


def rates(
    rows: Sequence[TimedRow], *, kind: str, system: str, level: int | None
) -> dict[int, float]:
    """Posts a second by round, of ``system`` at ``level``."""
    return {
        row.round: row.posts_per_second
        for row in rows
        if (row.kind, row.system, row.level) == (kind, system, level)
    }


def ratio(numerator: dict[int, float], denominator: dict[int, float]) -> Spread | None:
    """Divide round by round, where both were measured.

    A machine that slows down for a while slows both of a round, and the ratio stays.
    """
    return spread(
        numerator[number] / denominator[number]
        for number in sorted(numerator)
        if denominator.get(number)
    )


def latency_percentiles(rows: Sequence[TimedRow]) -> dict[str, Any]:
    """Compute p50 and p99 in ms of all answers, and the range of each over the rounds."""
    found: dict[str, Any] = {"answers": sum(len(row.latencies_ms) for row in rows)}
    together = [value for row in rows for value in row.latencies_ms]
    for name, percent in (("p50_ms", 50), ("p99_ms", 99)):
        by_round = [float(np.percentile(r.latencies_ms, percent)) for r in rows if r.latencies_ms]
        found[name] = {
            "all": round(float(np.percentile(together, percent)), 1),
            "low": round(min(by_round), 1),
            "high": round(max(by_round), 1),
        }
    return found
