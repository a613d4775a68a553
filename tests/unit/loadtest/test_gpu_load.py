"""The closed loop and the stages' times, against a real gRPC server with a toy model."""

import time
from dataclasses import replace

import pytest
from bench.closed_loop import Load, run_load
from bench.server_figures import measure_level, stage_times
from bench.time_limit import TimeLimit, TimeOverError
from latency import ModelTime
from mqspn_client import Client, RetrySettings
from posts import LoadPost

POSTS = [LoadPost(str(i), f"so Jordan {i}", None) for i in range(3)]


def test_every_caller_sends_until_the_time_is_over(server):
    with Client(server.url) as client:
        level = measure_level(client, server.url, "key", POSTS, callers=4, seconds=0.3)
    assert level["callers"] == 4
    assert level["calls"] > 4
    assert level["failed"] == 0
    assert level["errors"] == []
    assert 0 < level["p50_ms"] <= (level["p99_ms"] or float("inf"))
    assert server.most_at_once > 1


def test_a_load_ends_with_the_runs_time(server):
    start = time.monotonic()
    with Client(server.url) as client, pytest.raises(TimeOverError), TimeLimit(0.5):
        run_load(client, POSTS, callers=4, seconds=60)
    assert time.monotonic() - start < 30


def test_a_failed_call_is_counted_and_not_timed():
    with Client("127.0.0.1:1", timeout_s=1.0, retry=RetrySettings(attempts=1)) as client:
        load = run_load(client, POSTS, callers=2, seconds=0.1)
    assert len(load.failures) >= 2
    assert load.figures()["failed"] == len(load.failures)
    assert load.figures()["posts_per_second"] == 0
    assert load.figures()["p99_ms"] is None


def test_figures_of_a_load():
    load = Load(
        callers=2,
        seconds=2.0,
        latencies_s=tuple(ms / 1000 for ms in range(1, 102)),
        failures=(),
        client_cpu_s=1.0,
    )
    figures = load.figures()
    assert (figures["p50_ms"], figures["p99_ms"]) == (51.0, 100.0)
    assert figures["posts_per_second"] == pytest.approx(50.5)
    assert figures["client_cpu_share"] == 0.5
    # Of 99 answers the slowest would be all there is to a p99.
    few = replace(load, latencies_s=load.latencies_s[:99]).figures()
    assert (few["p50_ms"], few["p99_ms"]) == (50.0, None)


def test_stage_times_are_of_the_requests_between():
    """Ten requests in four batches: 5 ms of computing and 2 ms of waiting each."""

    def times(requests, executions, compute_ms, queue_ms):
        return ModelTime(
            requests=requests,
            executions=executions,
            total_ns=int((compute_ms + queue_ms) * 1e6),
            compute_ns=int(compute_ms * 1e6),
            queue_ns=int(queue_ms * 1e6),
        )

    before = {"text_encoder": times(3, 3, 300, 0), "other": times(1, 1, 1, 1)}
    after = {"text_encoder": times(13, 7, 350, 20), "other": times(1, 1, 1, 1)}
    assert stage_times(before, after) == {
        "text_encoder": {
            "requests": 10,
            "total_ms": 7.0,
            "compute_ms": 5.0,
            "queue_ms": 2.0,
            "batch": 2.5,
            "cache_hits": 0,
        }
    }
