"""Sort a system's wrong answers by kind of mistake; each mistake has exactly one kind.

Right answers (in GMNER) are set aside first. What is left of gold and answers is paired, one to
one, by the best partial match; each pair, and each left-over, is one mistake:

- ``span``: an answer that shares characters with a gold entity, but not its exact span;
- ``type``: the exact span with another type, whatever the region;
- ``region``: the exact span and the type, with a wrong region;
- ``missed``: a gold entity that is left over;
- ``spurious``: an answer that is left over, a second answer to a gold entity among them.

So gold = right + span + type + region + missed, and answers = right + span + type + region +
spurious.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mqspn_backend.boxes import iou_matrix

from mqspn.data.posts import GoldEntity, Post
from mqspn.evaluation.metrics import PredictedEntity, match_entities, region_is_right

__all__ = ["KINDS", "Mistake", "find_mistakes", "mistake_json"]

#: The kinds of mistakes, in the order in which they are reported.
KINDS = ("span", "type", "region", "missed", "spurious")
#: Characters of the post shown on each side of a mistake.
_AROUND = 40


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake: its kind (see `KINDS`), and the gold entity and the answer that it joins.

    ``gold`` is None for a spurious answer, ``answer`` for a missed entity.
    """

    kind: str
    gold: GoldEntity | None = None
    answer: PredictedEntity | None = None


def find_mistakes(
    gold: Sequence[GoldEntity], predicted: Sequence[PredictedEntity]
) -> list[Mistake]:
    """Find the mistakes of one post, in text order, whatever the order of the arguments.

    Pairs are taken greedily: the largest overlap first (IoU of the spans' characters, which is 1
    for the exact span), then the same type, the right region, the higher score, the earlier gold
    entity and the earlier answer.
    """
    gold = sorted(gold, key=lambda e: (e.start, e.end, e.type, e.boxes))
    answers = sorted(predicted, key=lambda e: (-e.score, e.start, e.end, e.type, e.box or ()))
    right = match_entities(gold, answers, type_matters=True, region_matters=True)
    left_gold = set(range(len(gold))) - {i for i, _ in right}
    left_answers = set(range(len(answers))) - {j for _, j in right}
    partial = []
    for i in left_gold:
        for j in left_answers:
            overlap = _overlap(gold[i], answers[j])
            if overlap:
                other_type = gold[i].type != answers[j].type
                other_region = not region_is_right(gold[i].boxes, answers[j].box)
                partial.append((-overlap, other_type, other_region, -answers[j].score, i, j))
    mistakes = []
    for overlap, other_type, *_, i, j in sorted(partial):
        if i in left_gold and j in left_answers:
            left_gold.remove(i)
            left_answers.remove(j)
            kind = "span" if overlap > -1 else "type" if other_type else "region"
            mistakes.append(Mistake(kind=kind, gold=gold[i], answer=answers[j]))
    mistakes += [Mistake(kind="missed", gold=gold[i]) for i in sorted(left_gold)]
    mistakes += [Mistake(kind="spurious", answer=answers[j]) for j in sorted(left_answers)]
    return sorted(mistakes, key=lambda m: (*_span(m), KINDS.index(m.kind)))


def mistake_json(post: Post, mistake: Mistake) -> dict[str, Any]:
    """Describe a mistake as a JSON object.

    ``id``, ``kind``, ``text``; ``around``: the text around the mistake, which stands in brackets;
    ``gold`` ({start, end, text, type, boxes} or null), ``answer`` ({start, end, text, type, box,
    score} or null); ``iou``: of the answered box with the nearest gold box, null where either is
    lacking; ``image``: the image file's name, null for a text-only post.
    """
    start, end = _span(mistake)
    before, after = post.text[:start], post.text[end:]
    around = f"{before[-_AROUND:]}[{post.text[start:end]}]{after[:_AROUND]}"
    gold, answer = mistake.gold, mistake.answer
    iou = None
    if gold is not None and gold.boxes and answer is not None and answer.box is not None:
        iou = round(float(iou_matrix(np.array([answer.box]), np.array(gold.boxes)).max()), 4)
    return {
        "id": post.id,
        "kind": mistake.kind,
        "text": post.text,
        "around": around,
        "gold": None
        if gold is None
        else {
            "start": gold.start,
            "end": gold.end,
            "text": post.text[gold.start : gold.end],
            "type": gold.type,
            "boxes": gold.boxes,
        },
        "answer": None
        if answer is None
        else {
            "start": answer.start,
            "end": answer.end,
            "text": post.text[answer.start : answer.end],
            "type": answer.type,
            "box": answer.box,
            "score": answer.score,
        },
        "iou": iou,
        "image": None if post.image is None else post.image.name,
    }


def _overlap(gold: GoldEntity, answer: PredictedEntity) -> float:
    """Intersection over union of the two spans' characters."""
    shared = min(gold.end, answer.end) - max(gold.start, answer.start)
    if shared <= 0:
        return 0.0
    return shared / (max(gold.end, answer.end) - min(gold.start, answer.start))


def _span(mistake: Mistake) -> tuple[int, int]:
    """The characters that gold entity and answer cover together."""
    both = [e for e in (mistake.gold, mistake.answer) if e is not None]
    return min(e.start for e in both), max(e.end for e in both)
