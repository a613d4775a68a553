"""Read and write candidate regions on disk: one `.npz` file an image.

    num_boxes        integer n
    bounding_boxes   (n, 4), x1, y1, x2, y2 in pixels of the upright image, best first
    scores           (n,) in [0, 1]; optional
    image_width, image_height   of the upright image, in pixels; optional
    image_sha256     of the image file's bytes, hexadecimal; optional

`mqspn propose` writes all of them to ``<image id>.npz``. Files in the manner of VinVL's published
extractions, ``<image id>.npz`` or ``<image id>.jpg.npz`` without scores, are read the same way:
other keys are ignored, numbers may be arrays of one element, and rows behind the first
``num_boxes`` are padding.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mqspn.data.errors import DataError, Problem
from mqspn.data.posts import Post
from mqspn.files.digest import file_sha256
from mqspn.files.replace import replacing

__all__ = ["Proposals", "find_proposals", "read_proposals", "write_proposals"]

#: Detectors round and resize: a box may leave its image by so many pixels, and is then cut.
_MARGIN = 1.0
_SUFFIXES = (".jpg.npz", ".npz")  # the later one wins where a folder has both
#: What damaged archives make numpy and zipfile raise; RuntimeError: a bit that says "encrypted".
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
_AGAIN = "delete it and run `mqspn propose` again"


@dataclass(frozen=True)
class Proposals:
    """Candidate regions of one image, best first.

    ``boxes`` (n, 4) float32, x1, y1, x2, y2 in pixels of the upright image, none of them empty;
    ``scores`` (n,) float32 in (0, 1], falling. ``image_sha256``: of the image file that
    they were made of; None: not known.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    image_sha256: str | None = None


def find_proposals(folder: Path, posts: Sequence[Post]) -> dict[str, Path]:
    """Find the proposals file in ``folder`` of every post that has an image, by post id.

    Raises FileNotFoundError where there is no such folder, and DataError, naming the first post
    and how many there are, where a post has an image but no file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} with proposals; `mqspn propose` writes one")
    names = {path.name for path in folder.iterdir()}
    found, missing = {}, []
    for post in posts:
        if post.image is None:
            continue
        held = [suffix for suffix in _SUFFIXES if post.id + suffix in names]
        if held:
            found[post.id] = folder / (post.id + held[-1])
        else:
            missing.append(post.id)
    if missing:
        raise _error(
            folder,
            f"{len(missing)} of {len(found) + len(missing)} posts with an image have no "
            f"proposals; the first is {missing[0]!r} (neither {missing[0]}.npz nor "
            f"{missing[0]}.jpg.npz is there); `mqspn propose` makes them",
        )
    return found


def read_proposals(
    path: Path, size: tuple[int, int] | None = None, *, image: Path | None = None
) -> Proposals:
    """Read the candidate regions of one image.

    ``size``: (width, height) in pixels of the upright image, to which boxes are cut; a box that
    leaves it by more than a pixel belongs to another image, or to another size of it, and is an
    error. None: boxes are taken as they are. ``image``: the image file; boxes that state the
    digest of another one are an error.

    Without scores the rank gives them, falling from 1. Boxes without area and boxes of score 0 are
    left out. Raises `DataError` naming file and key: a missing key, a wrong shape, what is not a
    finite number, corners in the wrong order, a box outside the image, or a stated image size or
    digest that is another image's.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except _DAMAGED as error:
        raise _error(path, f"cannot be read as .npz ({error}); {_AGAIN}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _error(path, "is a single array; an .npz archive is needed")
    with archive:
        if size is not None:
            _check_size(archive, path, size)
        count = _integer(archive, path, "num_boxes")
        boxes = _numbers(archive, path, "bounding_boxes")
        if not count and not boxes.size:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) < count:
            shape = f"num_boxes is {count}, so its shape must be ({count}, 4), not {boxes.shape}"
            raise _error(path, f"bounding_boxes: {shape}")
        boxes = boxes[:count]
        _check_boxes(boxes, path, size)
        if size is not None:
            boxes = np.clip(boxes, 0, np.tile(np.asarray(size, np.float64), 2))
        if "scores" in archive.files:
            scores = _scores(archive, path, count)
        else:
            scores = 1.0 - np.arange(count) / max(count, 1)
        made_of = _text(archive, path, "image_sha256")
    if image is not None and made_of not in (None, file_sha256(image)):
        message = f"made of another image than {image.name} now is; run `mqspn propose` again"
        raise _error(path, f"image_sha256: {message}")
    order = np.argsort(-scores, kind="stable")
    sorted_boxes, falling = boxes[order].astype(np.float32), scores[order].astype(np.float32)
    real = (sorted_boxes[:, 2:] > sorted_boxes[:, :2]).all(axis=1) & (falling > 0)
    return Proposals(sorted_boxes[real], falling[real], made_of)


