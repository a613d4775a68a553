"""Check a load test against the bounds that set its exit code, and sum it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Bounds", "broken_bounds", "summary"]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of a load test.

    ``p99_ms``: response time in ms that 99% of all requests must keep, failed ones included.
    ``failure_rate``: share of requests, 0 to 1, that may fail.
    """

    p99_ms: float
    failure_rate: float


def broken_bounds(stats: Any, bounds: Bounds) -> list[str]:
    """List the bounds that Locust's ``stats`` (`RequestStats`) break, a line each."""
    total = stats.total
    if total.num_requests == 0:
        return ["no request was made"]
    broken = []
    p99 = total.get_response_time_percentile(0.99)
    if p99 > bounds.p99_ms:
        broken.append(f"p99 is {p99:.0f} ms, the bound is {bounds.p99_ms:.0f} ms")
    if total.fail_ratio > bounds.failure_rate:
        broken.append(
            f"{total.num_failures} of {total.num_requests} requests failed "
            f"({total.fail_ratio:.2%}), the bound is {bounds.failure_rate:.2%}"
        )
    return broken


def summary(stats: Any) -> dict[str, Any]:
    """Collect the figures of the whole test and of each kind of request; times in ms.

    Locust rounds times above 100 ms to two figures.
    """
    return {
        "all": _figures(stats.total),
        "requests": {
            entry.name: _figures(entry)
            for entry in sorted(stats.entries.values(), key=lambda entry: entry.name)
        },
        "failures": [
            {"name": error.name, "error": str(error.error), "count": error.occurrences}
            for error in stats.errors.values()
        ],
    }


def _figures(entry: Any) -> dict[str, Any]:
    times = {
        f"p{share * 100:g}_ms": entry.get_response_time_percentile(share)
        for share in (0.5, 0.95, 0.99)
    }
    return {
        "count": entry.num_requests,
        "failed": entry.num_failures,
        "per_second": round(entry.total_rps, 2),
        "mean_ms": round(entry.avg_response_time, 1),
        **times,
        "max_ms": round(entry.max_response_time or 0, 1),
    }
