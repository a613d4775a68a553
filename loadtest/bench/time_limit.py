"""End a run when its time is over, in whatever it is doing, with the figures that it has."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType

__all__ = ["TimeLimit", "TimeOverError"]


class TimeOverError(Exception):
    """Raised where the time of the run is over: what was measured before stays."""


class TimeLimit:
    """Raises TimeOverError in the main thread ``seconds`` after its ``with`` block began.

    ``deadline`` is of `time.monotonic`. What catches the exception goes on, and asks `require`
    before it begins anything else.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    def require(self, seconds: float = 0.0) -> None:
        """Raise TimeOverError where less than ``seconds`` is left."""
        if self.left_s <= seconds:
            raise TimeOverError(self._reason())

    def __enter__(self) -> TimeLimit:
        self.deadline = time.monotonic() + self.seconds
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        raise TimeOverError(self._reason())

    def _reason(self) -> str:
        return f"the time limit of {self.seconds:g} s left no time"
