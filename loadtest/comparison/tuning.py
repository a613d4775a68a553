"""Choose each baseline's best setting, and each system's best number of callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from comparison.callers import Load

__all__ = ["Level", "best_level", "level_of", "settings_grid"]


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a setting gave at so many callers; ``p99_ms``: of as many answers as there were."""

    setting: Mapping[str, int]
    callers: int
    posts_per_second: float
    p99_ms: float

    def to_json(self) -> dict[str, Any]:
        return {
            "setting": dict(self.setting),
            "callers": self.callers,
            "posts_per_second": round(self.posts_per_second, 2),
            "p99_ms": round(self.p99_ms, 1),
        }


def settings_grid(
    threads: Sequence[int], option: str, values: Sequence[int]
) -> list[dict[str, int]]:
    """Combine every number of threads with every value of ``option``."""
    return [{"threads": t, option: v} for t, v in product(threads, values)]


def level_of(setting: Mapping[str, int], callers: int, load: Load) -> Level:
    """Sum up one load."""
    return Level(
        setting=dict(setting),
        callers=callers,
        posts_per_second=len(load.answers) / load.seconds,
        p99_ms=1000 * float(np.percentile(load.latencies_s, 99)) if load.latencies_s else np.inf,
    )


def best_level(levels: Iterable[Level], p99_ms: float) -> Level:
    """Choose the level of most posts a second whose p99 is at most ``p99_ms``.

    Where none keeps that, the one of the lowest p99. Raises ValueError for no levels.
    """
    found = list(levels)
    if not found:
        raise ValueError("there is no level to choose from")
    kept = [level for level in found if level.p99_ms <= p99_ms]
    if kept:
        return max(kept, key=lambda level: level.posts_per_second)
    return min(found, key=lambda level: level.p99_ms)
