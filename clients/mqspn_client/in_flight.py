"""Calls that run to their own end, whatever becomes of who waits for them.

Who stops waiting (a cancelled task, Ctrl-C) would cancel the call, and so would a connection that
is closed under it. A cancelled call can crash the server: Triton 24.10, the embedded one, may free
a request while its answer is being sent. Each call must end by itself, so it carries a deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["CallsInFlight", "TasksInFlight"]

R = TypeVar("R")

# Interrupted calls of the main thread that may still be under way when it makes another.
_MAIN_CALLS = 64


class CallsInFlight:
    """Blocking calls, of any number of threads."""

    def __init__(self) -> None:
        self._main_calls = ThreadPoolExecutor(_MAIN_CALLS, thread_name_prefix="mqspn-call")
        self._changed = threading.Condition()
        self._count = 0

    def run(self, call: Callable[[], R]) -> R:
        """Run ``call`` and return or raise what it does.

        Python interrupts its main thread only (Ctrl-C, signal handlers that raise): there the call
        runs in another thread, which an interrupt does not reach, and goes on.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._counted(call)
        try:
            waiting = self._main_calls.submit(self._counted, call)
        except RuntimeError:  # the interpreter is ending, and starts no more threads
            return self._counted(call)
        return waiting.result()

    def wait(self) -> None:
        """Wait until no call is under way. Calls of the main thread are over with this."""
        self._main_calls.shutdown()
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0)

    def _counted(self, call: Callable[[], R]) -> R:
        with self._changed:
            self._count += 1
        try:
            return call()
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()


class TasksInFlight:
    """Calls of one asyncio loop, each in a task of its own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop itself holds them weakly

    async def run(self, call: Coroutine[Any, Any, R]) -> R:
        """Run ``call`` and return or raise what it does.

        Cancelled, this ends at once and the call goes on; then nobody hears how it ended.
        """
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._landed)
        return await asyncio.shield(task)

    async def wait(self) -> None:
        """Wait until no call is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _landed(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: asyncio shall not complain of a failure that nobody awaits
