import inspect

import mqspn_client
import pytest
from mqspn_client import (
    DeadlineExceededError,
    InvalidRequestError,
    MqspnError,
    RetrySettings,
    ServerOverloadedError,
    ServerUnreachableError,
)
from mqspn_client.retry import CallBudget

CLASSES = [
    c for _, c in inspect.getmembers(mqspn_client, inspect.isclass) if issubclass(c, MqspnError)
]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def budget(clock=None, timeout_s=60.0, jitter=1.0, **settings):
    return CallBudget(RetrySettings(**settings), timeout_s, clock or Clock(), lambda: jitter)


def instance(kind):
    return kind("C", "m") if kind.__name__ == "PostError" else kind("m")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_only_overload_and_a_lost_server_are_tried_again(kind):
    error = instance(kind)
    if kind in (ServerUnreachableError, ServerOverloadedError):
        assert budget().pause_after(error) > 0
    else:
        with pytest.raises(kind) as raised:
            budget().pause_after(error)
        assert raised.value is error


def test_pauses_grow_to_the_longest():
    plan = budget(attempts=6, initial_s=0.1, factor=3, longest_s=1)
    error = ServerOverloadedError("full")
    assert [plan.pause_after(error) for _ in range(5)] == pytest.approx([0.1, 0.3, 0.9, 1, 1])
    with pytest.raises(ServerOverloadedError):
        plan.pause_after(error)


def test_jitter_takes_away_up_to_half():
    plan = budget(jitter=0.0, initial_s=0.1)
    assert plan.pause_after(ServerOverloadedError("full")) == pytest.approx(0.05)


def test_one_attempt_is_no_retry():
    with pytest.raises(ServerOverloadedError):
        budget(attempts=1).pause_after(ServerOverloadedError("full"))


def test_a_pause_that_would_pass_the_deadline_raises_the_failure():
    clock = Clock()
    plan = budget(clock, timeout_s=1.0, initial_s=0.5)
    clock.now += 0.6
    with pytest.raises(ServerOverloadedError):
        plan.pause_after(ServerOverloadedError("full"))


def test_time_runs_out():
    clock = Clock()
    plan = budget(clock, timeout_s=2.0)
    clock.now += 1.5
    assert plan.remaining_s() == pytest.approx(0.5)
    clock.now += 0.5
    with pytest.raises(DeadlineExceededError, match="2 s"):
        plan.remaining_s()


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_a_timeout_must_be_a_time(timeout_s):
    with pytest.raises(InvalidRequestError, match="timeout_s"):
        budget(timeout_s=timeout_s)


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"initial_s": -1}, {"factor": 0.5}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="retry"):
        RetrySettings(**settings)
