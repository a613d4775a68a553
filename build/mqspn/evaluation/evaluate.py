"""Score a predictor's answers to annotated posts: all of them, by type, by kind of post."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from mqspn.data.posts import AmbiguousMention, GoldEntity, Post
from mqspn.evaluation.calibration import BINS, calibration
from mqspn.evaluation.error_analysis import KINDS, find_mistakes, mistake_json
from mqspn.evaluation.metrics import Counts, PredictedEntity, match_entities, score
from mqspn.evaluation.predictors import Predictor, ReportsFailures

__all__ = ["evaluate"]

_Gold = Sequence[Sequence[GoldEntity]]
_Answers = Sequence[Sequence[PredictedEntity]]


def evaluate(
    posts: Sequence[Post],
    predictor: Predictor,
    *,
    ambiguous_without_image: bool = True,
    errors: TextIO | None = None,
) -> dict[str, Any]:
    """Score ``predictor`` on ``posts``; the result is one JSON object.

    ``errors`` takes a line of JSON for each mistake, see `mqspn.evaluation.error_analysis`.

    - ``mner``, ``eeg``, ``gmner``: each precision, recall, f1, gold, predicted, correct;
    - ``posts``, ``entities`` (gold), ``seconds`` (of the prediction of all posts);
    - ``speed``: {``posts_per_second``} of that, null without posts;
    - ``without_image``: {``posts``, ``groundable``}: text-only posts, and how many of their
      entities have gold boxes all the same, which count as missed in EEG and GMNER;
    - ``by_type``: for each type its entities' ``mner`` and ``gmner``;
    - ``groundable``, ``ungroundable``: the entities with and without gold boxes, against the
      answers with and without a box: ``eeg``, ``gmner``, and ``mner_recall`` (of these entities,
      whatever the box of the answer);
    - ``errors``: how many mistakes of each kind;
    - ``calibration``: {``answers``, ``bins``, ``mner``, ``gmner``}: of the answers' scores against
      their being right, each ``ece``, ``brier`` and ``bins``, null without answers;
    - ``slices``: for each tag, the posts that carry it: ``posts``, ``entities`` (gold),
      ``predicted`` (answers) and the F1 of ``mner``, ``eeg``, ``gmner``;
    - ``ambiguous``: on mentions that only the image settles, ``with_image`` and ``without_image``
      (the same posts predicted again without their images, null where
      ``ambiguous_without_image`` is off): ``type_accuracy`` (of some answer with exactly the span;
      a mention that was not found is wrong), ``found``, ``type_accuracy_of_found``; null where the
      posts have no such mention;
    - ``failed``: {``id``, ``message``} of each post that the predictor could not answer, scored as
      a post without answers.
    """
    start = time.perf_counter()
    answers = _predict(predictor, posts)
    seconds = time.perf_counter() - start
    failed = _failures(predictor)
    gold = [post.entities for post in posts]
    absent = [post for post in posts if post.image is None]
    ambiguous, failed_again = _ambiguous(posts, answers, predictor, ambiguous_without_image)
    return {
        **score(gold, answers).to_json(),
        "posts": len(posts),
        "entities": sum(map(len, gold)),
        "seconds": seconds,
        "speed": {"posts_per_second": len(posts) / seconds if posts else None},
        "without_image": {
            "posts": len(absent),
            "groundable": sum(entity.groundable for post in absent for entity in post.entities),
        },
        "by_type": _by_type(gold, answers),
        "groundable": _by_region(gold, answers, groundable=True),
        "ungroundable": _by_region(gold, answers, groundable=False),
        "errors": _errors(posts, answers, errors),
        "calibration": _calibration(gold, answers),
        "slices": _slices(posts, answers),
        "ambiguous": ambiguous,
        "failed": failed + failed_again,
    }


def _predict(predictor: Predictor, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
    answers = predictor.predict(posts)
    if len(answers) != len(posts):
        raise ValueError(f"the predictor gave {len(answers)} answers to {len(posts)} posts")
    return answers


def _failures(predictor: Predictor) -> list[dict[str, str]]:
    if not isinstance(predictor, ReportsFailures):
        return []
    return [{"id": failure.id, "message": failure.message} for failure in predictor.failures]


def _by_type(gold: _Gold, answers: _Answers) -> dict[str, Any]:
    """EEG is left out: it does not read the type, so no answer belongs to one."""
    result = {}
    names = {entity.type for entities in gold for entity in entities}
    names |= {entity.type for entities in answers for entity in entities}
    for name in sorted(names):
        scores = score(
            [[entity for entity in entities if entity.type == name] for entities in gold],
            [[entity for entity in entities if entity.type == name] for entities in answers],
        )
        result[name] = {"mner": scores.mner.to_json(), "gmner": scores.gmner.to_json()}
    return result


def _by_region(gold: _Gold, answers: _Answers, *, groundable: bool) -> dict[str, Any]:
    scores = score(
        [[entity for entity in entities if entity.groundable == groundable] for entities in gold],
        [[e for e in entities if (e.box is not None) == groundable] for entities in answers],
    )
    found = Counts(gold=scores.eeg.gold)
    for expected, answered in zip(gold, answers, strict=True):
        pairs = match_entities(expected, answered, type_matters=True, region_matters=False)
        found += Counts(correct=sum(expected[i].groundable == groundable for i, _ in pairs))
    return {
        "eeg": scores.eeg.to_json(),
        "gmner": scores.gmner.to_json(),
        "mner_recall": found.recall,
    }


def _errors(posts: Sequence[Post], answers: _Answers, lines: TextIO | None) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for post, answered in zip(posts, answers, strict=True):
        for mistake in find_mistakes(post.entities, answered):
            counts[mistake.kind] += 1
            if lines is not None:
                lines.write(json.dumps(mistake_json(post, mistake), ensure_ascii=False) + "\n")
    return {kind: counts[kind] for kind in KINDS}


def _calibration(gold: _Gold, answers: _Answers) -> dict[str, Any]:
    result: dict[str, Any] = {"answers": sum(map(len, answers)), "bins": BINS}
    for metric, region_matters in (("mner", False), ("gmner", True)):
        scores, right = [], []
        for expected, answered in zip(gold, answers, strict=True):
            pairs = match_entities(
                expected, answered, type_matters=True, region_matters=region_matters
            )
            found = {j for _, j in pairs}
            scores += [entity.score for entity in answered]
            right += [j in found for j in range(len(answered))]
        figures = calibration(scores, right)
        result[metric] = None if figures is None else figures.to_json()
    return result


def _slices(posts: Sequence[Post], answers: _Answers) -> dict[str, Any]:
    result = {}
    for tag in sorted(frozenset().union(*(post.tags for post in posts))):
        chosen = [i for i, post in enumerate(posts) if tag in post.tags]
        scores = score([posts[i].entities for i in chosen], [answers[i] for i in chosen])
        result[tag] = {
            "posts": len(chosen),
            "entities": scores.mner.gold,
            "predicted": scores.mner.predicted,
            "mner": scores.mner.f1,
            "eeg": scores.eeg.f1,
            "gmner": scores.gmner.f1,
        }
    return result


def _ambiguous(
    posts: Sequence[Post], answers: _Answers, predictor: Predictor, without_image: bool
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The figures, and the posts that failed in the pass without images."""
    mentions = {
        i: [mention for mention in post.ambiguous if mention.by == "image"]
        for i, post in enumerate(posts)
        if post.image is not None
    }
    mentions = {i: found for i, found in mentions.items() if found}
    if not mentions:
        return None, []
    stripped, failed = None, []
    if without_image:
        again = _predict(predictor, [posts[i].without_image() for i in mentions])
        stripped = _type_accuracy(list(mentions.values()), again)
        failed = _failures(predictor)
    result = {
        "posts": len(mentions),
        "mentions": sum(map(len, mentions.values())),
        "with_image": _type_accuracy(list(mentions.values()), [answers[i] for i in mentions]),
        "without_image": stripped,
    }
    return result, failed


def _type_accuracy(
    mentions: Sequence[Sequence[AmbiguousMention]], answers: _Answers
) -> dict[str, float | int]:
    """A mention is found by any answer with exactly its span, and right where one has its type."""
    total = found = right = 0
    for expected, answered in zip(mentions, answers, strict=True):
        for mention in expected:
            span = (mention.start, mention.end)
            types = {entity.type for entity in answered if (entity.start, entity.end) == span}
            total += 1
            found += bool(types)
            right += mention.type in types
    return {
        "type_accuracy": right / total if total else 0.0,
        "found": found,
        "type_accuracy_of_found": right / found if found else 0.0,
    }
