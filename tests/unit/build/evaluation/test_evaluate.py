"""Evaluation of a predictor that answers from a table."""

import io
import json
from pathlib import Path

import pytest
from mqspn.data.posts import AmbiguousMention, GoldEntity, Post
from mqspn.evaluation.evaluate import evaluate
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.predictors import Failure

FACE = (10.0, 10.0, 50.0, 60.0)
SHOE = (100.0, 20.0, 140.0, 60.0)
IMAGE = Path("a.jpg")


class Table:
    """Answers by post id and whether the post has an image; counts what it is asked."""

    def __init__(self, answers, failing=()):
        self.answers = answers
        self.failing = failing
        self.asked = []
        self.failures: list[Failure] = []

    def predict(self, posts):
        self.asked.append([(post.id, post.image is not None) for post in posts])
        self.failures = [Failure(p.id, "IMAGE_FORMAT: bad") for p in posts if p.id in self.failing]
        return [list(self.answers.get((p.id, p.image is not None), ())) for p in posts]


def post(id, *entities, image=IMAGE, tags=(), ambiguous=()):
    text = "Jordan in Rome"
    return Post(
        id=id,
        text=text,
        words=tuple(text.split()),
        entities=entities,
        image=image,
        tags=frozenset(tags),
        ambiguous=tuple(ambiguous),
    )


PERSON = GoldEntity(0, 6, "PER", (FACE,))
PRODUCT = GoldEntity(0, 6, "MISC", (SHOE,))
ROME = GoldEntity(10, 14, "LOC")


def test_scores_of_the_whole_set():
    posts = [post("a", PERSON, ROME), post("b", PRODUCT)]
    answers = {
        ("a", True): [PredictedEntity(0, 6, "PER", FACE), PredictedEntity(10, 14, "LOC", SHOE)],
        ("b", True): [PredictedEntity(0, 6, "PER", SHOE)],
    }
    result = evaluate(posts, Table(answers))
    assert (result["posts"], result["entities"]) == (2, 3)
    assert result["seconds"] >= 0
    correct = [result[metric]["correct"] for metric in ("mner", "eeg", "gmner")]
    assert correct == [2, 2, 1]
    assert result["gmner"] == {
        "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(1 / 3),
        "gold": 3,
        "predicted": 3,
        "correct": 1,
    }
    json.dumps(result)


def test_by_type_counts_answers_of_the_type_too():
    answers = {("a", True): [PredictedEntity(0, 6, "MISC", FACE), PredictedEntity(10, 14, "LOC")]}
    by_type = evaluate([post("a", PERSON, ROME)], Table(answers))["by_type"]
    assert list(by_type) == ["LOC", "MISC", "PER"]
    counts = {
        t: tuple(by_type[t]["mner"][k] for k in ("gold", "predicted", "correct")) for t in by_type
    }
    assert counts == {"LOC": (1, 1, 1), "MISC": (0, 1, 0), "PER": (1, 0, 0)}


def test_groundable_and_ungroundable_apart():
    answers = {("a", True): [PredictedEntity(0, 6, "PER", None), PredictedEntity(10, 14, "LOC")]}
    result = evaluate([post("a", PERSON, ROME)], Table(answers))
    groundable, ungroundable = result["groundable"], result["ungroundable"]
    assert [groundable["gmner"][k] for k in ("gold", "predicted", "correct")] == [1, 0, 0]
    assert [ungroundable["gmner"][k] for k in ("gold", "predicted", "correct")] == [1, 2, 1]
    assert (groundable["mner_recall"], ungroundable["mner_recall"]) == (1, 1)


def test_groundable_and_ungroundable_add_up_to_the_whole():
    answers = {
        ("a", True): [PredictedEntity(0, 6, "PER", FACE), PredictedEntity(10, 14, "LOC", SHOE)],
        ("b", True): [PredictedEntity(0, 6, "MISC"), PredictedEntity(0, 6, "MISC", SHOE)],
    }
    result = evaluate([post("a", PERSON, ROME), post("b", PRODUCT)], Table(answers))
    for metric in ("eeg", "gmner"):
        for count in ("gold", "predicted", "correct"):
            parts = [result[kind][metric][count] for kind in ("groundable", "ungroundable")]
            assert sum(parts) == result[metric][count], (metric, count)
    assert result["groundable"]["gmner"]["precision"] == pytest.approx(2 / 3)
    assert result["ungroundable"]["gmner"]["recall"] == 0


def test_errors_are_counted_and_written_a_line_each():
    answers = {("a", True): [PredictedEntity(0, 6, "PER"), PredictedEntity(7, 9, "LOC", None, 0.4)]}
    lines = io.StringIO()
    result = evaluate([post("a", PERSON, ROME), post("b")], Table(answers), errors=lines)
    assert result["errors"] == {"span": 0, "type": 0, "region": 1, "missed": 1, "spurious": 1}
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(r["id"], r["kind"], r["around"]) for r in records] == [
        ("a", "region", "[Jordan] in Rome"),
        ("a", "spurious", "Jordan [in] Rome"),
        ("a", "missed", "Jordan in [Rome]"),
    ]


