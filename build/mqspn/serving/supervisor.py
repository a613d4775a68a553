"""The small process between us and the server, which makes sure that nothing is left behind.

It runs as a script with the standard library alone. It starts the server in a process group of its
own, stops it when it is told to or when the process that started it is gone, however that ended,
and then removes what the server left: processes, shared memory, the folder of links. Were this
process killed itself, the kernel kills the server.

It is told through its standard input: a byte, or the end, means stop; a second byte means now.
SIGTERM counts as a byte. It ends with the server's exit code, or `KILLED`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

__all__ = ["KILLED", "remove_traces", "supervise"]

#: The exit code where the server had to be killed.
KILLED = 137
_POLL_S = 0.1
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def remove_traces(folder: Path, shm_prefix: str) -> None:
    """Remove the server's folder and its regions in /dev/shm; none of them must be in use."""
    shutil.rmtree(folder, ignore_errors=True)
    for region in Path("/dev/shm").glob(f"{shm_prefix}*"):
        with contextlib.suppress(OSError):
            region.unlink()


def supervise(command: list[str], *, parent: int, exit_timeout_s: float) -> int:
    """Run ``command`` until it ends, is told to stop, or process ``parent`` is gone.

    Between the request to stop and the kill lie ``exit_timeout_s`` seconds. Returns its exit code,
    128 + the signal that ended it, or `KILLED`.
    """
    libc = ctypes.CDLL(None)
    # The server's own children come to us when it dies, so that we can wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    orders = _Orders(parent)
    # This process has one thread: the server dies with it, and not with a thread of it.
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
    )
    while server.poll() is None and not orders.poll():
        pass
    killed = False
    if server.poll() is None:
        server.terminate()
        deadline = time.monotonic() + exit_timeout_s
        while server.poll() is None and orders.poll() < 2 and time.monotonic() < deadline:
            pass
        killed = server.poll() is None
    _end_group(server)
    if killed:
        return KILLED
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


class _Orders:
    """Counts the requests to stop: from standard input, from SIGTERM, from the parent's end."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._count = 0
        self._input_open = True
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in the server.
        signal.signal(signal.SIGTERM, self._on_sigterm)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1

    def poll(self) -> int:
        """How many requests to stop there were; waits a moment for one."""
        readable, _, _ = select.select([0] if self._input_open else [], [], [], _POLL_S)
        if readable:
            received = os.read(0, 16)
            self._count += len(received)
            if not received:
                self._input_open = False
                self._count = max(self._count, 1)
        if os.getppid() != self._parent:
            self._count = max(self._count, 1)
        return self._count


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the server's process group and wait until all of it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


def _main(arguments: list[str]) -> int:
    parent, exit_timeout_s, folder, shm_prefix, *command = arguments
    try:
        return supervise(command, parent=int(parent), exit_timeout_s=float(exit_timeout_s))
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        return 127
    finally:
        remove_traces(Path(folder), shm_prefix)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
