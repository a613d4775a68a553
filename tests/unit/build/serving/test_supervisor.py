"""The supervisor with a small process in the server's place: orders, exit codes, traces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mqspn.serving import supervisor

SHM = Path("/dev/shm")
STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)\n"
)
WILLING = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
WITH_CHILD = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "child.wait()\n"
)


def start(
    code: str, folder: Path, *, timeout_s: float = 5.0, parent: int | None = None
) -> subprocess.Popen[bytes]:
    """A supervisor of ``code``, whose first line of output has been read into ``first_line``."""
    options = [str(parent or os.getpid()), str(timeout_s), str(folder), f"mqspn_test_{os.getpid()}"]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, *options, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def exit_code(code: str, folder: Path) -> int:
    """The supervisor's, once ``code`` has ended by itself."""
    with start(code, folder) as process:
        return process.wait(10)


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def order(process: subprocess.Popen[bytes], orders: bytes) -> None:
    assert process.stdin is not None
    os.write(process.stdin.fileno(), orders)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("code", [0, 3])
def test_the_servers_exit_code_is_kept(code: int, tmp_path: Path) -> None:
    assert exit_code(f"raise SystemExit({code})", tmp_path / "f") == code


def test_a_signal_that_ended_the_server_is_told(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert exit_code(code, tmp_path / "f") == 128 + signal.SIGSEGV


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    options = [str(os.getpid()), "1", str(tmp_path / "f"), "mqspn_test_none"]
    ran = subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__, *options, "/no/such/server"],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ran.returncode == 127
    assert ran.stderr.startswith("cannot run /no/such/server")


@pytest.mark.parametrize("how", ["byte", "end", "sigterm"])
def test_each_way_to_order_a_stop(how: str, tmp_path: Path) -> None:
    process = start(WILLING, tmp_path / "f")
    first_line(process)
    assert process.stdin is not None
    if how == "byte":
        order(process, b".")
    elif how == "end":
        process.stdin.close()
    else:
        process.terminate()
    assert process.wait(10) == 128 + signal.SIGTERM


def test_a_server_that_ignores_the_order_is_killed_in_time(tmp_path: Path) -> None:
    process = start(STUBBORN, tmp_path / "f", timeout_s=0.5)
    assert first_line(process) == "up"
    began = time.monotonic()
    order(process, b".")
    assert process.wait(10) == supervisor.KILLED
    assert 0.4 < time.monotonic() - began < 3


def test_a_second_order_kills_at_once(tmp_path: Path) -> None:
    process = start(STUBBORN, tmp_path / "f", timeout_s=60)
    assert first_line(process) == "up"
    order(process, b".")
    time.sleep(0.3)
    order(process, b".")
    assert process.wait(5) == supervisor.KILLED


def test_the_servers_children_go_with_it(tmp_path: Path) -> None:
    process = start(WITH_CHILD, tmp_path / "f")
    child = int(first_line(process))
    assert not gone(child)
    order(process, b".")
    process.wait(10)
    assert gone(child)


def test_a_parent_that_is_gone_counts_as_an_order(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    process = start(WILLING, tmp_path / "f", parent=other.pid)
    assert process.wait(10) == 128 + signal.SIGTERM


def test_only_its_own_traces_are_removed(tmp_path: Path) -> None:
    mine, other = SHM / f"mqspn_test_{os.getpid()}_a", SHM / f"mqspn_other_{os.getpid()}_a"
    (tmp_path / "f").mkdir()
    try:
        mine.touch()
        other.touch()
        exit_code("", tmp_path / "f")
        assert not mine.exists()
        assert other.exists()
        assert not (tmp_path / "f").exists()
    finally:
        for region in (mine, other):
            region.unlink(missing_ok=True)
