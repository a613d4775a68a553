"""The caller's regions: order, padding, clipping and every way of refusing them."""

import numpy as np
import pytest
from mqspn_backend.errors import PostError
from mqspn_backend.regions import read_regions

SIZE = (200, 100)


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 4)


def message_of(boxes: np.ndarray, size: tuple[int, int] = SIZE, regions: int = 3) -> str:
    with pytest.raises(PostError) as caught:
        read_regions(boxes, size, regions)
    assert caught.value.code == "REGIONS_INVALID"
    return caught.value.message


def test_normalised_in_order_and_padded() -> None:
    boxes, scores = read_regions(rows((20, 10, 200, 100), (0, 0, 100, 50)), SIZE, 4)
    np.testing.assert_allclose(boxes[:2], [[0.1, 0.1, 1, 1], [0, 0, 0.5, 0.5]])
    assert not boxes[2:].any()
    np.testing.assert_array_equal(scores, [1, 1, 0, 0])
    assert boxes.dtype == scores.dtype == np.float32
    assert boxes.shape == (4, 4)


def test_padding_may_stand_anywhere() -> None:
    zeros = (0, 0, 0, 0)
    first, second = (20, 10, 200, 100), (0, 0, 100, 50)
    expected = read_regions(rows(first, second), SIZE, 2)
    for given in ((zeros, first, zeros, second), (first, zeros, second, zeros, zeros)):
        found = read_regions(rows(*given), SIZE, 2)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_no_regions_with_and_without_an_image() -> None:
    for boxes in (np.zeros((0, 4), np.float32), np.zeros((5, 4), np.float32)):
        for size in (SIZE, (0, 0)):
            found, scores = read_regions(boxes, size, 3)
            assert found.shape == (3, 4)
            assert not found.any()
            assert not scores.any()


def test_partly_outside_is_clipped() -> None:
    boxes, scores = read_regions(rows((-50, 50, 100, 500)), SIZE, 1)
    np.testing.assert_allclose(boxes, [[0, 0.5, 0.5, 1]])
    assert scores[0] == 1


def test_refusals_name_the_row_and_its_values() -> None:
    good = (0, 0, 10, 10)
    assert message_of(rows(good, (1, 2, np.nan, 4))) == "region 1 [1, 2, nan, 4] is not finite"
    assert "region 1 [1, 2, inf, 4] is not finite" in message_of(rows(good, (1, 2, np.inf, 4)))
    for bad in ((5, 0, 5, 9), (5, 0, 4, 9), (0, 5, 9, 5), (0, 5, 9, 4)):
        assert "region 2 [" in message_of(rows(good, good, bad))
        assert "x1 < x2" in message_of(rows(good, bad))
    zeros = (0, 0, 0, 0)
    for bad in ((-9, 0, 0, 9), (200, 0, 210, 9), (0, -9, 9, 0), (0, 100, 9, 110)):
        assert "region 1 [" in message_of(rows(zeros, bad))
        assert "outside the image of 200 x 100" in message_of(rows(bad))


def test_too_many_and_no_image() -> None:
    four = rows(*[(0, 0, 10, 10)] * 4)
    assert message_of(four) == "4 regions were given, the model takes 3"
    assert read_regions(four, SIZE, 4)[1].sum() == 4
    assert "without an image" in message_of(four, size=(0, 0))
    assert "four numbers" in message_of(np.ones((2, 5), np.float32))