def write_proposals(path: Path, proposals: Proposals, size: tuple[int, int]) -> None:
    """Write one file, complete or not at all; ``size``: (width, height) in pixels."""
    arrays: dict[str, Any] = {
        "num_boxes": np.int64(len(proposals.boxes)),
        "bounding_boxes": proposals.boxes,
        "scores": proposals.scores,
        "image_width": np.int64(size[0]),
        "image_height": np.int64(size[1]),
    }
    if proposals.image_sha256 is not None:
        arrays["image_sha256"] = np.array(proposals.image_sha256)
    with replacing(path) as file:
        np.savez(file, **arrays)


def _check_size(archive: np.lib.npyio.NpzFile, path: Path, size: tuple[int, int]) -> None:
    if not {"image_width", "image_height"} <= set(archive.files):
        return
    stated = tuple(_integer(archive, path, key) for key in ("image_width", "image_height"))
    if stated != size:
        raise _error(
            path,
            f"image_width, image_height: made of an image of {stated[0]} x {stated[1]} pixels, but "
            f"the upright image has {size[0]} x {size[1]}; {_AGAIN}",
        )


def _check_boxes(boxes: NDArray[np.float64], path: Path, size: tuple[int, int] | None) -> None:
    turned = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if turned.any():
        row = int(turned.argmax())
        message = f"{_shown(boxes, row)} must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2"
        raise _error(path, f"bounding_boxes: {message}")
    if size is None:
        return
    limits = np.tile(np.asarray(size, np.float64), 2) + _MARGIN
    outside = ((boxes < -_MARGIN) | (boxes > limits)).any(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise _error(
            path,
            f"bounding_boxes: {_shown(boxes, row)} lies outside the upright image of {size[0]} x "
            f"{size[1]} pixels; boxes must be pixels of that very image",
        )


def _scores(archive: np.lib.npyio.NpzFile, path: Path, count: int) -> NDArray[np.float64]:
    scores = _numbers(archive, path, "scores")
    if scores.ndim != 1 or len(scores) < count:
        shape = f"num_boxes is {count}, so its shape must be ({count},), not {scores.shape}"
        raise _error(path, f"scores: {shape}")
    scores = scores[:count]
    if ((scores < 0) | (scores > 1)).any():
        raise _error(path, "scores: must lie in [0, 1]")
    return scores


def _integer(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> int:
    number = _numbers(archive, path, key)
    if number.size != 1 or number.item() < 0 or number.item() != int(number.item()):
        raise _error(path, f"{key}: must be one whole number from 0 up")
    return int(number.item())


def _numbers(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> NDArray[np.float64]:
    if key not in archive.files:
        raise _error(
            path, f"{key}: missing; the file holds {', '.join(archive.files) or 'nothing'}"
        )
    array = _array(archive, path, key)
    if array.dtype.kind not in "iuf":
        raise _error(path, f"{key}: must hold numbers, not {array.dtype}")
    if not np.isfinite(array).all():
        raise _error(path, f"{key}: must be finite; it holds infinite numbers or NaN")
    return array.astype(np.float64)


def _text(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> str | None:
    return str(_array(archive, path, key)) if key in archive.files else None


def _array(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[key]
    except _DAMAGED as error:
        raise _error(path, f"{key}: cannot be read ({error}); {_AGAIN}") from error
    return array


def _shown(boxes: NDArray[np.float64], row: int) -> str:
    return f"row {row} (" + ", ".join(f"{value:g}" for value in boxes[row]) + ")"


def _error(path: Path, message: str) -> DataError:
    return DataError([Problem(path, None, message)])
