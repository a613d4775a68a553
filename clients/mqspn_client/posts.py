"""Posts to the ensemble's input tensors, and its answers back to posts: no I/O but image files."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mqspn_client.errors import InvalidRequestError, PostError, ProtocolError
from mqspn_client.types import ImageSource, Post, Prediction, Regions, parse_answer

__all__ = ["PreparedPosts", "encode_image", "merge_answers", "prepare_posts"]

# Protobuf and Triton both end at 2 GiB; leave room for names and shapes.
_MAX_REQUEST_BYTES = 2**31 - 2**16
# Pillow modes that a PNG holds as they are; others go through RGB.
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


@dataclass(frozen=True)
class PreparedPosts:
    """A request ready to send.

    ``tensors``: TEXT and IMAGE BYTES (B, 1), perhaps REGIONS FP32 (B, K, 4) in pixels of the
    upright image, of the B posts that could be read here; ``positions`` are their places among
    the ``count`` posts given, ``errors`` what was wrong with the others.
    """

    count: int
    tensors: Mapping[str, NDArray[Any]]
    positions: tuple[int, ...]
    errors: Mapping[int, PostError]

    @property
    def has_regions(self) -> bool:
        return "REGIONS" in self.tensors

    @property
    def has_images(self) -> bool:
        return bool(self.tensors["IMAGE"].any())


def prepare_posts(posts: Sequence[Post]) -> PreparedPosts:
    """Encode ``posts`` for one request; a post that cannot be read here becomes an error.

    Raises TypeError for a post or text of the wrong type, and `InvalidRequestError` where some
    posts bring regions and others do not, or where the request would be larger than 2 GiB.
    """
    with_regions = {post.regions is not None for post in posts if _is_post(post)}
    if len(with_regions) > 1:
        raise InvalidRequestError(
            "give regions to all posts of a request or to none (an empty list: no regions)"
        )
    texts: list[bytes] = []
    images: list[bytes] = []
    regions: list[NDArray[np.float32]] = []
    positions: list[int] = []
    errors: dict[int, PostError] = {}
    for position, post in enumerate(posts):
        try:
            text = _encode_text(post.text)
            image = b"" if post.image is None else encode_image(post.image)
            if post.regions is not None:
                regions.append(_region_rows(post.regions))
        except PostError as error:
            errors[position] = error
            continue
        texts.append(text)
        images.append(image)
        positions.append(position)
    size = sum(map(len, texts)) + sum(map(len, images))
    if size > _MAX_REQUEST_BYTES:
        raise InvalidRequestError(
            f"the request holds {size / 2**30:.1f} GiB, more than gRPC carries (2 GiB); send "
            "fewer or smaller posts at once"
        )
    tensors: dict[str, NDArray[Any]] = {
        "TEXT": _bytes_column(texts),
        "IMAGE": _bytes_column(images),
    }
    if regions:
        tensors["REGIONS"] = _stack_regions(regions)
    return PreparedPosts(len(posts), tensors, tuple(positions), errors)


def merge_answers(
    prepared: PreparedPosts, answers: NDArray[Any] | None
) -> list[Prediction | PostError]:
    """Answers in the order of the posts given. ``answers``: ENTITIES BYTES (B, 1), None for B = 0.

    Raises `ProtocolError` where they are not B answers that can be read.
    """
    merged: dict[int, Prediction | PostError] = dict(prepared.errors)
    payloads = [] if answers is None else list(np.asarray(answers, dtype=object).reshape(-1))
    if len(payloads) != len(prepared.positions):
        raise ProtocolError(
            f"the server gave {len(payloads)} answers to {len(prepared.positions)} posts"
        )
    for position, payload in zip(prepared.positions, payloads, strict=True):
        merged[position] = parse_answer(payload)
    return [merged[position] for position in range(prepared.count)]


def encode_image(image: ImageSource) -> bytes:
    """Encoded bytes of an image: bytes as they are, a file's content, a Pillow image as PNG.

    A Pillow image is turned upright first, so that boxes are of the picture as it is seen. Raises
    `PostError` (IMAGE_UNREADABLE) for a file that cannot be read and for empty bytes, TypeError
    for anything that is no image.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        content = bytes(image)
        if not content:
            raise PostError("IMAGE_UNREADABLE", "the image has no bytes; None means no image")
        return content
    if isinstance(image, Image.Image):
        try:
            upright = ImageOps.exif_transpose(image)
            if upright.mode not in _PNG_MODES:
                upright = upright.convert("RGB")
            buffer = io.BytesIO()
            upright.save(buffer, "PNG", compress_level=1)
        except (OSError, ValueError) as error:
            raise PostError("IMAGE_UNREADABLE", f"Pillow cannot encode it: {error}") from error
        return buffer.getvalue()
    if isinstance(image, str | os.PathLike):
        return _read_file(Path(image))
    raise TypeError(
        f"image must be bytes, a path, a Pillow image or None, not {type(image).__name__}"
    )


def _read_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PostError("IMAGE_UNREADABLE", f"{path} is not a regular file")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise PostError("IMAGE_UNREADABLE", f"cannot read image file {path}: {reason}") from error
    except ValueError as error:  # a null byte in the name
        raise PostError("IMAGE_UNREADABLE", f"not a file name: {str(path)!r}") from error
    if not content:
        raise PostError("IMAGE_UNREADABLE", f"image file {path} is empty")
    return content


def _is_post(post: object) -> bool:
    if not isinstance(post, Post):
        raise TypeError(f"posts must be mqspn_client.Post, not {type(post).__name__}")
    return True


def _encode_text(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"text must be str, not {type(text).__name__}")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PostError(
            "TEXT_NOT_UTF8", f"character {error.start} of the text is half a surrogate pair"
        ) from error


def _region_rows(regions: Regions) -> NDArray[np.float32]:
    """Regions of one post as FP32 (K, 4); raises `PostError` (REGIONS_INVALID)."""
    try:
        with np.errstate(all="ignore"):  # a number too large for FP32 becomes an infinity
            rows = np.asarray(regions, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise PostError("REGIONS_INVALID", f"regions are not numbers: {error}") from error
    if rows.size == 0:
        return np.zeros((0, 4), np.float32)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise PostError(
            "REGIONS_INVALID",
            f"regions must be rows of x1, y1, x2, y2; their shape is {rows.shape}",
        )
    if not rows.any(axis=1).all():
        raise PostError(
            "REGIONS_INVALID", "a region of four zeros stands for padding; leave it out"
        )
    return rows


def _stack_regions(regions: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """FP32 (B, K, 4), K the largest count but at least 1; rows of zeros are padding."""
    stacked = np.zeros((len(regions), max(1, *(len(rows) for rows in regions)), 4), np.float32)
    for post, rows in enumerate(regions):
        stacked[post, : len(rows)] = rows
    return stacked


def _bytes_column(values: Sequence[bytes]) -> NDArray[Any]:
    column = np.empty((len(values), 1), dtype=object)
    column[:, 0] = values
    return column
