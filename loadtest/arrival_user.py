"""Locust users that send posts drawn by a law: in a closed loop, and as posts arrive."""

# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import ClassVar

from grpc_user import GrpcUser, Measured, WrongAnswerError  # isort: skip - before any channel

import gevent
from arrivals import Arrivals, arrival_times
from locust import between, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING
from mix import Drawn, PostMix
from mqspn_client import PostError

__all__ = ["ArrivalUser", "MixUser", "NotSentError", "OpenLoop", "expect_code"]

_SLEEP_S = 0.5  # a stop is noticed after so long
_log = logging.getLogger("loadtest")


class NotSentError(Exception):
    """Raised for a post that was due when too many calls were under way."""


def expect_code(answer: object, code: str) -> None:
    """Raise WrongAnswerError unless ``answer`` is the refusal with ``code``."""
    if not isinstance(answer, PostError):
        raise WrongAnswerError("a bad image was answered")
    if answer.code != code:
        raise WrongAnswerError(f"a bad image was refused with {answer.code}, not {code}")


@dataclass(frozen=True, kw_only=True)
class OpenLoop:
    """How posts arrive: ``rate`` posts a second at most, for ``seconds``, at most
    ``max_in_flight`` calls at once.
    """

    rate: float
    seconds: float
    shape: str
    arrivals: Arrivals
    max_in_flight: int
    seed: int = 0


class MixUser(GrpcUser):
    """Sends posts of a mix one after another, with a short pause between them."""

    wait_time = between(0.0, 0.2)
    mix: ClassVar[PostMix]

    @task
    def send_one(self) -> None:
        drawn = self.mix.draw()
        self.measure(drawn.name, lambda outcome: self.send(outcome, drawn))

    def send(self, outcome: Measured, drawn: Drawn) -> None:
        """Send one post; a bad one is a success only where it is refused with its code."""
        try:
            prediction = self.client.predict(drawn.text, drawn.image)
        except PostError as error:
            if drawn.code is None:
                raise
            expect_code(error, drawn.code)
        else:
            if drawn.code is not None:
                raise WrongAnswerError("a bad image was answered")
            outcome.add(prediction)


class ArrivalUser(MixUser):
    """Sends posts at the moments at which they are due, whether or not others were answered.

    A post's time counts from when it was due: a post that a slow server kept waiting, or that this
    program sent late, has waited all the same. There is one such user, for all posts.
    """

    fixed_count = 1
    wait_time = between(0.0, 0.0)
    loop: ClassVar[OpenLoop]
    _sender: ClassVar[ArrivalUser | None] = None

    def on_start(self) -> None:
        if ArrivalUser._sender is not None:
            _log.warning("one user sends all posts of an arrival rate; this one is not needed")
            raise StopUser
        ArrivalUser._sender = self

    def on_stop(self) -> None:
        super().on_stop()
        if ArrivalUser._sender is self:
            ArrivalUser._sender = None

    @task
    def send_as_they_arrive(self) -> None:
        loop = self.loop
        begun, begun_at = time.perf_counter(), time.time()
        times = arrival_times(
            loop.rate, loop.seconds, shape=loop.shape, arrivals=loop.arrivals, seed=loop.seed
        )
        for due_s in times:
            if not self._sleep_until(begun + due_s):
                return
            self._send_due(self.mix.draw(), begun + due_s, begun_at + due_s)
        runner, options = self.environment.runner, self.environment.parsed_options
        gevent.spawn(runner.quit if options.headless else runner.stop)
        raise StopUser

    def _sleep_until(self, due: float) -> bool:
        """Sleep, if only for other greenlets to have their turn; False where the test ends."""
        while True:
            gevent.sleep(min(max(0.0, due - time.perf_counter()), _SLEEP_S))
            if self._state == LOCUST_STATE_STOPPING:
                return False
            if time.perf_counter() >= due:
                return True

    def _send_due(self, drawn: Drawn, due: float, due_at: float) -> None:
        if len(self._own_calls) < self.loop.max_in_flight:
            self.start_call(
                drawn.name, lambda outcome: self.send(outcome, drawn), due=due, due_at=due_at
            )
        else:
            failure = NotSentError("not sent: too many in flight")
            self.report(drawn.name, None, Measured(), failure, due_at=due_at)
