"""The search over decoding settings, on objectives whose best setting is known."""

from collections.abc import Iterable
from dataclasses import fields, replace

import numpy as np
import pytest
from mqspn.evaluation.decoding_search import TUNED, Candidates, held_out_gains, search
from mqspn_backend.serving_settings import DecodingSettings

PRESENT = DecodingSettings(entity_threshold=0.5, region_threshold=0.0, max_entity_words=5)
THRESHOLD = (Candidates(field="entity_threshold", values=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),)


def by_threshold(scores):
    return lambda settings: scores[round(10 * settings.entity_threshold) - 1]


def test_the_table_names_fields_of_the_settings_and_values_they_accept():
    known = {field.name for field in fields(DecodingSettings)}
    assert (
        {"entity_threshold", "region_threshold", "max_entity_words"}
        <= {candidates.field for candidates in TUNED}
        <= known
    )
    for candidates in TUNED:
        assert len(set(candidates.values)) == len(candidates.values) >= 2
        for value in candidates.values:
            replace(PRESENT, **{candidates.field: value})


def test_every_field_reaches_its_best_value():
    best = DecodingSettings(entity_threshold=0.3, region_threshold=0.65, max_entity_words=3)

    def objective(settings):
        return -(
            abs(settings.entity_threshold - best.entity_threshold)
            + abs(settings.region_threshold - best.region_threshold)
            + abs((settings.max_entity_words or 20) - best.max_entity_words) / 10
        )

    assert search(objective, PRESENT) == best


def test_fields_that_depend_on_each_other_are_swept_again():
    def objective(settings):  # the best region threshold is worth something only near 0.3
        near = abs(settings.entity_threshold - 0.3) < 0.05
        return (0.5 if near else 0.3) + (0.2 if near else -0.2) * settings.region_threshold

    table = (TUNED[1], TUNED[0])  # region first: at 0.5 it should stay low
    assert search(objective, PRESENT, table).region_threshold == 0.95


def test_a_lucky_peak_loses_to_a_plateau():
    chosen = search(by_threshold([0.2, 0.92, 0.2, 0.2, 0.85, 0.9, 0.9]), PRESENT, THRESHOLD)
    assert chosen.entity_threshold == 0.7


def test_the_edge_of_a_cliff_loses_to_the_middle_of_a_plateau():
    present = replace(PRESENT, entity_threshold=0.1)
    chosen = search(by_threshold([0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1]), present, THRESHOLD)
    assert chosen.entity_threshold == 0.3  # the nearest whose neighbours are as good


def test_ties_go_to_the_present_setting():
    assert search(lambda _: 0.7, PRESENT) == PRESENT
    chosen = search(by_threshold([0.9, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9]), PRESENT, THRESHOLD)
    assert chosen.entity_threshold == 0.7  # at the end, so that only 0.6 is its neighbour


def test_the_present_setting_stays_where_the_choice_is_no_better():
    # The mean of neighbours prefers 0.3; on its own it is worse than the present 0.5.
    scores = [0.1, 0.8, 0.8, 0.8, 0.9, 0.1, 0.1]
    assert search(by_threshold(scores), PRESENT, THRESHOLD) == PRESENT


def test_a_field_without_order_is_not_averaged():
    table = (Candidates(field="max_entity_words", values=(1, 2, 3), ordered=False),)
    scores = {5: 0.5, 1: 0.0, 2: 0.9, 3: 0.0}
    chosen = search(lambda s: scores[s.max_entity_words], PRESENT, table)
    assert chosen.max_entity_words == 2


def test_a_present_value_that_is_no_candidate_takes_its_place_among_them():
    present = replace(PRESENT, entity_threshold=0.33)
    asked = []

    def objective(settings):
        asked.append(settings.entity_threshold)
        return 0.5

    assert search(objective, present, THRESHOLD) == present
    assert asked[:8] == [0.1, 0.2, 0.3, 0.33, 0.4, 0.5, 0.6, 0.7]


def per_post(table):
    """F1 stand-in: the mean over posts of a value for each (post, threshold)."""
    return lambda settings, rows: float(
        table[rows, round(10 * settings.entity_threshold) - 1].mean()
    )


def test_a_gain_on_every_post_holds_on_unseen_ones():
    table = np.full((20, 7), 0.5)
    table[:, 1:4] = 0.8
    gains = held_out_gains(per_post(table), PRESENT, 20, table=THRESHOLD)
    assert gains == pytest.approx([0.3] * 10)


def test_a_gain_by_chance_does_not_hold():
    """All thresholds are alike: what a choice gains on one half, the other half does not show."""
    table = np.random.default_rng(0).random((60, 7))
    score = per_post(table)
    everything = np.arange(60)
    chosen = search(lambda s: score(s, everything), PRESENT, THRESHOLD)
    seen = score(chosen, everything) - score(PRESENT, everything)
    gains = held_out_gains(score, PRESENT, 60, table=THRESHOLD)
    assert len(gains) == 10
    assert np.mean(gains) < seen / 2
    assert min(gains) < 0


def test_a_choice_never_sees_the_half_it_is_judged_on():
    """Each post likes another threshold; a choice that saw all posts would find the mean's best."""
    halves: list[tuple[int, ...]] = []

    def score(_: object, rows: Iterable[int]) -> float:
        halves.append(tuple(rows))
        return 0.5

    held_out_gains(score, PRESENT, 9, table=THRESHOLD)
    distinct = list(dict.fromkeys(halves))
    assert {len(rows) for rows in distinct} == {4, 5}
    for one, other in zip(distinct[::2], distinct[1::2], strict=True):
        assert sorted(one + other) == list(range(9))


def test_the_same_seed_gives_the_same_gains():
    score = per_post(np.random.default_rng(1).random((30, 7)))
    first, second = (held_out_gains(score, PRESENT, 30, table=THRESHOLD) for _ in range(2))
    assert first == second
