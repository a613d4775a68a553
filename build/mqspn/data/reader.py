"""Reads a split of a data set in the Twitter-GMNER layout.

    txt/<split>.txt             words with BIO labels, see `mqspn.data.bio`
    xml/<image id>.xml          boxes by entity name, see `mqspn.data.voc`; no file: nothing shown
    images/<image id>.jpg       no file: a text-only post
    annotations/<split>.jsonl   optional, see `mqspn.data.annotations`

An object's boxes belong to every entity of the post whose words, joined by one space, are the
object's name: letter case counts, runs of white space are one space, XML escapes are resolved.
Several objects of one name add up, and a name mentioned twice gives both mentions all of the boxes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from mqspn.data.annotations import Annotation, read_annotations
from mqspn.data.bio import LabelledSentence, read_bio
from mqspn.data.errors import DataError, Problem
from mqspn.data.images import UNREADABLE, upright_size
from mqspn.data.posts import Box, GoldEntity, Post, word_offsets
from mqspn.data.voc import ImageBoxes, normalise_name, read_voc

__all__ = ["read_split", "split_names"]

_log = logging.getLogger(__name__)


def split_names(folder: Path) -> list[str]:
    """Splits of a data set: train, dev, test first, then others by name.

    Raises FileNotFoundError where there are none.
    """
    names = {path.stem for path in (folder / "txt").glob("*.txt")}
    if not names:
        raise FileNotFoundError(f"no txt/*.txt in {folder}; give the folder that holds txt/")
    usual = [name for name in ("train", "dev", "test") if name in names]
    return usual + sorted(names.difference(usual))


def read_split(folder: Path, split: str, *, labels: Mapping[str, str]) -> list[Post]:
    """Read the posts of ``split`` ("train", "dev", "test") in file order.

    ``labels`` maps the labels of the data to type names, as ``{"PER": "PER", "OTHER": "MISC"}``.

    Raises FileNotFoundError where there is no such split, and `DataError`, which lists every fault
    with file and line, for a split without posts, malformed words or labels, broken XML, a box that
    is empty or outside its image, an XML name that no entity has, an empty image file, an
    unreadable image with boxes, or malformed annotations. Warns, once a split, of posts without
    image and of images whose size is not the annotated one.
    """
    path = folder / "txt" / f"{split}.txt"
    if not path.is_file():
        known = sorted(p.stem for p in (folder / "txt").glob("*.txt"))
        found = f"splits there: {', '.join(known)}" if known else "no txt/*.txt there"
        raise FileNotFoundError(f"no split {split!r} in {folder} ({path.name} missing); {found}")
    problems: list[Problem] = []
    sentences = read_bio(path, labels, problems)
    if not sentences and not problems:
        problems.append(Problem(path, None, "holds no post; a post begins with an IMGID: line"))
    annotations: dict[str, Annotation] = {}
    annotated = folder / "annotations" / f"{split}.jsonl"
    if annotated.is_file():
        annotations = read_annotations(annotated, sentences, labels, problems)
    images = _files(folder / "images", ".jpg")
    boxes = _files(folder / "xml", ".xml")
    posts = []
    for sentence in sentences:
        shown = None
        if sentence.id in boxes:
            shown = read_voc(boxes[sentence.id], problems)
        entities = _entities(sentence, shown, boxes.get(sentence.id, path), problems)
        annotation = annotations.get(sentence.id, Annotation())
        posts.append(
            Post(
                id=sentence.id,
                text=" ".join(sentence.words),
                words=sentence.words,
                entities=entities,
                image=images.get(sentence.id),
                image_size=shown.size if shown else None,
                tags=annotation.tags,
                objects=annotation.objects,
                ambiguous=annotation.ambiguous,
            )
        )
    resized = _check_images(posts, problems)
    if problems:
        raise DataError(problems)
    _warn_of_images(posts, resized, folder, split)
    return posts


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """Files by their name without ``suffix``: one listing instead of a look-up a post."""
    if not folder.is_dir():
        return {}
    return {p.name.removesuffix(suffix): p for p in folder.iterdir() if p.name.endswith(suffix)}


def _entities(
    sentence: LabelledSentence, shown: ImageBoxes | None, path: Path, problems: list[Problem]
) -> tuple[GoldEntity, ...]:
    offsets = word_offsets(sentence.words)
    names = [normalise_name(" ".join(sentence.words[s.start : s.end])) for s in sentence.spans]
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for found in shown.objects if shown else ():
        if found.name not in names:
            known = ", ".join(repr(name) for name in names) or "none"
            message = f"object {found.name!r} has the name of no entity of the post ({known})"
            problems.append(Problem(path, found.line, message))
        boxes[found.name].extend(found.boxes)
    return tuple(
        GoldEntity(
            offsets[span.start][0], offsets[span.end - 1][1], span.type, tuple(boxes.get(name, ()))
        )
        for span, name in zip(sentence.spans, names, strict=True)
    )


def _check_images(posts: list[Post], problems: list[Problem]) -> list[str]:
    """Check boxes against the image files; the ids of posts whose image has another size."""
    resized = []
    for post in posts:
        boxes = [box for entity in post.entities for box in entity.boxes]
        if post.image is not None and post.image.stat().st_size == 0:
            message = "is empty; fetch it again, or remove it to have the post read as text only"
            problems.append(Problem(post.image, None, message))
            continue
        if post.image is None or not boxes:
            continue
        try:
            width, height = upright_size(post.image)
        except UNREADABLE as error:
            message = f"cannot be read as an image ({error}); mend it, or remove it to have the "
            problems.append(Problem(post.image, None, message + "post read as text only"))
            continue
        for x1, y1, x2, y2 in boxes:
            if x2 > width or y2 > height:
                message = (
                    f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) of {post.id}.xml lies outside the "
                    f"upright image of {width} x {height} pixels"
                )
                problems.append(Problem(post.image, None, message))
        if (width, height) != post.image_size:
            resized.append(post.id)
    return resized


def _warn_of_images(posts: list[Post], resized: list[str], folder: Path, split: str) -> None:
    absent = [post for post in posts if post.image is None]
    if absent:
        shown = sum(entity.groundable for post in absent for entity in post.entities)
        lost = f"; {shown} of their entities have gold boxes, which no system can find without it"
        _log.warning(
            "%s, %s: %d of %d posts have no image in images/ and are read as text only%s%s",
            folder,
            split,
            len(absent),
            len(posts),
            lost if shown else "",
            _other_files(folder / "images"),
        )
    if resized:
        _log.warning(
            "%s, %s: the XML of %d posts states another size than their upright image has, so "
            "their boxes may be misplaced; first: %s",
            folder,
            split,
            len(resized),
            resized[0],
        )


def _other_files(images: Path) -> str:
    """A clause on the files that no post can have as its image, whatever they hold."""
    if not images.is_dir():
        return ""
    others = sorted(path.name for path in images.iterdir() if not path.name.endswith(".jpg"))
    if not others:
        return ""
    counted = f"; {len(others)} files in images/ are not called <image id>.jpg and do not count"
    return f"{counted}; the first is {others[0]}"
