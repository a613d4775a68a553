"""Box frames: each conversion on values worked out by hand, and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mqspn_backend import boxes

BOXES = arrays(np.float64, (5, 4), elements=st.floats(-2, 2))


def test_cxcywh_to_xyxy() -> None:
    found = boxes.cxcywh_to_xyxy(np.array([[[10.0, 20.0, 4.0, 8.0]]]))
    np.testing.assert_array_equal(found, [[[8, 16, 12, 24]]])


def test_xyxy_to_cxcywh() -> None:
    found = boxes.xyxy_to_cxcywh(np.array([8.0, 16.0, 12.0, 24.0]))
    np.testing.assert_array_equal(found, [10, 20, 4, 8])


def test_pixels_and_normalised() -> None:
    pixels = np.array([[64.0, 24.0, 640.0, 480.0]], np.float32)
    normalised = boxes.pixels_to_normalised(pixels, (640, 480))
    np.testing.assert_allclose(normalised, [[0.1, 0.05, 1, 1]])
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(boxes.normalised_to_pixels(normalised, (640, 480)), pixels)


def test_no_image_has_no_normalised_boxes() -> None:
    with pytest.raises(ValueError, match="positive size"):
        boxes.pixels_to_normalised(np.ones((1, 4)), (0, 0))


def test_clip() -> None:
    outside = np.array([[-0.5, 0.5, 1.5, 2.0]])
    np.testing.assert_array_equal(boxes.clip(outside), [[0, 0.5, 1, 1]])
    found = boxes.clip(np.array([-3.0, 5, 700, 500]), (640, 480))
    np.testing.assert_array_equal(found, [0, 5, 640, 480])


def test_area_of_turned_boxes_is_zero() -> None:
    found = boxes.area(np.array([[0.0, 0, 2, 3], [2, 0, 0, 3], [2, 3, 0, 0]]))
    np.testing.assert_array_equal(found, [6, 0, 0])


def test_iou_matrix() -> None:
    a = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    b = np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [0, 0, 0, 0]])
    np.testing.assert_allclose(boxes.iou_matrix(a, b), [[1 / 7, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert boxes.iou_matrix(np.zeros((0, 4)), b).shape == (0, 3)
    assert boxes.iou_matrix(np.zeros((1, 4)), np.zeros((1, 4))).item() == 0


@given(BOXES)
def test_conversions_undo_each_other(values: np.ndarray) -> None:
    np.testing.assert_allclose(
        boxes.xyxy_to_cxcywh(boxes.cxcywh_to_xyxy(values)), values, atol=1e-12
    )
    there = boxes.normalised_to_pixels(values, (640, 480))
    np.testing.assert_allclose(boxes.pixels_to_normalised(there, (640, 480)), values, atol=1e-12)


@given(BOXES, BOXES)
def test_iou_is_symmetric_and_within_bounds(a: np.ndarray, b: np.ndarray) -> None:
    iou = boxes.iou_matrix(a, b)
    np.testing.assert_allclose(iou, boxes.iou_matrix(b, a).T)
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
