"""A Locust user that calls the served ensemble over gRPC, and reports each call to Locust.

gRPC blocks threads, Locust's users are greenlets: gRPC must be told before its first channel, so
import this module before anything that opens one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Locust patches the standard library for gevent when it is imported: it goes first.
from locust import User  # isort: skip
from grpc.experimental.gevent import init_gevent  # isort: skip

init_gevent()

import gevent  # noqa: E402
from gevent.pool import Group  # noqa: E402
from mqspn_client import Client, Prediction, RetrySettings  # noqa: E402

# gRPC waits for each answer in a thread of gevent's pool, which has 10: the eleventh call at once
# would see its answer late.
gevent.get_hub().threadpool.maxsize = 1024

__all__ = ["GrpcUser", "Measured", "WrongAnswerError"]


class WrongAnswerError(AssertionError):
    """Raised where a call came back, but not with what it had to."""


@dataclass
class Measured:
    """What one call gave, set by the scenario: ``posts`` answered, ``length`` in characters.

    ``send_delay_ms``: how long after it was due the call was made.
    """

    posts: int = 0
    length: int = 0
    send_delay_ms: float = 0.0

    def add(self, prediction: Prediction) -> None:
        """Count one answered post."""
        self.posts += 1
        self.length += sum(len(entity.text) for entity in prediction.entities)


class GrpcUser(User):  # type: ignore[misc]
    """Base class of the scenarios' users: a client with a connection of its own.

    It does not retry, so that what fails is seen to fail. ``host`` is the server's HOST:PORT.

    Locust kills users: on Ctrl-C, and when it stops one that it believes to wait. A kill inside a
    call would cancel the call, which can crash the server (see `mqspn_client.in_flight`). So calls
    have greenlets of their own, in ``calls``: they end by themselves, and are reported.
    """

    abstract = True
    host = "127.0.0.1:8001"
    timeout_s = 30.0
    calls = Group()  # of all users

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.client = Client(
            self.host,
            timeout_s=self.timeout_s,
            retry=RetrySettings(attempts=1),
            channel_args=[("grpc.use_local_subchannel_pool", 1)],
        )
        self._own_calls: set[Any] = set()

    def on_stop(self) -> None:
        """Wait for the calls under way."""
        gevent.joinall(list(self._own_calls))
        self.client.close()

    def measure(self, name: str, call: Callable[[Measured], None]) -> None:
        """Make ``call``, time it, and report it as request ``name``; an exception is a failure.

        Failures are the exceptions' own; they end here, so that the user goes on.
        """
        self.start_call(name, call).join()

    def start_call(
        self,
        name: str,
        call: Callable[[Measured], None],
        *,
        due: float | None = None,
        due_at: float | None = None,
    ) -> Any:
        """Begin what `measure` does, and give its greenlet.

        ``due`` (`time.perf_counter`) and ``due_at`` (`time.time`) say since when the call's time
        counts; None: from now on.
        """
        start = time.perf_counter() if due is None else due
        start_at = time.time() if due_at is None else due_at
        greenlet = self.calls.spawn(self._timed, name, call, start, start_at)
        self._own_calls.add(greenlet)
        greenlet.rawlink(self._own_calls.discard)
        return greenlet

    def _timed(
        self, name: str, call: Callable[[Measured], None], start: float, start_at: float
    ) -> None:
        outcome = Measured(send_delay_ms=(time.perf_counter() - start) * 1000)
        failure: Exception | None = None
        try:
            call(outcome)
        except Exception as error:
            failure = error
        time_ms = (time.perf_counter() - start) * 1000
        self.report(name, time_ms, outcome, failure, due_at=start_at)

    def report(
        self,
        name: str,
        time_ms: float | None,
        outcome: Measured,
        failure: Exception | None,
        *,
        due_at: float,
    ) -> None:
        """Tell Locust of a request; ``time_ms`` None: it was not sent."""
        self.environment.events.request.fire(
            request_type="gRPC",
            name=name,
            response_time=time_ms,
            response_length=outcome.length,
            response=None,
            context={"posts": outcome.posts, "send_delay_ms": outcome.send_delay_ms},
            exception=failure,
            start_time=due_at,
            url=self.host,
        )
