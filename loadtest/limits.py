"""Say which rates and times a load test takes: a slip of the keyboard must not run for ever."""

from __future__ import annotations

import math
import re

__all__ = ["MOST_POSTS_PER_SECOND", "check_load", "parse_run_time"]

#: More than any server of ours takes, and than one process can send.
MOST_POSTS_PER_SECOND = 100_000
#: Locust's own format.
_RUN_TIME = re.compile(r"(\d+)|(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse_run_time(text: str) -> int:
    """Read ``60s``, ``5m``, ``1h30m`` or a number of seconds."""
    found = _RUN_TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"--run-time {text!r} is no time: write 60s, 5m or 1h30m")
    plain, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return plain + 3600 * hours + 60 * minutes + seconds


def check_load(
    *, rate: float | None = None, run_time_s: float | None = None, warm_up_s: float = 0.0
) -> None:
    """Raise ValueError for what makes no sense; None: no open loop, no end."""
    if rate is not None and not 0 < rate <= MOST_POSTS_PER_SECOND:
        raise ValueError(
            f"--rate {rate:g} is no rate: give posts a second, at most {MOST_POSTS_PER_SECOND}"
        )
    if run_time_s is not None and run_time_s <= 0:
        raise ValueError("--run-time must be more than 0 seconds")
    if not 0 <= warm_up_s < math.inf:
        raise ValueError(f"--warm-up {warm_up_s:g} is no time: give seconds, 0 or more")
    if run_time_s is not None and warm_up_s >= run_time_s:
        raise ValueError(
            f"--warm-up {warm_up_s:g} leaves nothing of the run time to measure, which is "
            f"{run_time_s:g} s; make it shorter"
        )
