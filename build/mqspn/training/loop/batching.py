"""Which items make an epoch's batches: drawn at random, of like length where that saves time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_batches", "item_random"]

_GROUPED = 20  # batches whose items are sorted by length together


def draw_batches(
    count: int,
    batch_size: int,
    random: np.random.Generator,
    *,
    lengths: NDArray[np.int64] | None = None,
    processes: int = 1,
) -> list[NDArray[np.int64]]:
    """All items 0 to ``count`` - 1, each once, in batches of ``batch_size``.

    Where ``lengths`` (count,) are given, the items of 20 batches at a time are sorted by length
    before they are cut, and the batches are shuffled: little is padded, and chance still mixes the
    items. The one batch that is smaller is joined to its neighbour where ``processes`` could not
    share it out. Raises ValueError where there are too few items for all processes.
    """
    if min(count, batch_size) < processes:
        raise ValueError(
            f"{count} items in batches of {batch_size} are too few for {processes} processes"
        )
    order = random.permutation(count)
    if lengths is not None:
        chunk = batch_size * _GROUPED
        parts = [order[first : first + chunk] for first in range(0, count, chunk)]
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    batches = [order[first : first + batch_size] for first in range(0, count, batch_size)]
    if len(batches[-1]) < processes:
        batches[-2:] = [np.concatenate(batches[-2:])]
    if lengths is not None:
        batches = [batches[i] for i in random.permutation(len(batches))]
    return batches


def item_random(seed: int, epoch: int, items: Iterable[int]) -> list[np.random.Generator]:
    """Each item's own generator in an epoch: what is drawn for it depends on nothing else.

    So a batch can be shared out among processes, or an epoch begun in its middle, and every item
    still meets the same chance.
    """
    return [np.random.default_rng([seed, epoch, int(item)]) for item in items]
