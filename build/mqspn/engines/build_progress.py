"""What happens while an engine is built: progress is shown, and a signal ends it at a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

__all__ = ["Progress", "progress_monitor", "signals_held"]

#: Called with the builder's phase, its steps done and their number.
Progress = Callable[[str, int, int], None]


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """Hold Ctrl-C and SIGTERM back until the end of the block; meanwhile list their numbers.

    The builder calls Python from C++, which prints what is raised there and goes on.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def progress_monitor(trt: Any, progress: Progress | None, signals: list[int]) -> Any:
    """The `IProgressMonitor` of module ``trt`` for one build.

    It ends the build at the first of ``signals``, or at what ``progress`` raises, which is then in
    its ``stopped``.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.stopped: Exception | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            self._show(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._show(phase_name, step + 1)
            return self.stopped is None and not signals

        def phase_finish(self, phase_name: str) -> None:
            self._show(phase_name, self.steps.get(phase_name, 0))
            self.steps.pop(phase_name, None)

        def _show(self, phase: str, done: int) -> None:
            try:
                if progress is not None:
                    progress(phase, done, self.steps.get(phase, done))
            except Exception as error:  # raised through C++ it would be lost
                self.stopped = error

    return cast(Any, Monitor())
