"""Expected calibration error and Brier score, worked by hand."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.evaluation.calibration import Bin, calibration

#: Stands for a number.
approx: Any = pytest.approx


def test_two_bins_by_hand():
    scores = [0.9, 0.2, 0.6, 0.4]
    figures = calibration(scores, [True, False, False, True], bins=2)
    assert figures.bins == (
        Bin(answers=2, low=0.2, high=0.4, confidence=approx(0.3), accuracy=0.5),
        Bin(answers=2, low=0.6, high=0.9, confidence=approx(0.75), accuracy=0.5),
    )
    assert figures.ece == pytest.approx(0.5 * 0.2 + 0.5 * 0.25)
    assert figures.brier == pytest.approx((0.1**2 + 0.2**2 + 0.6**2 + 0.6**2) / 4)


def test_overconfident_in_one_bin_and_modest_in_another_do_not_cancel():
    figures = calibration([0.3, 0.7], [True, False], bins=2)
    assert figures.ece == pytest.approx(0.7)
    assert calibration([0.3, 0.7], [True, False], bins=1).ece == 0


def test_certain_and_right_is_perfect_and_certain_and_wrong_the_worst():
    right, wrong = calibration([1.0] * 5, [True] * 5), calibration([1.0] * 5, [False] * 5)
    assert (right.ece, right.brier) == (0, 0)
    assert (wrong.ece, wrong.brier) == (1, 1)


def test_bins_hold_about_as_many_answers_each():
    figures = calibration([i / 100 for i in range(95)], [True] * 95)
    assert [b.answers for b in figures.bins] == [10, 9] * 5
    assert [b.low for b in figures.bins] == sorted(b.low for b in figures.bins)


def test_equal_scores_share_a_bin():
    figures = calibration([0.5] * 9 + [0.9], [True] * 5 + [False] * 5, bins=5)
    assert [b.answers for b in figures.bins] == [9, 1]


def test_no_answers_and_lengths_that_differ():
    assert calibration([], []) is None
    with pytest.raises(ValueError, match="2 scores, 1 answers"):
        calibration([0.1, 0.2], [True])


def test_the_json_lists_the_bins():
    values = calibration([0.25, 0.75], [False, True], bins=2).to_json()
    assert values == {
        "ece": 0.25,
        "brier": 0.0625,
        "bins": [
            {"answers": 1, "low": 0.25, "high": 0.25, "confidence": 0.25, "accuracy": 0.0},
            {"answers": 1, "low": 0.75, "high": 0.75, "confidence": 0.75, "accuracy": 1.0},
        ],
    }


pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.8, 1.0]), st.booleans()), min_size=1)


@settings(deadline=None)  # the machine may be busy
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter_and_every_answer_is_in_a_bin(answers, random):
    figures = calibration(*zip(*answers, strict=True), bins=4)
    assert figures is not None
    shuffled = calibration(*zip(*random.sample(answers, len(answers)), strict=True), bins=4)
    assert shuffled.ece == pytest.approx(figures.ece)
    assert shuffled.brier == pytest.approx(figures.brier)
    assert [b.answers for b in shuffled.bins] == [b.answers for b in figures.bins]
    assert sum(b.answers for b in figures.bins) == len(answers)
    assert 0 <= figures.ece <= 1
