"""Read the posts to send under load, into memory, so that no disk is measured."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = ["SAMPLE_POSTS", "BadImage", "LoadPost", "bad_images", "read_posts"]

#: The sample posts that come with the repository.
SAMPLE_POSTS = Path(__file__).resolve().parent.parent / "demo" / "posts.jsonl"


@dataclass(frozen=True)
class LoadPost:
    """A post as it goes over the wire: ``image`` is an encoded file, None for a text-only post."""

    id: str
    text: str
    image: bytes | None


@dataclass(frozen=True)
class BadImage:
    """Bytes that the server must refuse, and the code it must refuse them with."""

    code: str
    content: bytes


def read_posts(
    source: Path = SAMPLE_POSTS, *, split: str = "test", limit: int = 500, seed: int = 0
) -> list[LoadPost]:
    """Read posts from ``source``, ``limit`` at most, in a random order of ``seed``.

    ``source`` is a folder in the Twitter-GMNER layout (``txt/<split>.txt``, ``images/<id>.jpg``)
    or a file of rows ``{"id", "text", "image"}``, image paths relative to it. A post whose image is
    absent is a text-only post. Raises FileNotFoundError or ValueError where there are no posts.
    """
    found = _from_layout(source, split) if source.is_dir() else _from_rows(source)
    places = list(found)
    if not places:
        raise ValueError(f"{source} holds no posts")
    random.Random(seed).shuffle(places)
    return [
        LoadPost(
            post_id,
            text,
            image.read_bytes() if image is not None and image.is_file() else None,
        )
        for post_id, text, image in places[:limit]
    ]


def bad_images() -> tuple[BadImage, ...]:
    """Make images that cannot be read, with their codes: a broken one, an unknown format."""
    noise = Image.effect_noise((96, 96), 80).convert("RGB")
    jpeg, bmp = io.BytesIO(), io.BytesIO()
    noise.save(jpeg, "JPEG")
    noise.save(bmp, "BMP")
    half = jpeg.getvalue()[: len(jpeg.getvalue()) // 2]
    return (BadImage("IMAGE_UNREADABLE", half), BadImage("IMAGE_FORMAT", bmp.getvalue()))


def _from_layout(folder: Path, split: str) -> Iterator[tuple[str, str, Path | None]]:
    path = folder / "txt" / f"{split}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; --data names a folder with txt/ and images/")
    post_id: str | None = None
    words: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in (*lines, "IMGID:"):
            if line.startswith("IMGID:"):
                if post_id and words:
                    yield post_id, " ".join(words), folder / "images" / f"{post_id}.jpg"
                post_id, words = line.removeprefix("IMGID:").strip(), []
            elif line.strip():
                words.append(line.split("\t")[0].strip())


def _from_rows(path: Path) -> Iterator[tuple[str, str, Path | None]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; name a folder or a .jsonl file of posts")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    image = row.get("image")
                    yield str(row["id"]), row["text"], path.parent / image if image else None
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(f"{path}, line {number}, is no post: {error!r}") from error
