"""Answers compared: what is the same passes, and every kind of difference is found."""

from dataclasses import replace

import pytest
from bench.answer_check import AnswerBounds, compare_answers
from bench.run_settings import RunSettings
from mqspn.evaluation.metrics import PredictedEntity

JORDAN = PredictedEntity(0, 6, "PER", (10.0, 10.0, 110.0, 60.0), 0.9)
PARIS = PredictedEntity(10, 15, "LOC", None, 0.8)
EXACT = AnswerBounds(differing_share=0.0)


def test_equal_answers_pass():
    found = compare_answers([[JORDAN, PARIS], []], [[PARIS, JORDAN], []], EXACT)
    assert found.broken is None
    assert (found.posts, found.differing, found.entities) == (2, 0, 2)


def test_what_rounding_does_is_the_same_answer():
    box = (10.5, 10.0, 110.0, 60.2)  # an IoU of 0.991
    nearly = [replace(JORDAN, box=box, score=0.885), replace(PARIS, score=0.81)]
    found = compare_answers([[JORDAN, PARIS]], [nearly], EXACT)
    assert found.broken is None
    assert found.largest_score_difference == pytest.approx(0.015)


def test_a_box_without_area_is_the_same_as_itself():
    flat = replace(JORDAN, box=(5.0, 5.0, 5.0, 9.0))
    assert compare_answers([[flat]], [[flat]], EXACT).broken is None


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ([PARIS], "missing"),
        ([JORDAN, PARIS, PredictedEntity(20, 24, "ORG")], "added"),
        ([replace(JORDAN, type="ORG"), PARIS], "missing"),
        ([replace(JORDAN, end=7), PARIS], "added"),
        ([replace(JORDAN, box=(10.0, 10.0, 110.0, 80.0)), PARIS], "moved"),
        ([replace(JORDAN, box=None), PARIS], "moved"),
        ([JORDAN, replace(PARIS, box=(0.0, 0.0, 9.0, 9.0))], "moved"),
        ([replace(JORDAN, score=0.6), PARIS], "rescored"),
    ],
)
def test_a_difference_fails(given, kind):
    found = compare_answers([[JORDAN, PARIS]], [given], EXACT)
    assert getattr(found, kind) == 1
    assert found.differing == 1
    assert found.broken.startswith("1 of 1 posts are answered differently, the bound is 0.0%: post")


def test_boxes_are_compared_only_where_they_are_to_be():
    bounds = AnswerBounds(differing_share=0.0, box_iou=None)
    assert compare_answers([[JORDAN]], [[replace(JORDAN, box=None)]], bounds).broken is None
    assert compare_answers([[JORDAN]], [[replace(JORDAN, end=7)]], bounds).broken


def test_the_bound_is_a_share_of_the_posts():
    bounds = AnswerBounds(differing_share=0.05)
    reference = [[JORDAN]] * 40

    def wrong(n: int) -> list[list[PredictedEntity]]:
        return [*([] for _ in range(n)), *([JORDAN] for _ in range(40 - n))]

    assert compare_answers(reference, wrong(2), bounds).broken is None
    assert "3 of 40 posts" in str(compare_answers(reference, wrong(3), bounds).broken)


def test_answers_without_entities_compare_nothing():
    assert "no entity" in str(compare_answers([[], []], [[], []], EXACT).broken)


def test_as_many_answers_as_posts():
    with pytest.raises(ValueError, match="shorter"):
        compare_answers([[JORDAN], []], [[JORDAN]], EXACT)


@pytest.mark.parametrize(
    ("changes", "precision", "share", "box_iou"),
    [
        ({"profile": "cpu", "precision": "fp16"}, "fp32", 0.02, 0.9),
        ({"profile": "cuda", "precision": "fp16"}, "fp32", 0.05, 0.9),
        ({"profile": "cuda", "precision": "fp16", "size": "base"}, "fp32", 0.05, 0.9),
        ({"profile": "cuda", "precision": "fp16", "provider": "tensorrt"}, "fp16", 0.05, 0.9),
        ({"profile": "gpu", "precision": "bf16"}, "bf16", 0.05, 0.9),
        ({"profile": "gpu", "precision": "fp16", "size": "base"}, "fp16", 0.5, None),
        ({"profile": "gpu", "precision": "fp16", "differing_share": 0.1}, "fp16", 0.1, 0.9),
    ],
)
def test_the_bounds_go_with_what_the_server_computes_in(changes, precision, share, box_iou):
    settings = RunSettings(**{"size": "demo", **changes})
    assert settings.served_precision == precision
    assert settings.bounds.differing_share == share
    assert settings.bounds.box_iou == box_iou
    assert settings.bounds.score == (0.01 if precision == "fp32" else 0.05)


@pytest.mark.parametrize(
    "changes", [{"posts": 7}, {"baselines": ("eager", "jit")}, {"provider": "rocm"}]
)
def test_settings_that_cannot_be(changes):
    with pytest.raises(ValueError, match=r"8 or more|no baseline 'jit'|'rocm'"):
        RunSettings(size="demo", profile="cpu", precision="fp32", **changes)
