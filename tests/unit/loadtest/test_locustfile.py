"""Locust itself, headless, against a real gRPC server: reports, and exit codes that mean it."""

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from run import app
from typer.testing import CliRunner

pytestmark = pytest.mark.alone

RUN = Path(__file__).resolve().parents[3] / "loadtest" / "run.py"


def run(server, post_rows, tmp_path, *more, users=4, run_time="2s"):
    command = [sys.executable, RUN, "--url", server.url, "--data", post_rows]
    command += ["--users", users, "--run-time", run_time, "--reports", tmp_path / "reports", *more]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=90
    )
    path = tmp_path / "reports" / "latest.json"
    return done, json.loads(path.read_text()) if path.exists() else None


def test_a_healthy_server_keeps_the_bounds(server, post_rows, tmp_path):
    done, report = run(server, post_rows, tmp_path, "--slo", "p99=20s,errors=0", run_time="5s")
    assert done.returncode == 0, done.stderr
    assert report["all"]["count"] > 20
    assert report["all"]["failed"] == 0
    assert {"text and image", "text alone"} < set(report["requests"])
    assert report["machine"]["cores"] >= 1
    names = {path.name for path in (tmp_path / "reports").iterdir()}
    assert {"latest.html", "latest.json", "latest_stats.csv", "latest_failures.csv"} <= names
    shapes = {request["TEXT"].shape[0] for request in server.requests}
    assert max(shapes) > 1
    assert server.most_at_once > 1


def test_a_slow_server_breaks_the_p99_bound(server, post_rows, tmp_path):
    server.delay_s = 0.15
    done, report = run(server, post_rows, tmp_path, "--slo", "p99=100ms")
    assert done.returncode == 1
    assert "p99 is" in report["broken"][0]
    assert report["all"]["failed"] == 0


def overloaded(tensors, context):
    context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")


def wrong_code(tensors, context):
    if any(image[:2] == b"BM" for image in tensors["IMAGE"][:, 0]):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_TOO_LARGE: no")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(overloaded, "too much to do"), (wrong_code, "IMAGE_TOO_LARGE")],
)
def test_a_failure_is_a_failure(server, post_rows, tmp_path, behaviour, error):
    server.always = behaviour
    done, report = run(
        server, post_rows, tmp_path, "--slo", "p99=20s,errors=0", users=12, run_time="4s"
    )
    assert done.returncode == 1
    assert report["all"]["failed"] > 0
    assert any(error in failure["error"] for failure in report["failures"])
    assert "failed" in report["broken"][0]


def test_failures_within_the_bound_are_allowed(server, post_rows, tmp_path):
    server.behaviours = [overloaded]
    arguments = ("--slo", "p99=20s,errors=50%")
    done, report = run(server, post_rows, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert report["all"]["failed"] == 1


def test_no_server_is_a_failure(server, post_rows, tmp_path):
    server.stop()
    done, report = run(server, post_rows, tmp_path, run_time="2s")
    assert done.returncode == 1
    assert report["all"]["failed"] == report["all"]["count"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--data", "missing.jsonl"], "missing.jsonl is missing"), (["--url", "[::2]:1"], "remote")],
)
def test_a_test_that_cannot_start_says_why(server, post_rows, tmp_path, arguments, message):
    done, _ = run(server, post_rows, tmp_path, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert server.requests == []


@pytest.mark.slow
def test_an_open_loop_counts_from_when_a_post_was_due(server, post_rows, tmp_path):
    """Five posts a second are all that the server takes; ten a second wait longer and longer."""
    server.always = one_at_a_time(0.2)
    arguments = ("--rate", 10, "--arrivals", "constant", "--slo", "p99=600ms,errors=0")
    done, report = run(server, post_rows, tmp_path, *arguments, run_time="3s")
    assert done.returncode == 1
    assert report["all"]["count"] == pytest.approx(30, abs=3)
    assert report["all"]["failed"] == 0
    assert report["over_time"][0]["p50_ms"] < 600 < 1500 < report["over_time"][-1]["p50_ms"]
    assert report["open_loop"] == {
        "rate": 10,
        "arrivals": "constant",
        "max_in_flight": 256,
        "not_sent": 0,
    }
    assert 0 < report["generator"]["cores"] < 0.8


@pytest.mark.slow
def test_posts_that_cannot_be_sent_are_failures(server, post_rows, tmp_path):
    server.always = one_at_a_time(0.2)
    arguments = ("--rate", 20, "--max-in-flight", 2, "--mix", "zipf=1,bad=0.2,distinct=9")
    done, report = run(server, post_rows, tmp_path, *arguments)
    assert done.returncode == 1
    assert server.most_at_once <= 2
    assert report["open_loop"]["not_sent"] == report["all"]["failed"] > 10
    assert all("too many in flight" in failure["error"] for failure in report["failures"])
    assert report["all"]["count"] - report["all"]["failed"] == len(server.requests)
    assert report["all"]["p99_ms"] is None


@pytest.mark.slow
def test_users_follow_a_shape(server, post_rows, tmp_path):
    arguments = ("--shape", "ramp", "--mix", "bad=0.1", "--slo", "p99=20s,errors=0")
    done, _ = run(server, post_rows, tmp_path, *arguments, users=8, run_time="4s")
    assert done.returncode == 0, done.stderr
    users = [int(found) for found in re.findall(r"updating to (\d+) users", done.stderr)]
    assert users[0] == 1
    assert users == sorted(set(users))
    assert 1 < users[-1] <= 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--slo", "p99=200"), "no time with a unit"),
        (("--mix", "zpif=1"), "did you mean zipf"),
        (("--shape", "round"), "steady, ramp, spike, soak"),
        (("--arrivals", "never"), "poisson, constant"),
        (("--mix", "distinct=0.5"), "whole number"),
        (("--rate", "0"), "no rate"),
        (("--rate", "nan"), "no rate"),
        (("--rate", "inf"), "no rate"),
        (("--rate", "100001"), "at most 100000"),
        (("--run-time", "0s"), "more than 0 seconds"),
        (("--run-time", "soon"), "write 60s"),
        (("--warm-up", "nan"), "no time"),
        (("--warm-up", "60"), "leaves nothing"),
        (("--spawn-rate", "nan"), "no rate"),
        (("--data", "nofile.jsonl"), "nofile.jsonl is missing"),
    ],
)
def test_wrong_usage_says_what_is_allowed(arguments, message):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run-time", "0s"), "more than 0 seconds"),
        (("--data", "nofile.jsonl"), "nofile.jsonl is missing"),
    ],
)
def test_plain_locust_refuses_the_same(arguments, message):
    command = [sys.executable, "-m", "locust", "-f", RUN.parent / "locustfile.py", "--headless"]
    command += ["--host", "127.0.0.1:1", *arguments]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def one_at_a_time(seconds):
    """A behaviour: the server works on one request at a time, for so long."""
    lock = threading.Lock()

    def work(tensors, context):
        with lock:
            time.sleep(seconds)

    return work
