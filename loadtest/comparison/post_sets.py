"""Draw the synthetic posts that are sent, and keep them on disk: drawing takes longer than reading.

The folder's name holds what the posts depend on: split, seed, number, and a digest of the code that
draws. Another version of that code draws into another folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mqspn.data.posts import Post
from mqspn.data.reader import read_split
from mqspn.synthetic import posts as drawing
from mqspn.synthetic import synthesize_posts
from posts import LoadPost

__all__ = [
    "KINDS",
    "cache_folder",
    "draw_posts",
    "posts_with_image",
    "read_post_file",
    "write_post_file",
]

#: The two kinds of posts: with images, and the same texts alone.
KINDS = ("images", "text")
_SPLIT = "test"
_LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}
_reader_log = logging.getLogger("mqspn.data.reader")


def cache_folder() -> Path:
    """Name the user's folder for what can be made again."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "mqspn"


def draw_posts(count: int, seed: int, cache: Path) -> list[Post]:
    """Draw ``count`` annotated posts of ``seed`` into ``cache``, or read those drawn before."""
    sources = sorted(Path(drawing.__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = cache / f"posts-{_SPLIT}-{seed}-{count}-{digest}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        drawn = Path(tempfile.mkdtemp(prefix="drawing-", dir=cache))
        try:
            synthesize_posts(split=_SPLIT, count=count, seed=seed, output=drawn, progress=True)
            drawn.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run was first
                raise
        finally:
            shutil.rmtree(drawn, ignore_errors=True)
    _reader_log.disabled = True  # it would tell of the posts that are drawn without an image
    try:
        return read_split(folder, _SPLIT, labels=_LABELS)
    finally:
        _reader_log.disabled = False


def posts_with_image(count: int, seed: int, cache: Path) -> list[LoadPost]:
    """Read ``count`` distinct posts that have an image into memory."""
    drawn = count + max(20, count // 4)  # one in nine has none
    found = [
        LoadPost(post.id, post.text, post.image.read_bytes())
        for post in draw_posts(drawn, seed, cache)
        if post.image is not None
    ]
    return found[:count]


def write_post_file(posts: Sequence[LoadPost], path: Path) -> None:
    """Write ``posts`` for another process: a line of JSON each, images in base64."""
    with path.open("w", encoding="utf-8") as lines:
        for post in posts:
            image = base64.b64encode(post.image).decode() if post.image is not None else None
            lines.write(json.dumps({"id": post.id, "text": post.text, "image": image}) + "\n")


def read_post_file(path: Path) -> list[LoadPost]:
    """Read what `write_post_file` wrote."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        LoadPost(row["id"], row["text"], base64.b64decode(row["image"]) if row["image"] else None)
        for row in rows
    ]
