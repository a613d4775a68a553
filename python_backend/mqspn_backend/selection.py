"""Choose what of a batch an engine runs on: a post costs what is in it.

A post without image has nothing to propose or encode, and a region of score 0 is padding that the
query decoder does not see. Rows and regions that are left out come back as zeros, which is what
the models behind take for "none".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "Selection", "gather", "scatter", "select"]

Array = npt.NDArray[Any]
#: Of each request the rows that are meant, in order.
Rows = Sequence[npt.NDArray[np.intp]]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What an engine runs on, of the posts of several requests.

    ``rows``: of each request the rows that are run, in order. ``regions``: how many of the K
    regions of each, the first ones; None: all.
    """

    rows: Rows
    regions: int | None = None

    @property
    def posts(self) -> int:
        """How many rows are run, of all requests together."""
        return sum(map(len, self.rows))


def select(
    counts: Sequence[int],
    rows_with: Sequence[Array] | None = None,
    regions_with: Sequence[Array] | None = None,
) -> Selection:
    """Choose of requests of ``counts`` posts the rows and regions that are not empty.

    ``rows_with``: a tensor of each request, (B, n); a row is run where any of its numbers is above
    0. ``regions_with``: REGION_SCORES (B, K) of each; K is cut behind the last region of any row
    that is above 0, but to no less than 1. None: all rows, all regions.
    """
    rows = [np.arange(count) for count in counts]
    if rows_with is not None:
        rows = [np.flatnonzero((values > 0).any(axis=1)) for values in rows_with]
    if regions_with is None:
        return Selection(rows=rows)
    real = np.zeros(1, np.bool_)
    for values in regions_with:
        real = real | (values > 0).any(axis=0)
    return Selection(rows=rows, regions=max(1, int(np.flatnonzero(real).max(initial=-1)) + 1))


def gather(values: Sequence[Array], rows: Rows, regions: int | None = None) -> Array:
    """Put the ``rows`` of ``values``, (B, ...) each, one after another.

    ``regions``: keep the first so many of axis 1; None: all. One array that is kept whole is not
    copied.
    """
    kept = [
        value if len(chosen) == len(value) else value[chosen]
        for value, chosen in zip(values, rows, strict=True)
    ]
    if regions is not None:
        kept = [value[:, :regions] for value in kept]
    return kept[0] if len(kept) == 1 else np.concatenate(kept)


def scatter(value: Array, rows: Rows, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Undo `gather`: arrays of ``shapes`` with the rows of ``value`` back at ``rows``.

    What ``value`` does not have is 0: other rows, and the end of an axis that is shorter in it.
    """
    parts, start = [], 0
    for chosen, shape in zip(rows, shapes, strict=True):
        part = value[start : start + len(chosen)]
        start += len(chosen)
        if part.shape != shape:
            whole = np.zeros(shape, value.dtype)
            corner = (chosen, *map(slice, part.shape[1:]))
            whole[corner] = part
            part = whole
        parts.append(part)
    return parts
