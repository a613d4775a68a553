"""Run a system in processes of its own, which are watched, can be held still, and end with us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
from mqspn.serving import supervisor

__all__ = ["ServerProcess", "SystemEndedError", "child_environment"]

_EXIT_S = 5.0
#: A share of a core that would disturb the others: a system that takes more is held still.
_IDLE_SHARE = 0.03
_IDLE_WATCH_S = 2.0
#: What would decide threads for every system alike; each is told its own.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Make a system's environment: ours with ``more``, and nothing that decides its threads."""
    return {**{k: v for k, v in os.environ.items() if k not in _THREAD_VARIABLES}, **more}


class SystemEndedError(RuntimeError):
    """A system ended, or was not ready in time; the message has the last lines of its log."""


class ServerProcess:
    """The processes of one system, started by `start`, as a context manager.

    They are below the launcher's supervisor: however this process ends, they end too. ``command``
    runs with ``environment`` on top of ours; what it prints goes to ``log``.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.command = list(command)
        self.log = log
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._spins = False

    def start(self) -> None:
        """Start it; it is not ready yet."""
        folder = tempfile.mkdtemp(prefix="mqspn-compare-")
        watcher = [sys.executable, "-I", "-S", supervisor.__file__]
        watcher += [str(os.getpid()), str(_EXIT_S), folder, f"{Path(folder).name}_"]
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [*watcher, *self.command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=child_environment(self._environment),
                start_new_session=True,  # Ctrl-C is for us to act on
            )

    def check(self) -> None:
        """Raise SystemEndedError where it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise SystemEndedError(f"{self._name()} ended{self.last_lines()}")

    def last_lines(self, count: int = 8) -> str:
        """Quote the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return ":\n" + "\n".join(f"  {line}" for line in lines[-count:]) if lines else ""

    def processes(self) -> list[psutil.Process]:
        """List the system's processes, its supervisor left out."""
        if self._process is None:
            return []
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._process.pid).children(recursive=True)
        return found

    def cpu_seconds(self) -> float:
        """Add up the processor seconds that its processes have used."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def hold_if_it_spins(self) -> float:
        """Measure the share of a core that it takes while nobody calls it, and return it.

        Where that is more than `_IDLE_SHARE` it is stopped until `resume`, and from then on
        between its turns.
        """
        before = self.cpu_seconds()
        time.sleep(_IDLE_WATCH_S)
        share = (self.cpu_seconds() - before) / _IDLE_WATCH_S
        self._spins = share > _IDLE_SHARE
        self.pause()
        return share

    def pause(self) -> None:
        """Stop its processes where they would take time from the others."""
        if self._spins:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them run again."""
        if self._spins:
            self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End all of it and wait until it is gone."""
        if self._process is None or self._process.stdin is None:
            return
        self.resume()
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), b".")
        self._process.wait()
        self._process.stdin.close()
        self._process = None

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _signal(self, number: int) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _name(self) -> str:
        return " ".join(self.command[1:3])
