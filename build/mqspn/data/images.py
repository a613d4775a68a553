"""Check the image files of a data set: their size, and whether serving would read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
from PIL import Image

from mqspn.data.errors import Problem
from mqspn.data.posts import Post

__all__ = ["UNREADABLE", "unreadable_images", "upright_size"]

#: What opening an image file may raise.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 lay the image on its side


def upright_size(path: Path) -> tuple[int, int]:
    """Read (width, height) in pixels of the upright image from the file's header.

    Raises one of `UNREADABLE` where the file is no image.
    """
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
            return height, width
        return width, height


def unreadable_images(
    posts: Iterable[Post], *, side: int, max_bytes: int, max_pixels: int
) -> list[Problem]:
    """Read every image whole, as serving does; return a fault for each one it would refuse.

    ``posts``: as `mqspn.data.reader.read_split` gives them, which refuses empty files.
    """
    problems = []
    for post in posts:
        if post.image is None:
            continue
        try:
            read_image(post.image.read_bytes(), side, max_bytes=max_bytes, max_pixels=max_pixels)
        except PostError as error:
            problems.append(Problem(post.image, None, str(error)))
        except OSError as error:
            problems.append(Problem(post.image, None, f"cannot be read: {error.strerror}"))
    return problems
