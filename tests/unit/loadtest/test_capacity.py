import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from capacity import Probe, app, find_capacity
from typer.testing import CliRunner

CAPACITY = Path(__file__).resolve().parents[3] / "loadtest" / "capacity.py"


def server_of(limit, *, cores=lambda rate: 0.1, noise=()):
    """A server that keeps its objective up to ``limit``; the probes in ``noise`` break anyway."""
    made = []

    def probe(rate):
        made.append(rate)
        kept = rate <= limit and len(made) not in noise
        return Probe(
            rate=rate,
            kept=kept,
            broken=() if kept else ("p99 is 900 ms",),
            p50_ms=10.0,
            p99_ms=20.0 if kept else 900.0,
            failed=0,
            count=300,
            generator_cores=cores(rate),
        )

    return probe


@pytest.mark.parametrize("limit", [0.7, 4.0, 17.3, 200.0])
def test_the_capacity_is_found_to_the_precision(limit):
    found = find_capacity(server_of(limit), first=4, most=1000, precision=0.05)
    assert found.reason is None
    assert found.posts_per_second is not None
    assert found.too_much is not None
    assert limit * 0.95 <= found.posts_per_second <= limit < found.too_much
    assert len(found.probes) < 25


def test_one_disturbed_probe_is_made_again():
    found = find_capacity(server_of(20, noise={2, 5}), first=4, most=1000, precision=0.05)
    assert found.posts_per_second is not None
    assert 19 <= found.posts_per_second <= 20


def test_a_busy_generator_is_not_quoted():
    busy = server_of(1000, cores=lambda rate: rate / 50)
    found = find_capacity(busy, first=4, most=1000, precision=0.05)
    assert found.posts_per_second is None
    assert found.reason is not None
    assert "0.8 of a core" in found.reason
    assert not found.probes[-1].usable


def test_a_server_that_keeps_all_is_not_measured():
    found = find_capacity(server_of(1000), first=4, most=50, precision=0.05)
    assert found.posts_per_second is None
    assert found.reason is not None
    assert "raise --most" in found.reason


def test_a_server_that_keeps_nothing_ends_the_search():
    found = find_capacity(server_of(0), first=4, most=50, precision=0.05)
    assert found.posts_per_second is None
    assert found.reason is not None
    assert "too many already" in found.reason


@pytest.mark.slow
@pytest.mark.alone
def test_a_real_servers_capacity(server, post_rows, tmp_path):
    """One request at a time, 50 ms each: 20 posts a second, whatever they wait."""
    lock = threading.Lock()

    def work(tensors, context):
        with lock:
            time.sleep(0.05)

    server.always = work
    arguments = ["--url", server.url, "--data", post_rows, "--slo", "p99=1s,errors=0"]
    arguments += ["--arrivals", "constant", "--first", "10", "--precision", "1"]
    arguments += ["--posts", "1", "--seconds", "3", "--warm-up", "0"]
    arguments += ["--output", tmp_path / "capacity.json"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "capacity.json").read_text())
    assert 5 <= report["posts_per_second"] <= 20
    assert report["posts_per_second"] < report["too_much"] <= 40
    assert report["probes"][0]["count"] >= 29


@pytest.mark.slow
@pytest.mark.alone
def test_ctrl_c_ends_the_search_and_cancels_no_call(server, post_rows):
    server.delay_s = 0.3
    command = [sys.executable, CAPACITY, "--url", server.url, "--data", post_rows]
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while len(server.requests) < 3:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "what was measured" in err
    assert "Traceback" not in err
    assert "posts/s" in out


@pytest.mark.alone
def test_sigterm_leaves_no_folder_behind(server, post_rows, tmp_path):
    command = [sys.executable, CAPACITY, "--url", server.url, "--data", post_rows]
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        while not server.requests:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        assert list(tmp_path.glob("mqspn-capacity-*"))
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "what was measured" in err
    assert list(tmp_path.glob("mqspn-capacity-*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slo", "p99=200"], "no time with a unit"),
        (["--mix", "zpif=1"], "did you mean zipf"),
        (["--arrivals", "never"], "poisson, constant"),
        (["--url", "example.org:8001"], "--allow-remote"),
        (["--url", "127.0.0.1:1"], "no server takes posts at 127.0.0.1:1"),
        (["--first", "20", "--most", "10"], "--first 20 is more than --most 10"),
        (["--most", "inf"], "no rate"),
        (["--seconds", "inf"], "and end"),
        (["--data", "nofile.jsonl"], "nofile.jsonl is missing"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
