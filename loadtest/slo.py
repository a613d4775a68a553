"""Read a service level objective, and hold a test's figures against it.

p99=200ms,errors=0        mean=80ms,p50=60ms,p99.9=1.5s,errors=0.1%
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from figures import Figures

__all__ = ["Slo"]

_ALLOWED = (
    "what is allowed: p50, p90, p99, p99.9 (any percentile), mean or max = a time with its unit, "
    "as 200ms or 1.5s; errors = a share, as 0, 0.01 or 1%; commas between"
)
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class Slo:
    """The objective: ``times_ms`` by name (p99, mean, max), and the share of ``errors``.

    Every request counts in the times, failed ones too. ``errors`` None: any number may fail.
    """

    times_ms: dict[str, float]
    errors: float | None

    @staticmethod
    def parse(text: str) -> Slo:
        """Read ``p99=200ms,errors=0``; raises ValueError with what is allowed."""
        times: dict[str, float] = {}
        errors: float | None = None
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = (word.strip() for word in part.partition("="))
            if name in times or (name == "errors" and errors is not None):
                raise ValueError(f"{name} is there twice in {text!r}")
            if name == "errors":
                errors = _share(value, part)
            elif name in ("mean", "max") or _is_percentile(name):
                times[name] = _milliseconds(value, part)
            else:
                raise ValueError(f"{part!r} is no objective; {_ALLOWED}")
        if not times and errors is None:
            raise ValueError(f"{text!r} holds no objective; {_ALLOWED}")
        return Slo(times_ms=times, errors=errors)

    def __str__(self) -> str:
        parts = [f"{name}={value:g}ms" for name, value in self.times_ms.items()]
        return ",".join(parts + ([] if self.errors is None else [f"errors={self.errors:g}"]))

    def broken(self, figures: Figures) -> list[str]:
        """List what ``figures`` break, a line each. No request at all breaks every objective."""
        if not figures.count:
            return ["no request was made"]
        lines = []
        for name, bound in self.times_ms.items():
            found = figures.time_ms(name)
            if math.isinf(found):
                lines.append(f"{name} has no end: {figures.not_sent} posts were not sent")
            elif found > bound:
                lines.append(f"{name} is {found:.4g} ms, the objective is {bound:g} ms")
        if self.errors is not None and figures.failed > self.errors * figures.count:
            lines.append(
                f"{figures.failed} of {figures.count} requests failed "
                f"({figures.failed / figures.count:.2%}), the objective is {self.errors:.2%}"
            )
        return lines


def _is_percentile(name: str) -> bool:
    match = _PERCENTILE.fullmatch(name)
    return match is not None and 0 < float(match[1]) < 100


def _milliseconds(value: str, part: str) -> float:
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"{part!r} has no time with a unit; {_ALLOWED}")
    return float(match[1]) * (1000 if match[2] == "s" else 1)


def _share(value: str, part: str) -> float:
    match = _SHARE.fullmatch(value)
    share = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"{part!r} is no share from 0 to 1; {_ALLOWED}")
    return share
