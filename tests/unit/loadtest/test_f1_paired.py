"""The paired F1 of two systems: points, difference and interval."""

from __future__ import annotations

import pytest
from f1_paired import METRICS, paired_difference
from mqspn.data.posts import GoldEntity, Post
from mqspn.evaluation.metrics import PredictedEntity

GOLD = GoldEntity(0, 1, "PER")
POSTS = [
    Post(id=str(i), text="a b", words=("a", "b"), image=None, entities=(GOLD,)) for i in range(40)
]
RIGHT, WRONG = [PredictedEntity(0, 1, "PER")], [PredictedEntity(0, 1, "LOC")]


def test_the_same_answers_differ_by_nothing():
    found = paired_difference(POSTS, [RIGHT] * 40, [RIGHT] * 40)
    assert set(found) == set(METRICS)
    for row in found.values():
        assert (row["ours"], row["theirs"], row["difference"]) == (100.0, 100.0, 0.0)
        assert row["interval"] == [0.0, 0.0]


def test_a_wrong_type_costs_mner_and_not_grounding():
    found = paired_difference(POSTS, [WRONG] * 10 + [RIGHT] * 30, [RIGHT] * 40)
    assert found["mner"]["ours"] == pytest.approx(75.0)
    assert found["mner"]["difference"] == pytest.approx(-25.0)
    low, high = found["mner"]["interval"]
    assert low < -25 < high < 0
    assert found["eeg"]["difference"] == 0.0
