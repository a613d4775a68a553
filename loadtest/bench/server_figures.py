"""Measure a server's speed at several numbers of callers, and where a request's time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latency import ModelTime, model_times
from mqspn_client import Client
from posts import LoadPost

from bench.closed_loop import run_load

__all__ = ["measure_level", "stage_times"]


def measure_level(
    client: Client,
    url: str,
    operator_key: str,
    posts: Sequence[LoadPost],
    *,
    callers: int,
    seconds: float,
) -> dict[str, Any]:
    """Load the server with ``callers`` at once: `Load.figures`, ``stages``, first ``errors``.

    A fifth of ``seconds`` of the same load goes before and is not counted: batches of a size are
    new to the server.
    """
    warm_up = run_load(client, posts, callers=callers, seconds=seconds / 5)
    before = model_times(url, operator_key)
    load = run_load(client, posts, callers=callers, seconds=seconds)
    stages = stage_times(before, model_times(url, operator_key))
    errors = sorted({*warm_up.failures, *load.failures})
    return {**load.figures(), "stages": stages, "errors": errors[:3]}


def stage_times(
    before: Mapping[str, ModelTime], after: Mapping[str, ModelTime]
) -> dict[str, dict[str, float]]:
    """Compute what each model did between two statistics, by model name.

    ``compute_ms`` and ``queue_ms`` are means over requests: a request computes as long as the
    batch that it is in. ``batch``: posts in a batch, for requests of one post. The steps of an
    ensemble have a ``total_ms`` that is more than both: tensors are handed over besides.
    """
    stages = {}
    for name, now in sorted(after.items()):
        spent = now.since(before[name]) if name in before else now
        if not spent.requests:
            continue
        times = spent.per_request_ms()
        stages[name] = {
            "requests": spent.requests,
            "total_ms": times["total"],
            "compute_ms": times["compute"],
            "queue_ms": times["queue"],
            "batch": round(spent.requests / max(spent.executions, 1), 2),
            "cache_hits": spent.cache_hits,
        }
    return stages
