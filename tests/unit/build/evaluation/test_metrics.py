"""The metrics, worked by hand, and against a slow and obvious implementation."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.data.posts import GoldEntity
from mqspn.evaluation.metrics import (
    Counts,
    PredictedEntity,
    Scores,
    match_entities,
    region_is_right,
    score,
)

FACE = (10.0, 10.0, 50.0, 60.0)
CREST = (100.0, 20.0, 140.0, 60.0)


def correct(gold, predicted):
    """Right answers of one post in MNER, EEG, GMNER."""
    scores = score([gold], [predicted])
    return scores.mner.correct, scores.eeg.correct, scores.gmner.correct


def test_everything_right():
    gold = [GoldEntity(0, 6, "PER", (FACE,)), GoldEntity(10, 16, "LOC")]
    scores = score([gold], [[PredictedEntity(0, 6, "PER", FACE), PredictedEntity(10, 16, "LOC")]])
    assert scores == Scores(
        mner=Counts(gold=2, predicted=2, correct=2),
        eeg=Counts(gold=2, predicted=2, correct=2),
        gmner=Counts(gold=2, predicted=2, correct=2),
    )
    assert scores.gmner.f1 == 1


@pytest.mark.parametrize("span", [(0, 5), (0, 7), (1, 6)])
def test_a_span_off_by_one_character_is_wrong_everywhere(span):
    assert correct([GoldEntity(0, 6, "PER")], [PredictedEntity(span[0], span[1], "PER")]) == (
        0,
        0,
        0,
    )


def test_a_wrong_type_is_right_in_eeg_only():
    gold = [GoldEntity(0, 6, "PER", (FACE,))]
    assert correct(gold, [PredictedEntity(0, 6, "MISC", FACE)]) == (0, 1, 0)


def test_a_wrong_region_is_right_in_mner_only():
    gold = [GoldEntity(0, 6, "PER", (FACE,))]
    assert correct(gold, [PredictedEntity(0, 6, "PER", CREST)]) == (1, 0, 0)


@pytest.mark.parametrize("box", [FACE, CREST])
def test_any_box_of_a_gold_entity_with_several_is_right(box):
    gold = [GoldEntity(0, 6, "PER", (FACE, CREST))]
    assert correct(gold, [PredictedEntity(0, 6, "PER", box)]) == (1, 1, 1)


def test_an_entity_with_several_boxes_is_one_gold_entity():
    gold = [GoldEntity(0, 6, "PER", (FACE, CREST))]
    both = [PredictedEntity(0, 6, "PER", FACE), PredictedEntity(0, 6, "PER", CREST)]
    assert score([gold], [both]).gmner == Counts(gold=1, predicted=2, correct=1)


def test_null_answers_null():
    assert correct([GoldEntity(0, 6, "PER")], [PredictedEntity(0, 6, "PER", None)]) == (1, 1, 1)


def test_a_box_for_an_entity_not_in_the_image_is_wrong():
    assert correct([GoldEntity(0, 6, "PER")], [PredictedEntity(0, 6, "PER", FACE)]) == (1, 0, 0)


def test_null_for_a_groundable_entity_is_wrong_whatever_the_proposals_were():
    gold = [GoldEntity(0, 6, "PER", (FACE,))]
    assert correct(gold, [PredictedEntity(0, 6, "PER", None)]) == (1, 0, 0)


def test_an_iou_of_exactly_a_half_is_wrong():
    square = (0.0, 0.0, 10.0, 10.0)
    assert not region_is_right([square], (0.0, 0.0, 10.0, 5.0))
    assert region_is_right([square], (0.0, 0.0, 10.0, 5.01))


def test_the_raw_box_counts_at_any_size_of_image():
    big = (3000.25, 2000.5, 4000.75, 3000.5)
    assert region_is_right([big], (3000.0, 2000.0, 4001.0, 3001.0))


def test_a_duplicate_is_a_false_positive():
    gold = [GoldEntity(0, 6, "PER", (FACE,))]
    twice = [PredictedEntity(0, 6, "PER", FACE)] * 2
    counts = Counts(gold=1, predicted=2, correct=1)
    assert score([gold], [twice]) == Scores(mner=counts, eeg=counts, gmner=counts)
    assert counts.precision == 0.5
    assert counts.recall == 1
    assert counts.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("scores", [(0.4, 0.9), (0.9, 0.4)])
def test_of_duplicates_the_one_with_the_higher_score_is_right(scores):
    gold = [GoldEntity(0, 6, "PER")]
    twice = [PredictedEntity(0, 6, "PER", None, value) for value in scores]
    pairs = match_entities(gold, twice, type_matters=True, region_matters=True)
    assert pairs == [(0, scores.index(0.9))]


def test_a_score_never_costs_a_pair():
    # The first answer fits both gold entities, the second only the first of them.
    gold = [GoldEntity(0, 6, "PER", (FACE,)), GoldEntity(0, 6, "PER", (FACE, CREST))]
    answers = [PredictedEntity(0, 6, "PER", FACE, 1.0), PredictedEntity(0, 6, "PER", CREST, 0.0)]
    pairs = match_entities(gold, answers, type_matters=True, region_matters=True)
    assert sorted(pairs) == [(0, 0), (1, 1)]


def test_overlapping_answers_do_not_share_a_gold_entity():
    gold = [GoldEntity(0, 6, "PER"), GoldEntity(7, 12, "LOC")]
    answers = [PredictedEntity(0, 12, "PER"), PredictedEntity(0, 6, "PER")]
    assert score([gold], [answers]).mner == Counts(gold=2, predicted=2, correct=1)


def test_two_types_at_one_span_are_one_right_answer_in_eeg():
    gold = [GoldEntity(0, 6, "PER")]
    both = [PredictedEntity(0, 6, "LOC"), PredictedEntity(0, 6, "PER")]
    assert correct(gold, both) == (1, 1, 1)


def test_the_same_name_twice_is_two_gold_entities():
    gold = [GoldEntity(0, 6, "ORG", (CREST,)), GoldEntity(20, 26, "ORG", (CREST,))]
    first = [PredictedEntity(0, 6, "ORG", CREST)]
    assert score([gold], [first]).gmner == Counts(gold=2, predicted=1, correct=1)
    both = [*first, PredictedEntity(20, 26, "ORG", CREST)]
    assert correct(gold, both) == (2, 2, 2)


def test_an_answer_to_another_post_is_wrong():
    entity, answer = GoldEntity(0, 6, "PER"), PredictedEntity(0, 6, "PER")
    scores = score([[entity], []], [[], [answer]])
    assert scores.mner == Counts(gold=1, predicted=1, correct=0)


def test_micro_average_weighs_entities_not_posts():
    gold = [[GoldEntity(0, 1, "PER")], [GoldEntity(i, i + 1, "PER") for i in range(3)]]
    scores = score(gold, [[PredictedEntity(0, 1, "PER")], []])
    assert scores.mner.recall == 0.25


def test_no_gold_and_no_answers_score_zero():
    assert score([], []).to_json()["gmner"] == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "gold": 0,
        "predicted": 0,
        "correct": 0,
    }


def test_json_has_the_three_metrics():
    gold = [[GoldEntity(0, 6, "PER", (FACE,)), GoldEntity(8, 9, "LOC")]]
    values = score(gold, [[PredictedEntity(0, 6, "PER")]]).to_json()
    assert list(values) == ["mner", "eeg", "gmner"]
    assert values["mner"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "gold": 2,
        "predicted": 1,
        "correct": 1,
    }


def test_different_numbers_of_posts_are_refused():
    with pytest.raises(ValueError, match="2 posts with gold entities, 1 with answers"):
        score([[], []], [[]])


# The reference: tries every way to give answers to gold entities, and takes boxes apart by hand.


def reference_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def reference_right(gold, answer, metric):
    if gold.start != answer.start or gold.end != answer.end:
        return False
    if metric in ("mner", "gmner") and gold.type != answer.type:
        return False
    if metric in ("eeg", "gmner"):
        if answer.box is None:
            return len(gold.boxes) == 0
        return any(reference_iou(box, answer.box) > 0.5 for box in gold.boxes)
    return True


def reference_correct(gold, answers, metric):
    short, long = sorted((gold, answers), key=len)
    best = 0
    for order in permutations(long, len(short)):
        right = 0
        for a, b in zip(short, order, strict=True):
            expected, answer = (a, b) if isinstance(a, GoldEntity) else (b, a)
            right += reference_right(expected, answer, metric)
        best = max(best, right)
    return best


# Few spans, types and corners, so that answers meet gold entities, spans overlap and are shared,
# and IoUs of a half are common; an answer may come twice.
spans = st.sampled_from([(0, 2), (0, 5), (3, 5)])
types = st.sampled_from(["PER", "LOC"])
boxes = st.builds(
    lambda x, y, w, h: (float(x), float(y), float(x + w), float(y + h)),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(1, 3),
    st.integers(1, 3),
)
gold_entities = st.builds(
    lambda span, type_, boxes: GoldEntity(span[0], span[1], type_, tuple(boxes)),
    spans,
    types,
    st.lists(boxes, max_size=2),
)
answers = st.builds(
    lambda span, type_, box, score: PredictedEntity(span[0], span[1], type_, box, score),
    spans,
    types,
    st.none() | boxes,
    st.floats(0, 1),
)
answer_lists = st.tuples(st.lists(answers, max_size=4), st.booleans()).map(
    lambda drawn: drawn[0] + drawn[0][:1] if drawn[1] else drawn[0]
)
posts = st.tuples(st.lists(gold_entities, max_size=4), answer_lists)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(posts, max_size=3))
def test_score_equals_the_reference(posts):
    gold, predicted = [g for g, _ in posts], [p for _, p in posts]
    scores = score(gold, predicted)
    for metric in ("mner", "eeg", "gmner"):
        assert getattr(scores, metric) == Counts(
            gold=sum(map(len, gold)),
            predicted=sum(map(len, predicted)),
            correct=sum(reference_correct(g, p, metric) for g, p in posts),
        )


@settings(deadline=None)  # the machine may be busy
@given(posts, st.randoms(use_true_random=False))
def test_the_order_of_entities_does_not_matter(post, random):
    gold, predicted = post
    expected = score([gold], [predicted])
    assert score([random.sample(gold, len(gold))], [random.sample(predicted, len(predicted))]) == (
        expected
    )


@settings(deadline=None)  # the machine may be busy
@given(st.lists(posts, max_size=3))
def test_scores_of_parts_add_up(posts):
    parts = sum((score([g], [p]) for g, p in posts), Scores())
    assert parts == score([g for g, _ in posts], [p for _, p in posts])
