"""Boxes on disk: what is written is read back, VinVL's manner is read too, faults are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mqspn.data.errors import DataError
from mqspn.data.posts import Post
from mqspn.data.proposals import (
    Proposals,
    find_proposals,
    read_proposals,
    write_proposals,
)
from mqspn.files.digest import file_sha256

BOXES = np.array([[10, 20, 110.5, 220], [0, 0, 400, 300]], np.float32)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{"num_boxes": 2, "bounding_boxes": BOXES, **arrays})
    return path


def fault(path: Path, size: tuple[int, int] | None = (400, 300)) -> str:
    with pytest.raises(DataError) as caught:
        read_proposals(path, size)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.b.npz"
    written = Proposals(BOXES, np.array([0.9, 0.25], np.float32))
    write_proposals(path, written, (400, 300))
    found = read_proposals(path, (400, 300))
    np.testing.assert_array_equal(found.boxes, BOXES)
    np.testing.assert_array_equal(found.scores, written.scores)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert [p.name for p in tmp_path.iterdir()] == ["a.b.npz"]


def test_no_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    empty = Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    write_proposals(path, empty, (400, 300))
    assert read_proposals(path, (400, 300)).boxes.shape == (0, 4)
    assert read_proposals(save(path, num_boxes=0, bounding_boxes=np.zeros(0))).boxes.shape == (0, 4)


def test_vinvl_files_have_no_scores_but_features_and_padding(tmp_path: Path) -> None:
    boxes = np.zeros((5, 4), np.float64)
    boxes[:2] = BOXES
    path = save(
        tmp_path / "a.jpg.npz",
        num_boxes=np.array([2]),
        bounding_boxes=boxes,
        box_features=np.ones((5, 8), np.float32),
        image_id=np.array("a"),
    )
    found = read_proposals(path, (400, 300))
    np.testing.assert_array_equal(found.boxes, BOXES)
    assert found.scores.tolist() == [1.0, 0.5]


def test_scores_order_the_boxes_and_zero_is_none(tmp_path: Path) -> None:
    boxes = np.tile(BOXES, (2, 1))
    path = save(
        tmp_path / "a.npz", num_boxes=4, bounding_boxes=boxes, scores=[0.25, 0.75, 0.0, 0.5]
    )
    found = read_proposals(path)
    assert found.scores.tolist() == [0.75, 0.5, 0.25]
    np.testing.assert_array_equal(found.boxes, boxes[[1, 3, 0]])


def test_a_box_is_cut_at_the_image_and_left_out_where_nothing_remains(tmp_path: Path) -> None:
    boxes = [[-1, 20, 110, 301], [400, 10, 401, 20], [5, 5, 5, 9], [1, 2, 3, 4]]
    path = save(tmp_path / "a.npz", num_boxes=4, bounding_boxes=boxes)
    found = read_proposals(path, (400, 300))
    assert found.boxes.tolist() == [[0, 20, 110, 300], [1, 2, 3, 4]]
    assert found.scores.tolist() == [1.0, 0.25]


def test_without_a_size_boxes_are_as_written(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", bounding_boxes=BOXES * 10)
    np.testing.assert_array_equal(read_proposals(path).boxes, BOXES * 10)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"num_boxes": 3}, "bounding_boxes: num_boxes is 3, so its shape must be (3, 4), not (2,"),
        ({"bounding_boxes": BOXES[:, :3]}, "bounding_boxes: num_boxes is 2, so its shape must be"),
        ({"bounding_boxes": BOXES[0]}, "bounding_boxes: num_boxes is 2, so its shape must be"),
        ({"bounding_boxes": BOXES * np.nan}, "bounding_boxes: must be finite"),
        ({"bounding_boxes": BOXES.astype(str)}, "bounding_boxes: must hold numbers, not <U"),
        ({"bounding_boxes": BOXES.astype(object)}, "bounding_boxes: cannot be read (Object arrays"),
        (
            {"bounding_boxes": BOXES[:, [2, 1, 0, 3]]},
            "bounding_boxes: row 0 (110.5, 20, 10, 220) must be x1, y1, x2, y2 with x1 <= x2",
        ),
        (
            {"bounding_boxes": BOXES + np.array([0, 0, 1.5, 0])},
            "row 1 (0, 0, 401.5, 300) lies outside the upright image of 400 x 300 pixels",
        ),
        ({"num_boxes": 1.5}, "num_boxes: must be one whole number from 0 up"),
        ({"num_boxes": -1}, "num_boxes: must be one whole number from 0 up"),
        ({"num_boxes": [1, 2]}, "num_boxes: must be one whole number from 0 up"),
        ({"scores": [0.5]}, "scores: num_boxes is 2, so its shape must be (2,), not (1,)"),
        ({"scores": [0.5, 1.5]}, "scores: must lie in [0, 1]"),
        (
            {"image_width": 300, "image_height": 400},
            "made of an image of 300 x 400 pixels, but the upright image has 400 x 300",
        ),
    ],
)
def test_a_fault_names_file_and_key(
    arrays: dict[str, object], message: str, tmp_path: Path
) -> None:
    assert message in fault(save(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize("key", ["num_boxes", "bounding_boxes"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"num_boxes": 2, "bounding_boxes": BOXES, "other": 1}
    del arrays[key]
    np.savez(tmp_path / "a.npz", **arrays)
    assert fault(tmp_path / "a.npz").startswith(f"{key}: missing; the file holds ")


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "a.npz"
    for content in (b"", b"not an archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert fault(path).startswith("cannot be read as .npz")
    with path.open("wb") as file:
        np.save(file, BOXES)
    assert "is a single array" in fault(path)


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    at = data.index(BOXES.tobytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    assert fault(path).startswith("bounding_boxes: cannot be read (")


def test_damage_of_the_archives_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_proposals(path, Proposals(BOXES, np.array([0.9, 0.25], np.float32), "0"), (400, 300))
    whole = path.read_bytes()
    named = 0
    for at in range(whole.index(b"PK\1\2"), len(whole)):
        for bits in (0x01, 0xFF):
            damaged = bytearray(whole)
            damaged[at] ^= bits
            path.write_bytes(damaged)
            try:
                read_proposals(path)
            except DataError as error:
                named += "delete it and run `mqspn propose` again" in str(error)
    assert named > 100


def test_boxes_of_another_image_are_refused(tmp_path: Path) -> None:
    image, path = tmp_path / "a.jpg", tmp_path / "a.npz"
    image.write_bytes(b"one")
    scores = np.array([0.9, 0.25], np.float32)
    write_proposals(path, Proposals(BOXES, scores, file_sha256(image)), (400, 300))
    assert read_proposals(path, image=image).image_sha256 == file_sha256(image)
    image.write_bytes(b"two")
    with pytest.raises(DataError, match=r"another image than a\.jpg now is; run `mqspn propose`"):
        read_proposals(path, image=image)
    write_proposals(path, Proposals(BOXES, scores), (400, 300))  # as VinVL's: none is stated
    assert read_proposals(path, image=image).image_sha256 is None


def post(id: str, image: bool = True) -> Post:
    path = Path("images") / f"{id}.jpg" if image else None
    return Post(id=id, text="x", words=("x",), entities=(), image=path)


def test_files_are_found_by_either_name(tmp_path: Path) -> None:
    for name in ("a.npz", "b.jpg.npz", "c.npz", "c.jpg.npz"):
        save(tmp_path / name)
    found = find_proposals(tmp_path, [post("a"), post("b"), post("c"), post("d", image=False)])
    assert {id: path.name for id, path in found.items()} == {
        "a": "a.npz",
        "b": "b.jpg.npz",
        "c": "c.npz",
    }


def test_missing_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    save(tmp_path / "a.npz")
    posts = [post("a"), post("z"), post("b"), post("c", image=False)]
    with pytest.raises(ValueError, match=r"2 of 3 posts with an image .* the first is 'z'"):
        find_proposals(tmp_path, posts)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        find_proposals(tmp_path / "nowhere", posts)
