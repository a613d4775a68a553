"""The two measures of a difference: element by element, and with what two runs may do otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from mqspn.parity import absolute_difference, tolerant_difference

BOXES = np.array([[[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9], [0.3, 0.3, 0.4, 0.4]]])
SCORES = np.array([[0.9, 0.9, 0.1]])


def test_the_order_of_boxes_counts_element_by_element_only() -> None:
    expected = {"REGION_BOXES": BOXES, "REGION_SCORES": SCORES}
    swapped = {"REGION_BOXES": BOXES[:, [1, 0, 2]], "REGION_SCORES": SCORES}
    assert tolerant_difference("REGION_BOXES", expected, swapped) == 0.0
    assert absolute_difference("REGION_BOXES", expected, swapped) == pytest.approx(0.7)


def test_states_are_measured_in_their_own_size_by_the_tolerant_one() -> None:
    expected = {"TEXT_STATES": np.full((1, 2, 4), 10.0)}
    found = {"TEXT_STATES": np.full((1, 2, 4), 10.5)}
    assert tolerant_difference("TEXT_STATES", expected, found) == pytest.approx(0.05)
    assert absolute_difference("TEXT_STATES", expected, found) == pytest.approx(0.5)
