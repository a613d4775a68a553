"""Ctrl-C during a test: figures, and no call cancelled."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

LOADTEST = Path(__file__).resolve().parents[3] / "loadtest"


@contextmanager
def load(command, server, *, calls):
    """A load generator that has at least ``calls`` calls in flight or behind it."""
    words = [str(word) for word in (sys.executable, *command)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while len(server.requests) < calls:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def test_calls_in_flight_get_their_answers(server, post_rows, tmp_path):
    server.delay_s = 0.5
    report = tmp_path / "latest.json"
    locust = ["-m", "locust", "-f", LOADTEST / "locustfile.py", "--host", server.url, "--headless"]
    locust += ["--users", 4, "--spawn-rate", 4, "--data", post_rows, "--summary", report]
    with load(locust, server, calls=6) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    report = json.loads(report.read_text())
    assert process.returncode == 0, err
    assert report["interrupted"]
    assert report["all"]["count"] == len(server.requests) >= 6
    assert report["all"]["failed"] == 0
    assert "Aggregated" in out + err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(server, post_rows, tmp_path):
    server.delay_s = 6.0
    command = [LOADTEST / "run.py", "--url", server.url, "--reports", tmp_path]
    command += ["--data", post_rows, "--users", 4]
    with load(command, server, calls=0) as process:
        while server.most_at_once < 4:
            time.sleep(0.02)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        lines = iter(process.stderr.readline, "")
        assert any("Ctrl-C again" in line for line in lines)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert time.monotonic() - start < 4
    report = json.loads((tmp_path / "latest.json").read_text())
    assert process.returncode == 1
    assert report["broken"] == ["no request was made"]
