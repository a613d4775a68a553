"""The plan of a run: which systems, how many posts and rounds, what is tried before them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from comparison.marks import AGAINST, CHAIN, FASTAPI, LITSERVE, SERVER

__all__ = ["FULL", "QUICK", "Plan"]

#: Of a measurement; longer ones cost more time than they take out of the noise.
_SHORTEST_S, _LONGEST_S = 0.8, 6.0
#: What a measurement takes besides: warm-up, the last calls, the check of its answers.
_AROUND_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does.

    ``callers``: numbers of callers that marks are held at. ``sweep``: those that the best is chosen
    from, whose p99 is at most ``p99_ms``. ``threads`` and ``calls``: what a baseline is tried with,
    calls at once or posts in a batch; each such setting at every number of ``setting_callers``, for
    ``tuning_s`` seconds. ``time_limit_s``: what the rounds are fitted into; no round begins after
    it, the first excepted.
    """

    systems: tuple[str, ...]
    posts: int
    seed: int = 20261128
    rounds: int
    callers: tuple[int, ...] = (1, 16)
    sweep: tuple[int, ...]
    threads: tuple[int, ...] = (1, 2)
    calls: tuple[int, ...]
    setting_callers: tuple[int, ...]
    tuning_s: float
    p99_ms: float = 500.0
    time_limit_s: float

    def seconds(self, measurements: int, left_s: float) -> float:
        """Fit the seconds of one measurement into ``left_s``, for ``measurements`` a round."""
        each = left_s / max(1, self.rounds * measurements) - _AROUND_S
        return min(max(each, _SHORTEST_S), _LONGEST_S)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


FULL = Plan(
    systems=(SERVER, AGAINST, FASTAPI, LITSERVE, CHAIN),
    posts=500,
    rounds=7,
    sweep=(1, 2, 4, 8, 16, 32),
    calls=(1, 2, 4, 8, 16),
    setting_callers=(4, 8, 16),
    tuning_s=2.0,
    time_limit_s=1200.0,
)
#: About two minutes on two cores.
QUICK = Plan(
    systems=(SERVER, FASTAPI, CHAIN),
    posts=100,
    rounds=3,
    sweep=(1, 4, 16),
    calls=(1, 4),
    setting_callers=(4,),
    tuning_s=1.0,
    time_limit_s=120.0,
)
