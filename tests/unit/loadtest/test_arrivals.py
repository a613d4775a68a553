import itertools
import math

import pytest
from arrivals import SHAPES, arrival_times, level_at


def times(rate=100.0, seconds=10.0, shape="steady", arrivals="constant", seed=0):
    return list(arrival_times(rate, seconds, shape=shape, arrivals=arrivals, seed=seed))


def between(found, start, end):
    return sum(start <= time < end for time in found)


def test_constant_arrivals_are_even():
    found = times()
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert len(found) == 1000
    assert max(gaps) == pytest.approx(0.01) == min(gaps)


def test_poisson_arrivals_are_random_at_the_rate():
    found = times(seconds=100.0, arrivals="poisson")
    gaps = [b - a for a, b in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.01, rel=0.05)
    assert spread == pytest.approx(mean, rel=0.1)  # as an exponential distribution has it
    assert found == times(seconds=100.0, arrivals="poisson")
    assert found != times(seconds=100.0, arrivals="poisson", seed=1)


def test_a_ramp_goes_from_nothing_to_the_rate():
    found = times(shape="ramp")
    assert len(found) == 500
    assert between(found, 0, 5) == pytest.approx(125, abs=1)
    assert between(found, 9, 10) == pytest.approx(95, abs=1)


def test_a_spike_is_four_times_what_is_around_it():
    found = times(shape="spike", seconds=100.0)
    assert between(found, 20, 30) == pytest.approx(250, abs=1)
    assert between(found, 45, 55) == pytest.approx(1000, abs=1)
    assert between(found, 55, 100) == pytest.approx(1125, abs=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_arrivals_are_in_order_and_inside_the_run(shape, arrivals):
    found = times(shape=shape, arrivals=arrivals)
    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] <= 10


def test_a_steady_rate_may_have_no_end():
    endless = arrival_times(5.0, math.inf, shape="steady", arrivals="constant", seed=0)
    assert list(itertools.islice(endless, 3)) == pytest.approx([0.2, 0.4, 0.6])
    with pytest.raises(ValueError, match="needs a run time"):
        next(arrival_times(5.0, math.inf, shape="ramp", arrivals="constant", seed=0))


def test_levels_between_the_points():
    assert level_at(SHAPES["ramp"], 0.25) == 0.25
    assert level_at(SHAPES["spike"], 0.5) == 1
    assert level_at(SHAPES["spike"], 0.9) == 0.25
    assert level_at(SHAPES["soak"], 0.5) == 1
