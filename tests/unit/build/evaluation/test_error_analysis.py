"""Kinds of mistakes, worked by hand, and what must hold for any answers."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.data.posts import GoldEntity, Post
from mqspn.evaluation.error_analysis import KINDS, Mistake, find_mistakes, mistake_json
from mqspn.evaluation.metrics import PredictedEntity, score

FACE = (10.0, 10.0, 50.0, 60.0)
CREST = (100.0, 20.0, 140.0, 60.0)
TEXT = "Ravens beat Michael Jordan in Rome"
RAVENS = GoldEntity(0, 6, "ORG", (CREST,))
JORDAN = GoldEntity(12, 26, "PER", (FACE,))
ROME = GoldEntity(30, 34, "LOC")


def kinds(gold, answers):
    return [mistake.kind for mistake in find_mistakes(gold, answers)]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (PredictedEntity(20, 26, "PER", FACE), "span"),
        (PredictedEntity(20, 26, "LOC", None), "span"),  # whatever else is wrong
        (PredictedEntity(8, 34, "PER", FACE), "span"),
        (PredictedEntity(12, 26, "LOC", FACE), "type"),
        (PredictedEntity(12, 26, "LOC", CREST), "type"),  # whatever the region
        (PredictedEntity(12, 26, "PER", CREST), "region"),
        (PredictedEntity(12, 26, "PER", None), "region"),
    ],
)
def test_one_wrong_answer_and_its_gold_entity_are_one_mistake(answer, kind):
    assert find_mistakes([JORDAN], [answer]) == [Mistake(kind=kind, gold=JORDAN, answer=answer)]


def test_a_box_for_an_entity_not_in_the_image_is_a_region_mistake():
    assert kinds([ROME], [PredictedEntity(30, 34, "LOC", FACE)]) == ["region"]


def test_what_shares_no_character_is_missed_and_spurious():
    answer = PredictedEntity(26, 30, "PER", FACE)  # touches JORDAN's end
    assert find_mistakes([JORDAN], [answer]) == [
        Mistake(kind="missed", gold=JORDAN),
        Mistake(kind="spurious", answer=answer),
    ]


def test_right_answers_are_no_mistakes():
    answers = [PredictedEntity(12, 26, "PER", FACE), PredictedEntity(30, 34, "LOC")]
    assert find_mistakes([JORDAN, ROME], answers) == []
    assert kinds([], []) == []


def test_a_second_answer_to_a_found_entity_is_spurious():
    answers = [PredictedEntity(12, 26, "PER", FACE, 0.9), PredictedEntity(12, 26, "PER", FACE, 0.8)]
    assert find_mistakes([JORDAN], answers) == [Mistake(kind="spurious", answer=answers[1])]
    answers = [PredictedEntity(12, 26, "PER", FACE), PredictedEntity(20, 26, "PER", FACE)]
    assert find_mistakes([JORDAN], answers) == [Mistake(kind="spurious", answer=answers[1])]


def test_one_name_in_two_pieces_is_a_span_mistake_and_a_spurious_answer():
    pieces = [PredictedEntity(12, 19, "PER", FACE), PredictedEntity(20, 26, "PER", FACE)]
    assert find_mistakes([JORDAN], pieces) == [
        Mistake(kind="span", gold=JORDAN, answer=pieces[0]),  # Michael is the larger piece
        Mistake(kind="spurious", answer=pieces[1]),
    ]


def test_one_answer_over_two_entities_is_a_span_mistake_and_a_missed_entity():
    answer = PredictedEntity(0, 26, "PER", FACE)
    assert find_mistakes([RAVENS, JORDAN], [answer]) == [
        Mistake(kind="missed", gold=RAVENS),
        Mistake(kind="span", gold=JORDAN, answer=answer),
    ]


def test_the_best_partial_match_wins():
    exact = PredictedEntity(12, 26, "LOC", FACE, 0.2)
    part = PredictedEntity(12, 19, "PER", FACE, 0.9)
    assert find_mistakes([JORDAN], [part, exact])[1] == Mistake(
        kind="type", gold=JORDAN, answer=exact
    )
    right_type = PredictedEntity(12, 26, "PER", CREST, 0.1)
    assert kinds([JORDAN], [exact, right_type]) == ["region", "spurious"]
    right_region = PredictedEntity(12, 26, "MISC", FACE, 0.3)
    wrong_region = PredictedEntity(12, 26, "MISC", CREST, 0.8)
    assert find_mistakes([JORDAN], [wrong_region, right_region])[0].answer == right_region


def test_a_line_shows_what_is_needed_to_judge_the_mistake():
    post = Post(
        id="7",
        text=TEXT,
        words=tuple(TEXT.split()),
        entities=(JORDAN,),
        image=Path("images/7.jpg"),
    )
    half = (10.0, 10.0, 50.0, 35.0)
    answer = PredictedEntity(12, 26, "PER", half, 0.75)
    (mistake,) = find_mistakes(post.entities, [answer])
    assert mistake_json(post, mistake) == {
        "id": "7",
        "kind": "region",
        "text": TEXT,
        "around": "Ravens beat [Michael Jordan] in Rome",
        "gold": {
            "start": 12,
            "end": 26,
            "text": "Michael Jordan",
            "type": "PER",
            "boxes": (FACE,),
        },
        "answer": {
            "start": 12,
            "end": 26,
            "text": "Michael Jordan",
            "type": "PER",
            "box": half,
            "score": 0.75,
        },
        "iou": 0.5,
        "image": "7.jpg",
    }
    spurious = mistake_json(post, Mistake(kind="spurious", answer=answer))
    assert (spurious["gold"], spurious["iou"]) == (None, None)
    missed = mistake_json(post.without_image(), Mistake(kind="missed", gold=JORDAN))
    assert (missed["answer"], missed["image"]) == (None, None)


def test_the_text_around_is_cut_and_spans_both_sides_of_a_pair():
    text = "a" * 60 + " Michael Jordan " + "b" * 60
    post = Post(id="1", text=text, words=tuple(text.split()), entities=(), image=None)
    mistake = Mistake(
        kind="span", gold=GoldEntity(61, 68, "PER"), answer=PredictedEntity(61, 75, "PER")
    )
    assert mistake_json(post, mistake)["around"] == f"{'a' * 39} [Michael Jordan] {'b' * 39}"


spans = st.sampled_from([(0, 2), (0, 5), (3, 5), (4, 9)])
types = st.sampled_from(["PER", "LOC"])
regions = st.sampled_from([None, FACE, CREST])
gold_lists = st.lists(
    st.builds(
        lambda span, type_, box: GoldEntity(span[0], span[1], type_, () if box is None else (box,)),
        spans,
        types,
        regions,
    ),
    max_size=5,
)
answer_lists = st.lists(
    st.builds(
        lambda span, type_, box, value: PredictedEntity(span[0], span[1], type_, box, value),
        spans,
        types,
        regions,
        st.sampled_from([0.25, 0.5, 1.0]),
    ),
    max_size=6,
)


@settings(deadline=None)  # the machine may be busy
@given(gold_lists, answer_lists)
def test_every_gold_entity_and_answer_is_right_or_in_one_mistake(gold, answers):
    mistakes = find_mistakes(gold, answers)
    counts = score([gold], [answers]).gmner
    in_mistakes = Counter(m.gold for m in mistakes if m.gold is not None)
    assert not in_mistakes - Counter(gold)
    assert in_mistakes.total() == counts.gold - counts.correct
    answered = Counter(m.answer for m in mistakes if m.answer is not None)
    assert not answered - Counter(answers)
    assert answered.total() == counts.predicted - counts.correct
    for m in mistakes:
        assert m.kind in KINDS
        assert (m.gold is None) == (m.kind == "spurious")
        assert (m.answer is None) == (m.kind == "missed")


@settings(deadline=None)  # the machine may be busy
@given(gold_lists, answer_lists, st.randoms(use_true_random=False))
def test_no_order_matters(gold, answers, random):
    shuffled = find_mistakes(random.sample(gold, len(gold)), random.sample(answers, len(answers)))
    assert shuffled == find_mistakes(gold, answers)
