"""Files that are there whole or not at all, after a kill as after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["replace_text", "replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write; at the end of the block, and of no other, its bytes take ``path``'s place.

    They reach the disk before they do, and so does the change of place.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, see `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())
