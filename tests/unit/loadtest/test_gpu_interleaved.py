"""Contenders timed in turns: medians, ratios within a round, and what becomes of one that fails."""

import time

import pytest
from bench.comparison import comparison_rows
from bench.interleaved import Contender, Standing, repeat, run_rounds


def standing(name, rates, calls, **options):
    """A contender whose rate in each round is known."""
    waiting = iter(rates)

    def rate(seconds):
        calls.append(name)
        found = next(waiting)
        if isinstance(found, Exception):
            raise found
        return found

    return Standing(contender=Contender(name=name, batch=1, rate=rate, **options))


def test_a_ratio_is_taken_within_its_round():
    """The machine halves its speed in the second round: no ratio changes."""
    calls: list[str] = []
    eager = standing("eager", [10.0, 5.0, 10.0], calls, is_reference=True)
    fast = standing("fast", [30.0, 15.0, 30.0], calls)
    run_rounds([eager, fast], rounds=3, seconds=1, deadline=time.monotonic() + 60)
    assert calls == ["eager", "fast", "fast", "eager", "eager", "fast"]
    assert fast.figures()["ratio_to_eager"] == 3.0
    assert fast.figures()["posts_per_second"] == 30.0
    assert (fast.figures()["slowest"], fast.figures()["fastest"]) == (15.0, 30.0)
    assert eager.figures()["ratio_to_eager"] == 1.0


def test_a_failure_is_a_row_with_its_reason_and_ends_nobody_else():
    calls: list[str] = []
    eager = standing("eager", [10.0, 10.0], calls, is_reference=True)
    broken = standing("broken", [RuntimeError("out of\nmemory")], calls)
    run_rounds([eager, broken], rounds=2, seconds=1, deadline=time.monotonic() + 60)
    rows = comparison_rows([eager, broken], flops_per_post=3e9, peak=1e12)
    assert rows[0]["share_of_peak"] == pytest.approx(10 * 3e9 / 1e12)
    assert rows[0]["rounds"] == 2
    assert rows[1]["not_measured"] == "out of memory"
    assert rows[1]["posts_per_second"] is rows[1]["share_of_peak"] is None
    assert calls.count("broken") == 1


def test_after_the_deadline_nothing_begins():
    calls: list[str] = []
    eager = standing("eager", [10.0, 10.0], calls, is_reference=True)
    run_rounds([eager], rounds=2, seconds=1, deadline=time.monotonic() - 1)
    assert calls == []
    assert eager.figures()["posts_per_second"] is None


def test_each_figure_is_given_away_as_it_is_timed():
    """A run that is killed has all that was timed before."""
    calls: list[str] = []
    eager = standing("eager", [10.0, 10.0], calls, is_reference=True)
    fast = standing("fast", [30.0, 30.0], calls)
    seen = []
    run_rounds(
        [eager, fast],
        rounds=2,
        seconds=1,
        deadline=time.monotonic() + 60,
        timed=lambda: seen.append((len(eager.rates), len(fast.rates), len(fast.ratios))),
    )
    assert seen == [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 2, 1), (2, 2, 1), (2, 2, 2)]


def test_the_rate_of_calls_one_after_the_other():
    assert repeat(lambda: time.sleep(0.02), 4, 0.1) == pytest.approx(200, rel=0.5)
