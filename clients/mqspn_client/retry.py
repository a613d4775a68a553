"""Deadlines and retries: how long a call may take, and which failures are worth another try."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from mqspn_client.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MqspnError,
    ServerOverloadedError,
    ServerUnreachableError,
)

__all__ = ["RETRIED", "CallBudget", "RetrySettings"]

#: The only failures worth another try. A post costs the server nothing but time, so sending one
#: again is safe; refusals, missing models and a server that stops would only fail again.
RETRIED = (ServerUnreachableError, ServerOverloadedError)

_log = logging.getLogger("mqspn_client")


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """Exponential backoff with jitter, inside the call's deadline.

    ``attempts``: tries in all; 1 turns retries off. Before retry n the call sleeps a random time
    between half and the whole of ``min(initial_s * factor ** (n - 1), longest_s)`` seconds.
    """

    attempts: int = 5
    initial_s: float = 0.1
    factor: float = 2.0
    longest_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("retry: attempts must be at least 1 (1 turns retries off)")
        if self.initial_s < 0 or self.factor < 1 or self.longest_s < 0:
            raise ValueError("retry: initial_s and longest_s must be >= 0, factor at least 1")


class CallBudget:
    """One call's deadline and tries. It does no I/O, so that both clients share it."""

    def __init__(
        self,
        settings: RetrySettings,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < timeout_s < 1e6:
            raise InvalidRequestError(f"timeout_s must be a positive time, not {timeout_s!r}")
        self._settings = settings
        self._timeout_s = timeout_s
        self._clock = clock
        self._jitter = jitter
        self._end = clock() + timeout_s
        self._failures = 0

    def remaining_s(self) -> float:
        """Seconds left; raises `DeadlineExceededError` where there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise DeadlineExceededError(f"no answer in {self._timeout_s:g} s; raise timeout_s")
        return left

    def pause_after(self, error: MqspnError) -> float:
        """Seconds to sleep before the next try; raises ``error`` where there shall be none."""
        self._failures += 1
        if not isinstance(error, RETRIED) or self._failures >= self._settings.attempts:
            raise error
        longest = min(
            self._settings.initial_s * self._settings.factor ** (self._failures - 1),
            self._settings.longest_s,
        )
        pause = longest * (0.5 + 0.5 * self._jitter())
        if self._clock() + pause >= self._end:
            raise error
        _log.debug("try %d failed (%s); next in %.2f s", self._failures, error, pause)
        return pause
