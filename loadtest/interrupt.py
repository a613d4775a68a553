"""End a test on Ctrl-C as its run time would: with its figures, and without a cancelled call.

A cancelled call can crash Triton 24.10 (see `mqspn_client.in_flight`). Locust kills its users on
Ctrl-C, and Python's KeyboardInterrupt strikes whichever greenlet happens to run: a call, perhaps.
Here the signal strikes nobody. The users end by themselves, after the calls they are in.
"""

from __future__ import annotations

import logging
import signal
from typing import Any

import gevent
from grpc_user import GrpcUser

__all__ = ["end_on_interrupt", "was_interrupted"]

_log = logging.getLogger("loadtest")
#: Seconds that users have to end, on top of a call's deadline.
_GRACE_S = 5.0


class _Interrupt:
    """Counts Ctrl-C: the first ends the test in order, the second at once."""

    def __init__(self, environment: Any, web_ui: Any) -> None:
        self._environment, self._web_ui = environment, web_ui
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.count > 1:
            _log.warning("leaving at once; calls in flight are cancelled")
            GrpcUser.calls.kill(block=False)
            return
        _log.info("stopping after the calls in flight; Ctrl-C again to leave at once")
        self._environment.runner.quit()
        if self._web_ui is not None:
            self._web_ui.stop()


def end_on_interrupt(environment: Any, web_ui: Any) -> None:
    """From now on Ctrl-C ends the test of ``environment`` in order; so does every other stop.

    Users are waited for as long as a call can take, whatever Locust's ``--stop-timeout`` says.
    """
    longest_s = GrpcUser.timeout_s + _GRACE_S
    environment.stop_timeout = max(environment.stop_timeout or 0.0, longest_s)
    environment.loadtest_interrupt = _Interrupt(environment, web_ui)
    gevent.signal_handler(signal.SIGINT, environment.loadtest_interrupt)


def was_interrupted(environment: Any) -> bool:
    """Tell whether Ctrl-C ended the test."""
    interrupt = getattr(environment, "loadtest_interrupt", None)
    return interrupt is not None and interrupt.count > 0
