"""The limit of a run: it ends what is under way, and nothing after it is begun."""

import json
import signal
import time

import pytest
from bench.report import GpuReport
from bench.time_limit import TimeLimit, TimeOverError


def test_it_ends_what_is_under_way_and_keeps_what_was_measured(tmp_path):
    path = tmp_path / "gpu.json"
    report = GpuReport(path, {})
    start = time.monotonic()
    with TimeLimit(0.2) as limit:
        with report.part("server"):
            report["server"] = {"levels": [1]}
            time.sleep(30)
        with report.part("answers"):
            limit.require()
            raise AssertionError("it was begun")
    assert time.monotonic() - start < 20
    found = json.loads(path.read_text())
    assert found["server"] == {"levels": [1]}
    over = "TimeOverError: the time limit of 0.2 s left no time"
    assert found["failures"] == [f"server: {over}", f"answers: {over}"]


def test_after_it_no_alarm_rings():
    before = signal.getsignal(signal.SIGALRM)
    with TimeLimit(0.1):
        pass
    time.sleep(0.2)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_takes_long_is_not_begun_shortly_before_the_end():
    limit = TimeLimit(30.0)
    limit.require(10.0)
    with pytest.raises(TimeOverError, match="of 30 s"):
        limit.require(60.0)
