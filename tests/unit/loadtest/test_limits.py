"""The rates and times that a load test takes."""

from __future__ import annotations

import pytest
from limits import check_load, parse_run_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20", 20), ("20s", 20), ("3m", 180), ("1h20m", 4800), ("3h30m10s", 12610), ("0s", 0)],
)
def test_a_run_time_is_read_as_locust_does(text, seconds):
    assert parse_run_time(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "soon", "-5s", "1.5m", "5s3m"])
def test_what_is_no_run_time(text):
    with pytest.raises(ValueError, match="is no time"):
        parse_run_time(text)


def test_a_run_without_end_may_have_any_warm_up():
    check_load(warm_up_s=100.0)
    check_load(rate=100_000, run_time_s=2, warm_up_s=1.9)
    with pytest.raises(ValueError, match="make it shorter"):
        check_load(run_time_s=2, warm_up_s=2)
