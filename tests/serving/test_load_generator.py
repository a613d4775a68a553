"""Ctrl-C at the load generator, at a terminal: figures, and a server that goes on serving."""

from __future__ import annotations

import json
import os
import pty
import random
import select
import sys
import time
from pathlib import Path

import pytest
from mqspn.serving import TritonServer
from mqspn.serving.ports import free_ports
from mqspn_client import Client

ROOT = Path(__file__).resolve().parents[2]
LOCUSTFILE = str(ROOT / "loadtest" / "locustfile.py")


def ctrl_c_under_load(arguments: list[str], after_s: float) -> tuple[int, str]:
    """Run Python on a terminal of its own; type Ctrl-C ``after_s`` seconds after users came.

    Gives its exit code and all it wrote.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, *arguments])
    written, typed_at, deadline = b"", None, time.monotonic() + 90
    while time.monotonic() < deadline:
        if typed_at is None and b"All users spawned" in written:
            typed_at = time.monotonic() + after_s
        if typed_at is not None and 0 < typed_at < time.monotonic():
            os.write(terminal, b"\x03")
            typed_at = 0.0
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            written += read
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode(errors="replace")


def arguments(way: str, server: TritonServer, folder: Path) -> list[str]:
    users = ["--users", "8", "--spawn-rate", "8"]
    if way in ("run.py", "run.py, open loop"):
        users = users if way == "run.py" else ["--rate", "12"]
        run = [str(ROOT / "loadtest" / "run.py"), "--url", server.url, *users]
        return [*run, "--run-time", "60s", "--reports", str(folder)]
    locust = ["-m", "locust", "-f", LOCUSTFILE, "--host", server.url, *users]
    locust += ["--summary", str(folder / "latest.json")]
    if way == "locust":
        return [*locust, "--headless"]
    (port,) = free_ports(1)
    return [*locust, "--autostart", "--web-host", "127.0.0.1", "--web-port", str(port)]


def check_ctrl_c(way: str, server: TritonServer, folder: Path, after_s: float) -> None:
    code, written = ctrl_c_under_load(arguments(way, server, folder), after_s)
    report = json.loads((folder / "latest.json").read_text())
    assert report["interrupted"], written
    assert report["all"]["count"] > 0
    assert report["all"]["failed"] == 0, report["failures"]
    assert code == (1 if report["broken"] else 0), written  # judged on what was measured
    assert "Aggregated" in written
    assert server.running
    with Client(server.url) as client:
        entities = client.predict("Taylor Swift is on tour").entities
    assert [entity.text for entity in entities] == ["Taylor Swift"]


def test_ctrl_c_gives_figures_and_harms_no_server(server: TritonServer, tmp_path: Path) -> None:
    check_ctrl_c("run.py", server, tmp_path, after_s=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["run.py", "run.py, open loop", "locust", "locust with its page"])
def test_ctrl_c_at_any_moment(way: str, server: TritonServer, tmp_path: Path) -> None:
    chooser = random.Random(way)
    for _ in range(2):
        check_ctrl_c(way, server, tmp_path, after_s=chooser.uniform(0.5, 2.0))
