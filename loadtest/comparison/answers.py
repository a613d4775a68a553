"""Hold every answer against the reference: the checkpoint in PyTorch, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.answer_check import AnswerBounds, compare_answers
from mqspn.evaluation.metrics import PredictedEntity

from comparison.callers import Load, entities_of
from comparison.rows import TimedRow

__all__ = ["AnswerCheck"]


class AnswerCheck:
    """Counts right and wrong answers; ``reference``: answers to every post, by kind.

    The same answer has the same spans and types, boxes of an IoU of 0.9, scores within
    ``score``. ``wrong`` and ``failed`` are of all that was checked; ``examples`` says a few in
    words.
    """

    def __init__(
        self, reference: Mapping[str, Sequence[Sequence[dict[str, Any]]]], *, score: float = 0.02
    ) -> None:
        self._reference = {
            kind: [entities_of(answer) for answer in answers] for kind, answers in reference.items()
        }
        self._bounds = AnswerBounds(differing_share=0.0, box_iou=0.9, score=score)
        self.checked = self.wrong = self.failed = 0
        self.examples: list[str] = []

    def entities(self, kind: str) -> int:
        """Count the entities of the reference: with none, nothing would be checked."""
        return sum(map(len, self._reference[kind]))

    def row(self, load: Load, *, number: int, kind: str, system: str, level: int) -> TimedRow:
        """Make a round's row of ``load``: only right answers count as served."""
        right = [self._is_right(kind, system, place, answer) for place, answer in load.answers]
        batched = load.callers == 0  # a batch has one latency for all its answers
        latencies = [
            1000 * seconds for i, seconds in enumerate(load.latencies_s) if batched or right[i]
        ]
        self.checked += len(right)
        self.wrong += len(right) - sum(right)
        self.failed += len(load.failures)
        self.examples += [f"{system}: {reason}" for reason in load.failures[:2]]
        return TimedRow(
            round=number,
            kind=kind,
            system=system,
            level=level,
            seconds=round(load.seconds, 4),
            answers=sum(right),
            latencies_ms=tuple(round(value, 2) for value in latencies),
            failed=len(load.failures),
            wrong=len(right) - sum(right),
            batch=None if load.batch is None else round(load.batch, 2),
            client_cpu_share=round(load.cpu_s / load.seconds, 3),
        )

    def _is_right(
        self, kind: str, system: str, place: int, answer: Sequence[dict[str, Any]]
    ) -> bool:
        found: list[PredictedEntity] = entities_of(answer)
        compared = compare_answers([self._reference[kind][place]], [found], self._bounds)
        if compared.differing:
            self.examples.append(f"{system}, {kind} post {place}: {compared.examples[0]}")
        return not compared.differing
