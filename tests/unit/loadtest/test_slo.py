import math

import pytest
from figures import Figures
from slo import Slo


def figures(*times_ms, failed=0):
    found = Figures()
    for place, time_ms in enumerate(times_ms):
        found.add(time_ms, failed=place < failed, posts=1)
    return found


def test_times_have_units_and_errors_are_shares():
    slo = Slo.parse("p99=200ms, p50=1.5s,mean=80ms,p99.9=2s,max=3s,errors=1%")
    assert slo.times_ms == {"p99": 200, "p50": 1500, "mean": 80, "p99.9": 2000, "max": 3000}
    assert slo.errors == 0.01
    assert Slo.parse(str(slo)) == slo


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p99=200", "no time with a unit"),
        ("p99", "no time with a unit"),
        ("p100=1s", "no objective"),
        ("q99=1s", "what is allowed: p50, p90"),
        ("errors=2", "no share"),
        ("errors=-1", "no share"),
        ("p99=1s,p99=2s", "twice"),
        ("errors=0,errors=1", "twice"),
        ("", "holds no objective"),
    ],
)
def test_what_cannot_be_read_names_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        Slo.parse(text)


def test_each_broken_objective_is_a_line():
    slo = Slo.parse("p50=10ms,p99=100ms,mean=200ms,errors=10%")
    found = figures(*range(8, 18), 150, 150, failed=2)
    assert slo.broken(figures(1, 2, 3)) == []
    lines = slo.broken(found)
    assert [line.split()[0] for line in lines] == ["p50", "p99", "2"]
    assert "p99 is 150 ms, the objective is 100 ms" in lines


def test_a_percentile_is_not_rounded_down():
    assert Slo.parse("p99=200ms").broken(figures(*[10] * 90, *[204] * 10)) != []
    assert Slo.parse("p99=204ms").broken(figures(*[10] * 90, *[204] * 10)) == []


def test_posts_not_sent_break_the_times():
    found = figures(*[10] * 90, *[math.inf] * 10)
    assert Slo.parse("p50=10ms").broken(found) == []
    assert Slo.parse("p99=10s").broken(found) == ["p99 has no end: 10 posts were not sent"]


def test_no_request_breaks_every_objective():
    assert Slo.parse("errors=1").broken(Figures()) == ["no request was made"]
