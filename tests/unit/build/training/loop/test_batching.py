"""Batches hold every item once, of like length where lengths are given; chance is an item's own."""

from __future__ import annotations

import numpy as np
import pytest
from mqspn.training.loop.batching import draw_batches, item_random


def draw(seed: int = 0, **keywords: object) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [batch.tolist() for batch in draw_batches(1003, 8, random, **keywords)]  # type: ignore[arg-type]


LENGTHS = np.random.default_rng(1).integers(3, 60, 1003)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_every_item_is_drawn_once(lengths: np.ndarray | None) -> None:
    batches = draw(lengths=lengths)
    assert sorted(item for batch in batches for item in batch) == list(range(1003))
    assert sorted(len(batch) for batch in batches) == [3, *[8] * 125]
    assert batches == draw(lengths=lengths)
    assert batches != draw(seed=1, lengths=lengths)


def test_grouping_by_length_saves_most_of_the_padding() -> None:
    def padding(batches: list[list[int]]) -> int:
        return sum(int((LENGTHS[b].max() - LENGTHS[b]).sum()) for b in batches)

    grouped = draw(lengths=LENGTHS)
    assert padding(grouped) < padding(draw()) / 5
    means = [float(LENGTHS[b].mean()) for b in grouped]
    assert abs(float(np.corrcoef(means, range(len(means)))[0, 1])) < 0.3  # short ones do not lead


def test_a_batch_can_always_be_shared_out() -> None:
    batches = draw(lengths=LENGTHS, processes=4)
    assert sorted(len(batch) for batch in batches) == [*[8] * 124, 11]
    with pytest.raises(ValueError, match="too few for 16 processes"):
        draw(processes=16)


def test_an_items_chance_is_its_own() -> None:
    alone = item_random(1, 2, [7])[0].random()
    assert item_random(1, 2, [3, 7])[1].random() == alone
    assert item_random(1, 3, [7])[0].random() != alone
