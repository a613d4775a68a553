"""Count in Triton's metrics without keeping a request waiting.

A metric lies in the server's process, and to change it takes a message there and back. So counts
gather here, and a thread hands them on some times a second. It looks by itself: to be woken at each
count would cost a request more than the message.
"""

from __future__ import annotations

import threading
from typing import Any

import triton_python_backend_utils as pb_utils

__all__ = ["Counter", "Counters"]

_HANDED_ON_EVERY_S = 0.05


class Counter:
    """A number that only grows; `Counters` hands it on to Triton's metrics."""

    def __init__(self, family: Any, labels: dict[str, str]) -> None:
        self._family = family  # its metrics live as long as it does
        self._metric = family.Metric(labels=labels)
        self._lock = threading.Lock()
        self._gathered = 0

    def add(self, count: int) -> None:
        """Count ``count`` more."""
        with self._lock:
            self._gathered += count

    def hand_on(self) -> None:
        """Change Triton's metric by what was counted since the last time."""
        with self._lock:
            count, self._gathered = self._gathered, 0
        if count:
            self._metric.increment(count)


class Counters:
    """The counters of one model, and the thread that hands them on. `close` it."""

    def __init__(self) -> None:
        self._counters: list[Counter] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._hand_on_until_closed, name="counters", daemon=True
        )
        self._thread.start()

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """Make the counter ``name`` with ``labels``."""
        family = pb_utils.MetricFamily(
            name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
        )
        counter = Counter(family, labels)
        self._counters.append(counter)
        return counter

    def hand_on(self) -> None:
        """Change Triton's metrics by what was counted since the last time."""
        for counter in list(self._counters):
            counter.hand_on()

    def close(self) -> None:
        """End the thread and hand on what is left."""
        self._closing.set()
        self._thread.join()
        self.hand_on()

    def _hand_on_until_closed(self) -> None:
        while not self._closing.wait(_HANDED_ON_EVERY_S):
            try:
                self.hand_on()
            except Exception as error:  # one message that fails must not end the counting
                pb_utils.Logger.log_error(f"a count did not reach the metrics: {error}")
