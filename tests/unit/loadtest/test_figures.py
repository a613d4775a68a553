import json

import pytest
from figures import Record


def record():
    """A hundred requests, one every 100 ms; the last ten take long, and one is not sent."""
    found = Record(warm_up_s=1.0)
    found.start(1000.0)
    found.add("early", 5000.0, due_at=1000.5, posts=1)
    for i in range(100):
        time_ms = 900.0 if i >= 90 else float(i + 1)
        found.add("a" if i % 2 else "b", time_ms, due_at=1001 + i / 10, posts=1, send_delay_ms=2.0)
    found.add("a", None, due_at=1005.0, exception=ValueError("not sent"))
    return found


def test_percentiles_are_times_that_were_seen():
    summary = record().summary()
    assert summary["all"]["count"] == 101
    assert summary["all"]["failed"] == 1
    assert summary["all"]["p50_ms"] == 51
    assert summary["all"]["p95_ms"] == 900
    assert summary["all"]["max_ms"] is None  # what was not sent has no time
    assert summary["requests"]["b"]["count"] == 50
    assert summary["failures"] == [{"name": "a", "error": "ValueError('not sent')", "count": 1}]
    json.dumps(summary, allow_nan=False)


def test_rates_are_over_the_time_to_the_last_answer():
    found = record()
    assert found.seconds == pytest.approx(9.9 + 0.9)
    assert found.summary()["all"]["posts_per_second"] == round(100 / found.seconds, 2)


def test_what_gets_slower_shows_over_time():
    rows = record().summary()["over_time"]
    assert sum(row["count"] for row in rows) == 101
    assert rows[0]["p99_ms"] <= 10
    assert rows[-1]["p99_ms"] == 900


def test_the_warm_up_does_not_count():
    assert "early" not in record().by_name


def test_a_new_start_forgets():
    found = record()
    found.start(2000.0)
    assert found.summary()["all"]["count"] == 0
    assert found.summary()["over_time"] == []