def test_calibration_against_mner_and_gmner():
    answers = {
        ("a", True): [PredictedEntity(0, 6, "PER", SHOE, 0.9), PredictedEntity(10, 14, "LOC")],
    }
    figures = evaluate([post("a", PERSON, ROME)], Table(answers))["calibration"]
    assert (figures["answers"], figures["bins"]) == (2, 10)
    assert figures["mner"]["ece"] == pytest.approx(0.05)  # 0.9 and right; 1.0 and right
    assert figures["gmner"]["ece"] == pytest.approx(0.45)  # 0.9 and wrong; 1.0 and right
    assert figures["gmner"]["brier"] == pytest.approx(0.405)
    assert [b["answers"] for b in figures["gmner"]["bins"]] == [1, 1]


def test_no_answers_have_no_calibration():
    figures = evaluate([post("a", PERSON)], Table({}))["calibration"]
    assert figures == {"answers": 0, "bins": 10, "mner": None, "gmner": None}


def test_speed_is_that_of_the_first_pass():
    result = evaluate([post("a", PERSON)], Table({}))
    assert result["speed"]["posts_per_second"] == pytest.approx(1 / result["seconds"])


def test_slices_by_tag():
    posts = [post("a", PERSON, tags=["night", "x"]), post("b", PRODUCT, tags=["night"]), post("c")]
    answers = {("a", True): [PredictedEntity(0, 6, "PER", FACE)]}
    slices = evaluate(posts, Table(answers))["slices"]
    assert slices == {
        "night": {
            "posts": 2,
            "entities": 2,
            "predicted": 1,
            "mner": pytest.approx(2 / 3),
            "eeg": pytest.approx(2 / 3),
            "gmner": pytest.approx(2 / 3),
        },
        "x": {"posts": 1, "entities": 1, "predicted": 1, "mner": 1.0, "eeg": 1.0, "gmner": 1.0},
    }


def test_posts_without_image_are_counted():
    posts = [post("a", PERSON, ROME, image=None), post("b", PRODUCT)]
    result = evaluate(posts, Table({}))
    assert result["without_image"] == {"posts": 1, "groundable": 1}


def ambiguous_posts():
    person = AmbiguousMention(0, 6, "PER", "image")
    product = AmbiguousMention(0, 6, "MISC", "image")
    return [
        post("a", PERSON, ambiguous=[person]),
        post("b", PRODUCT, ambiguous=[product]),
        post("c", PRODUCT, ambiguous=[product]),
        post("d", PERSON, ambiguous=[AmbiguousMention(0, 6, "PER", "context")]),
        post("e", PERSON, image=None, ambiguous=[person]),
    ]


def test_ambiguous_mentions_with_and_without_their_image():
    answers = {
        ("a", True): [PredictedEntity(0, 6, "PER", FACE)],
        ("b", True): [PredictedEntity(0, 6, "MISC", None)],
        ("c", True): [PredictedEntity(0, 5, "MISC", SHOE)],  # not the span: not found
        ("d", True): [PredictedEntity(0, 6, "LOC", FACE)],
        ("a", False): [PredictedEntity(0, 6, "PER")],
        ("b", False): [PredictedEntity(0, 6, "PER")],
        ("c", False): [PredictedEntity(0, 6, "PER")],
    }
    table = Table(answers)
    result = evaluate(ambiguous_posts(), table)
    assert result["ambiguous"] == {
        "posts": 3,
        "mentions": 3,
        "with_image": {
            "type_accuracy": pytest.approx(2 / 3),
            "found": 2,
            "type_accuracy_of_found": 1.0,
        },
        "without_image": {
            "type_accuracy": pytest.approx(1 / 3),
            "found": 3,
            "type_accuracy_of_found": pytest.approx(1 / 3),
        },
    }
    assert table.asked[1:] == [[("a", False), ("b", False), ("c", False)]]


def test_any_answer_with_the_span_gives_an_ambiguous_mention_its_type():
    answers = [PredictedEntity(0, 6, name, FACE) for name in ("LOC", "PER", "MISC")]
    table = Table({("a", True): answers})
    result = evaluate(ambiguous_posts()[:1], table, ambiguous_without_image=False)
    assert result["ambiguous"]["with_image"] == {
        "type_accuracy": 1.0,
        "found": 1,
        "type_accuracy_of_found": 1.0,
    }


def test_the_second_pass_can_be_left_out():
    table = Table({})
    result = evaluate(ambiguous_posts(), table, ambiguous_without_image=False)
    assert result["ambiguous"]["without_image"] is None
    assert len(table.asked) == 1


def test_no_ambiguous_mentions():
    table = Table({})
    assert evaluate([post("a", PERSON)], table)["ambiguous"] is None
    assert len(table.asked) == 1


def test_failed_posts_are_reported_and_scored_as_empty():
    result = evaluate([post("a", PERSON), post("b", PRODUCT)], Table({}, failing=["b"]))
    assert result["failed"] == [{"id": "b", "message": "IMAGE_FORMAT: bad"}]
    assert result["mner"]["gold"] == 2


def test_no_posts():
    result = evaluate([], Table({}))
    assert (result["posts"], result["mner"]["f1"], result["slices"]) == (0, 0.0, {})
    assert result["speed"] == {"posts_per_second": None}


def test_a_predictor_that_loses_posts_is_refused():
    class Loses:
        def predict(self, posts):
            return []

    with pytest.raises(ValueError, match="gave 0 answers to 1 posts"):
        evaluate([post("a")], Loses())
