"""What is compared: a system that is started, loaded and held still, whoever calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from latency import ENGINES, ModelTime
from posts import LoadPost

from comparison.callers import Call, Load, run_callers
from comparison.server_process import ServerProcess

__all__ = ["CalledSystem", "System", "formed_batch"]

#: Seconds of load before each measurement, not counted.
_WARM_UP_S = 0.3


class System(ABC):
    """A system under test, as a context manager: started, and ready for callers.

    ``setting``: what the run may choose of it, empty where there is nothing to choose.
    """

    name: str
    setting: Mapping[str, int]

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers; raises SystemEndedError."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it and wait until nothing of it is left."""

    @abstractmethod
    def hold_if_it_spins(self) -> float:
        """See `ServerProcess.hold_if_it_spins`."""

    @abstractmethod
    def load(self, kind: str, *, level: int, first: int, seconds: float) -> Load:
        """Load it with posts of ``kind`` from number ``first`` on, for about ``seconds``.

        ``level``: callers at once, or posts in a batch where nobody calls.
        """

    def __enter__(self) -> System:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class CalledSystem(System):
    """A system with a server process that callers call."""

    process: ServerProcess
    posts: Mapping[str, Sequence[LoadPost]]

    @abstractmethod
    def _call(self) -> Call:
        """How one post is sent."""

    def _statistics(self) -> dict[str, ModelTime]:
        """Each model's statistics up to now, where the system tells."""
        return {}

    def hold_if_it_spins(self) -> float:
        return self.process.hold_if_it_spins()

    def stop(self) -> None:
        self.process.stop()

    def load(self, kind: str, *, level: int, first: int, seconds: float) -> Load:
        self.process.check()
        self.process.resume()
        try:
            call, posts = self._call(), self.posts[kind]
            warm_up = run_callers(
                call, posts, callers=level, first=first - level, seconds=_WARM_UP_S
            )
            before = self._statistics()
            found = run_callers(call, posts, callers=level, first=first, seconds=seconds)
            after = self._statistics()
        finally:
            self.process.pause()
        failures = warm_up.failures + found.failures
        return replace(found, failures=failures, batch=formed_batch(before, after))


def formed_batch(before: Mapping[str, ModelTime], after: Mapping[str, ModelTime]) -> float | None:
    """Compute the posts in a batch of the engine that computed longest between two statistics.

    None where no engine ran. Every request is of one post.
    """
    spent = [after[name].since(before[name]) for name in ENGINES if name in before]
    longest = max(spent, key=lambda times: times.compute_ns, default=None)
    if longest is None or not longest.executions:
        return None
    return longest.requests / longest.executions
