"""Time several systems in turns, so that a machine's ups and downs fall on all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Contender", "Standing", "reason", "repeat", "run_rounds"]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A system to time, under a name. ``batch``: posts in one of its calls.

    ``rate``: given some seconds, works about as long and returns posts a second.
    ``is_reference``: the others of the same batch are held against this one.
    """

    name: str
    batch: int
    rate: Callable[[float], float]
    is_reference: bool = False


@dataclass(kw_only=True)
class Standing:
    """A contender's posts a second in each round, or the error that ended its part.

    ``ratios``: to the reference of the same batch in the same round. ``difference``: the largest
    from the FP32 network's probabilities, where that was compared.
    """

    contender: Contender
    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    error: str | None = None
    difference: float | None = None

    def figures(self) -> dict[str, Any]:
        """Compute medians over the rounds."""
        return {
            "name": self.contender.name,
            "batch": self.contender.batch,
            "posts_per_second": _median(self.rates),
            "slowest": round(min(self.rates), 3) if self.rates else None,
            "fastest": round(max(self.rates), 3) if self.rates else None,
            "ratio_to_eager": _median(self.ratios),
            "rounds": len(self.rates),
            "largest_difference": self.difference,
            "not_measured": self.error,
        }


def run_rounds(
    standings: Sequence[Standing],
    *,
    rounds: int,
    seconds: float,
    deadline: float,
    timed: Callable[[], None] = lambda: None,
) -> None:
    """Time every contender once a round, keep it in its standing, and call ``timed``.

    Nothing is begun after ``deadline``, which is of `time.monotonic`. Whoever goes first changes
    from round to round. An exception ends its contender's part and no other's.
    """
    for number in range(rounds):
        first = number % max(1, len(standings))
        found: dict[int, float] = {}
        for place in (*range(first, len(standings)), *range(first)):
            standing = standings[place]
            if standing.error is None and time.monotonic() < deadline:
                try:
                    found[place] = standing.contender.rate(seconds)
                    standing.rates.append(found[place])
                except Exception as error:
                    standing.error = reason(error)
                timed()
        references = {
            standings[place].contender.batch: rate
            for place, rate in found.items()
            if standings[place].contender.is_reference
        }
        for place, rate in found.items():
            batch = standings[place].contender.batch
            if references.get(batch):
                standings[place].ratios.append(rate / references[batch])
        timed()


def repeat(call: Callable[[], object], posts: int, seconds: float) -> float:
    """Make calls one after the other for ``seconds``, one at least; return posts a second."""
    start = time.perf_counter()
    count = 0
    while count == 0 or time.perf_counter() - start < seconds:
        call()
        count += 1
    return posts * count / (time.perf_counter() - start)


def reason(error: BaseException) -> str:
    """Describe an exception in one line; with its class only where that says something."""
    text = " ".join(str(error).split())[:300]
    return text if text and type(error) is RuntimeError else f"{type(error).__name__}: {text}"


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None
