"""What is left out of a batch, and that it comes back in its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mqspn_backend.selection import gather, scatter, select


def test_rows_without_a_number_above_zero_are_left_out() -> None:
    sizes = [np.array([[0, 0], [30, 20]]), np.array([[0, 0]]), np.array([[1, 1]])]
    chosen = select([2, 1, 1], sizes)
    assert [rows.tolist() for rows in chosen.rows] == [[1], [], [0]]
    assert (chosen.posts, chosen.regions) == (2, None)


@pytest.mark.parametrize(
    ("scores", "regions"),
    [
        ([[0.9, 0.5, 0.0, 0.0]], 2),
        ([[0.9, 0.0, 0.2, 0.0]], 3),  # a region of no area between others
        ([[0.9, 0.0, 0.0, 0.0], [0.1, 0.1, 0.1, 0.1]], 4),
        ([[0.0, 0.0, 0.0, 0.0]], 1),
    ],
)
def test_regions_behind_the_last_real_one_are_cut_off(
    scores: list[list[float]], regions: int
) -> None:
    batch = np.array(scores, np.float32)
    assert select([len(batch)], None, [batch]).regions == regions
    one_by_one = [row[None] for row in batch]
    assert select([1] * len(batch), None, one_by_one).regions == regions


def test_nothing_is_left_out_without_a_reason() -> None:
    chosen = select([2, 3])
    assert [rows.tolist() for rows in chosen.rows] == [[0, 1], [0, 1, 2]]
    assert (chosen.posts, chosen.regions) == (5, None)
    whole = np.ones((2, 4))
    assert gather([whole], [np.arange(2)]) is whole


batches = st.lists(
    st.integers(1, 4).flatmap(
        lambda posts: arrays.arrays(np.float32, (posts, 5), elements=st.sampled_from([0, 0.5, 1]))
    ),
    min_size=1,
    max_size=4,
)


@given(batches)
def test_what_is_gathered_comes_back_and_the_rest_is_zero(scores: list[np.ndarray]) -> None:
    chosen = select([len(batch) for batch in scores], scores, scores)
    joint = gather(scores, chosen.rows, chosen.regions)
    assert joint.shape == (chosen.posts, chosen.regions)
    parts = scatter(joint, chosen.rows, [batch.shape for batch in scores])
    for batch, part in zip(scores, parts, strict=True):
        # What was left out was zero, so nothing is lost.
        np.testing.assert_array_equal(part, batch)


@given(batches)
def test_two_axes_behind_the_rows_may_be_cut(scores: list[np.ndarray]) -> None:
    """REGION_STATES (B, K, D) lose regions, REGION_PROBS (B, Q, R) come back without them."""
    states = [np.stack([batch, 2 * batch], axis=2) for batch in scores]
    chosen = select([len(batch) for batch in scores], scores, scores)
    joint = gather(states, chosen.rows, chosen.regions)
    shapes = [batch.shape for batch in states]
    for whole, part in zip(states, scatter(joint, chosen.rows, shapes), strict=True):
        np.testing.assert_array_equal(part, whole)
    turned = scatter(joint.transpose(0, 2, 1), chosen.rows, [(b, 2, 5) for b, _, _ in shapes])
    for whole, part in zip(states, turned, strict=True):
        np.testing.assert_array_equal(part, whole.transpose(0, 2, 1))
