"""Count in Triton's metrics how many posts an engine answered from memory."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils

__all__ = ["CacheMetrics"]


class CacheMetrics:
    """The counters `mqspn_cache_hits_total` and `mqspn_cache_misses_total` of one model."""

    def __init__(self, model: str) -> None:
        self._families = [  # the metrics live as long as these do
            pb_utils.MetricFamily(
                name=f"mqspn_cache_{what}_total",
                description=f"Posts whose picture {meaning}, by model",
                kind=pb_utils.MetricFamily.COUNTER,
            )
            for what, meaning in (("hits", "was seen before"), ("misses", "was new"))
        ]
        self._hits, self._misses = (f.Metric(labels={"model": model}) for f in self._families)

    def count(self, known: int, new: int) -> None:
        self._hits.increment(known)
        self._misses.increment(new)
