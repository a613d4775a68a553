"""Locust itself, headless, against a real gRPC server: reports, and exit codes that mean it."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

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
    done, report = run(server, post_rows, tmp_path, "--p99-ms", 20_000, run_time="5s")
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
    done, report = run(server, post_rows, tmp_path, "--p99-ms", 100)
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
    done, report = run(server, post_rows, tmp_path, "--p99-ms", 20_000, users=12, run_time="4s")
    assert done.returncode == 1
    assert report["all"]["failed"] > 0
    assert any(error in failure["error"] for failure in report["failures"])
    assert "failed" in report["broken"][0]


def test_failures_within_the_bound_are_allowed(server, post_rows, tmp_path):
    server.behaviours = [overloaded]
    arguments = ("--p99-ms", 20_000, "--failure-rate", 0.5)
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
