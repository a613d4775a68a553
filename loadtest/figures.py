"""Record every request of a test, and sum them up: exact percentiles, by kind and over time.

Locust's own figures round times above 100 ms to two digits, which is too coarse for an objective.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Figures", "Record"]

_PERCENTILES = ("p50", "p90", "p95", "p99")
_WINDOWS = 10


@dataclass
class Figures:
    """The requests of one kind, or of the whole test.

    ``times_ms`` is infinite for a post that was not sent. A percentile is a time that was seen.
    """

    times_ms: array[float] = field(default_factory=lambda: array("d"))
    failed: int = 0
    posts: int = 0

    @property
    def count(self) -> int:
        return len(self.times_ms)

    @property
    def not_sent(self) -> int:
        return int(np.isinf(np.asarray(self.times_ms)).sum())

    def add(self, time_ms: float, *, failed: bool, posts: int) -> None:
        self.times_ms.append(time_ms)
        self.failed += failed
        self.posts += posts

    def time_ms(self, name: str) -> float:
        """Give the ``mean``, ``max`` or percentile (as ``p99``) of the times; 0 without any."""
        if not self.times_ms:
            return 0.0
        times = np.asarray(self.times_ms)
        if name == "mean":
            return float(times.mean())
        if name == "max":
            return float(times.max())
        return float(np.percentile(times, float(name.removeprefix("p")), method="higher"))

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """Sum up, rates over ``seconds``; None stands for a time without an end."""
        times = {
            f"{name}_ms": _rounded(self.time_ms(name)) for name in ("mean", *_PERCENTILES, "max")
        }
        rate = round(self.count / seconds, 2) if seconds > 0 else 0.0
        posts = round(self.posts / seconds, 2) if seconds > 0 else 0.0
        return {
            "count": self.count,
            "failed": self.failed,
            "per_second": rate,
            "posts_per_second": posts,
            **times,
        }


class Record:
    """Every request of a test, as it is reported.

    ``warm_up_s``: requests that were due in the first so many seconds are left out.
    """

    def __init__(self, warm_up_s: float = 0.0) -> None:
        self._warm_up_s = warm_up_s
        self.start(0.0)

    def start(self, now: float) -> None:
        """Begin at time ``now`` (`time.time`): what was recorded is forgotten."""
        self.all = Figures()
        self.by_name: dict[str, Figures] = {}
        self.errors: Counter[tuple[str, str]] = Counter()
        self.answered = Figures()  # those that the server answered, with at least one post
        self.send_delays_ms: array[float] = array("d")
        self._due_s: array[float] = array("d")
        self._failed = array("b")
        self._begun_at = now + self._warm_up_s
        self._last_s = 0.0

    def add(
        self,
        name: str,
        time_ms: float | None,
        *,
        due_at: float,
        exception: BaseException | None = None,
        posts: int = 0,
        send_delay_ms: float = 0.0,
    ) -> None:
        """Record a request that was due at ``due_at``; ``time_ms`` None: it was not sent."""
        due_s = due_at - self._begun_at
        if due_s < 0:
            return
        time = math.inf if time_ms is None else time_ms
        failed = exception is not None
        for figures in (self.all, self.by_name.setdefault(name, Figures())):
            figures.add(time, failed=failed, posts=posts)
        if posts and not failed:
            self.answered.add(time, failed=False, posts=posts)
            self.send_delays_ms.append(send_delay_ms)
        if exception is not None:
            self.errors[name, repr(exception)] += 1
        self._due_s.append(due_s)
        self._failed.append(failed)
        self._last_s = max(self._last_s, due_s + (0.0 if time_ms is None else time_ms / 1000))

    @property
    def seconds(self) -> float:
        """Seconds from the beginning to the last answer."""
        return self._last_s

    def summary(self) -> dict[str, Any]:
        """Collect the figures of the whole test and of each kind of request; times in ms."""
        return {
            "all": self.all.to_dict(self.seconds),
            "requests": {
                name: self.by_name[name].to_dict(self.seconds) for name in sorted(self.by_name)
            },
            "failures": [
                {"name": name, "error": error, "count": count}
                for (name, error), count in sorted(self.errors.items())
            ],
            "over_time": self._over_time(),
        }

    def _over_time(self) -> list[dict[str, Any]]:
        """Sum up ten equal parts of the test: what changes while it lasts shows here."""
        due, times = np.asarray(self._due_s), np.asarray(self.all.times_ms)
        failed = np.asarray(self._failed)
        if not len(due):
            return []
        length = max(float(due.max()), 1e-9) / _WINDOWS
        places = np.minimum((due / length).astype(int), _WINDOWS - 1)
        rows = []
        for window in range(_WINDOWS):
            inside = places == window
            part = Figures(array("d", times[inside]), int(failed[inside].sum()))
            rows.append(
                {
                    "from_s": round(window * length, 1),
                    "count": part.count,
                    "failed": part.failed,
                    "p50_ms": _rounded(part.time_ms("p50")),
                    "p99_ms": _rounded(part.time_ms("p99")),
                }
            )
        return rows


def _rounded(time_ms: float) -> float | None:
    return None if math.isinf(time_ms) else round(time_ms, 1)
