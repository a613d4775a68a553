"""Search for decoding settings on annotated posts: coordinate ascent over a table of candidates.

An ordered field's candidate is judged by the mean F1 of itself and its two neighbours in the table,
which prefers the middle of a plateau to a lucky peak or the edge of a cliff. Ties go to the
candidate nearest the present setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

import numpy as np
from mqspn_backend.serving_settings import DecodingSettings
from numpy.typing import NDArray

__all__ = ["TUNED", "Candidates", "held_out_gains", "search"]

Objective = Callable[[DecodingSettings], float]

#: Two F1 values nearer than this are a tie.
_TIE = 1e-9
#: Sweeps over the table at the most; it usually settles in two.
_SWEEPS = 5


class ScoreOnRows(Protocol):
    """Computes the F1 of a setting on some posts, given by their row numbers."""

    def __call__(self, settings: DecodingSettings, /, rows: NDArray[np.intp]) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The values to try for one field of `DecodingSettings`.

    ``ordered``: neighbours in ``values`` are alike, so that they are averaged.
    """

    field: str
    values: tuple[Any, ...]
    ordered: bool = True


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in np.arange(first, last + step / 2, step))


#: What is tuned: a line for each field.
TUNED = (
    Candidates(field="entity_threshold", values=_steps(0.05, 0.95, 0.05)),
    Candidates(field="region_threshold", values=_steps(0.0, 0.95, 0.05)),
    Candidates(field="max_entity_words", values=(1, 2, 3, 4, 5, 6, 8, 10, 0)),  # 0: any length
)


def search(
    objective: Objective, present: DecodingSettings, table: Sequence[Candidates] = TUNED
) -> DecodingSettings:
    """Find the settings of highest ``objective`` (an F1); ``present`` where none is better.

    Fields that the table does not name keep their values.
    """
    chosen = present
    for _ in range(_SWEEPS):
        before = chosen
        for candidates in table:
            chosen = _best(objective, chosen, getattr(present, candidates.field), candidates)
        if chosen == before:
            break
    return chosen if objective(chosen) > objective(present) + _TIE else present


def held_out_gains(
    score: ScoreOnRows,
    present: DecodingSettings,
    posts: int,
    *,
    table: Sequence[Candidates] = TUNED,
    repeats: int = 5,
    seed: int = 17,
) -> list[float]:
    """Measure how settings chosen on half of the posts do on the other half: F1 gained.

    Both ways for each of ``repeats`` random halvings: 2 x ``repeats`` gains over ``present``,
    negative where the choice does worse.
    """
    random = np.random.default_rng(seed)
    gains = []
    for _ in range(repeats):
        order = random.permutation(posts)
        halves = order[: posts // 2], order[posts // 2 :]
        for choose, report in (halves, halves[::-1]):
            chosen = search(partial(score, rows=choose), present, table)
            gains.append(score(chosen, report) - score(present, report))
    return gains


def _best(
    objective: Objective, settings: DecodingSettings, present: Any, candidates: Candidates
) -> DecodingSettings:
    """``settings`` with the field of ``candidates`` at its best value, the others as they are."""
    values = _with_present(candidates, present)
    options = [replace(settings, **{candidates.field: value}) for value in values]
    scores = [objective(option) for option in options]
    if candidates.ordered:
        scores = [float(np.mean(scores[max(i - 1, 0) : i + 2])) for i in range(len(scores))]
    tied = [i for i, score in enumerate(scores) if score >= max(scores) - _TIE]
    here = values.index(present)
    return options[min(tied, key=lambda i: abs(i - here))]


def _with_present(candidates: Candidates, present: Any) -> list[Any]:
    """The candidates' values, the present one among them; in its place where they are ordered."""
    values = list(candidates.values)
    if present not in values:
        place = len(values)
        if candidates.ordered:
            place = sum(1 for _ in takewhile(lambda value: value < present, values))
        values.insert(place, present)
    return values
