"""Compose synthetic posts, and write a split of them to disk.

A post is a sentence with an image that may show what the sentence names.
"""

from __future__ import annotations

import errno
import io
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from tqdm import tqdm

from mqspn.errors import BuildError
from mqspn.files.replace import replace_text
from mqspn.synthetic.object_classes import OBJECT_CLASSES
from mqspn.synthetic.scene import Box, SceneObject, compose_scene
from mqspn.synthetic.sentences import (
    AMBIGUOUS_CONTEXT,
    AMBIGUOUS_IMAGE,
    NO_ENTITY,
    PLAIN,
    UNKNOWN_PERSON,
    Mention,
    Sentence,
    write_sentence,
)
from mqspn.synthetic.templates import TEMPLATES
from mqspn.synthetic.world import ENTITIES, SENSES

_KIND_WEIGHTS = {
    PLAIN: 0.44,
    AMBIGUOUS_IMAGE: 0.28,
    AMBIGUOUS_CONTEXT: 0.17,
    UNKNOWN_PERSON: 0.05,
    NO_ENTITY: 0.06,
}
_MOST_OBJECTS = 4
_ENTITY_CLASSES = tuple(
    entity.object_class for entity in ENTITIES if entity.object_class is not None
)
_BYSTANDERS = tuple(name for name in OBJECT_CLASSES if name not in _ENTITY_CLASSES)


@dataclass(frozen=True, kw_only=True)
class Post:
    """A synthetic post: sentence, image, the objects in the image, tags.

    `jpeg` is None for a post without image, which then has no objects. `size` is the image's
    (width, height) in pixels, (0, 0) without image.

    Boxes are integer pixels of the saved image, x2 and y2 exclusive.
    """

    id: str
    sentence: Sentence
    jpeg: bytes | None
    size: tuple[int, int]
    objects: tuple[SceneObject, ...]
    tags: tuple[str, ...]

    def boxes_of(self, mention: Mention) -> tuple[Box, ...]:
        """Return the boxes of what the mention names; none where it is not in the image."""
        if mention.entity is None or mention.entity.object_class is None:
            return ()
        return tuple(
            item.box for item in self.objects if item.object_class == mention.entity.object_class
        )

    def named_classes(self) -> frozenset[str]:
        """Return the object classes that the sentence names, in the image or not."""
        return _named_classes(self.sentence)


def synthesize_post(*, split: str, seed: int, index: int) -> Post:
    """Make post `index` of a split. Its random numbers depend on the arguments alone."""
    rng = Random(f"{seed}/{split}/{index}")
    kind = rng.choices(list(_KIND_WEIGHTS), weights=list(_KIND_WEIGHTS.values()))[0]
    sentence = write_sentence(rng, split=split, kind=kind)
    tags = set(sentence.tags)
    objects: tuple[SceneObject, ...] = ()
    jpeg, size = None, (0, 0)
    if kind != AMBIGUOUS_IMAGE and rng.random() < 0.11:
        tags.add("no_image")
    else:
        classes, decoy = _cast(rng, sentence, kind)
        keys = {
            m.entity.object_class for m in sentence.mentions if m.ambiguous and m.entity is not None
        }
        scene = compose_scene(rng, classes, key_classes={key for key in keys if key is not None})
        objects, size = scene.objects, scene.image.size
        file = io.BytesIO()
        scene.image.save(file, "JPEG", quality=rng.randint(55, 95))
        jpeg = file.getvalue()
        tags |= {"decoy"} if decoy else set()
    named = _named_classes(sentence)
    shown = [item.object_class for item in objects]
    if any(name in named for name in shown):
        tags.add("groundable")
    if any(shown.count(name) > 1 for name in named):
        tags.add("multi_box")
    if any(name not in named for name in shown):
        tags.add("unnamed_object")
    if any(_class_of(mention) not in shown for mention in sentence.mentions):
        tags.add("ungroundable")
    return Post(
        id=f"{split}_{index:06d}",
        sentence=sentence,
        jpeg=jpeg,
        size=size,
        objects=objects,
        tags=tuple(sorted(tags)),
    )


def synthesize_posts(
    *, split: str, count: int, seed: int, output: Path, progress: bool = False
) -> None:
    """Write `count` synthetic posts of a split, as a data set in the layout of Twitter-GMNER.

    Under `output` appear `txt/<split>.txt`, `xml/<id>.xml` for each post that shows something it
    names, `images/<id>.jpg` for each post with an image, and `annotations/<split>.jsonl` with all
    objects of each image. The same arguments give the same bytes. Another split may be in the
    folder. `progress`: show a bar on standard error.

    Raises:
        BuildError: `split`, `count` or `seed` is out of range; the message says the range.
        FileExistsError: the folder has this split already.
    """
    if split not in TEMPLATES:
        raise BuildError(f"split is {split!r}: choose one of {', '.join(TEMPLATES)}")
    if count < 1:
        raise BuildError(f"count is {count}: ask for at least 1 post")
    if count > 1_000_000:
        raise BuildError(f"count is {count}: ask for at most 1000000 posts")
    if seed < 0:
        raise BuildError(f"seed is {seed}: take a whole number from 0")
    text_path = output / "txt" / f"{split}.txt"
    if text_path.exists():
        raise FileExistsError(
            errno.EEXIST,
            "exists: choose another output folder, or remove that split first",
            str(text_path),
        )
    for folder in ("txt", "xml", "images", "annotations"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    notes, texts = [], []
    for index in tqdm(range(count), desc=f"posts of {split}", unit="post", disable=not progress):
        post = synthesize_post(split=split, seed=seed, index=index)
        if post.jpeg is not None:
            (output / "images" / f"{post.id}.jpg").write_bytes(post.jpeg)
        xml = _xml(post)
        if xml is not None:
            (output / "xml" / f"{post.id}.xml").write_bytes(xml)
        texts.append(_text(post))
        notes.append(_note(post))
    replace_text(output / "annotations" / f"{split}.jsonl", "".join(notes))
    replace_text(text_path, "".join(texts))  # last: a split without it was not finished


def _class_of(mention: Mention) -> str | None:
    return None if mention.entity is None else mention.entity.object_class


def _named_classes(sentence: Sentence) -> frozenset[str]:
    classes = (_class_of(mention) for mention in sentence.mentions)
    return frozenset(name for name in classes if name is not None)


def _cast(rng: Random, sentence: Sentence, kind: str) -> tuple[list[str], bool]:
    """The class of each object in the image, and whether one is another sense of a name."""
    shown: list[str] = []
    forbidden = set(_named_classes(sentence))
    others: list[str] = []
    for mention in sentence.mentions:
        object_class = _class_of(mention)
        if mention.ambiguous and mention.entity is not None:
            senses = SENSES[mention.entity.shared_name or ""]
            others = [s.object_class for s in senses if s.object_class not in (None, object_class)]
            forbidden |= set(others)
        if object_class is None or object_class in shown:
            continue
        sure = mention.ambiguous and kind == AMBIGUOUS_IMAGE
        if sure or rng.random() < 0.6:
            shown.append(object_class)
    decoy = kind == AMBIGUOUS_CONTEXT and rng.random() < 0.15
    decoy = decoy and not any(_class_of(m) in shown for m in sentence.mentions if m.ambiguous)
    copies = [rng.choice(shown)] * rng.choice((1, 1, 2)) if shown and rng.random() < 0.18 else []
    cast = [*shown, *([rng.choice(others)] if decoy else []), *copies][:_MOST_OBJECTS]
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3))):
        if len(cast) < _MOST_OBJECTS:
            cast.append(_unnamed(rng, forbidden))
    return cast or [_unnamed(rng, forbidden)], decoy


def _unnamed(rng: Random, forbidden: set[str]) -> str:
    """A class of object that the sentence does not name, half the time of the named world."""
    pool = _BYSTANDERS if rng.random() < 0.45 else _ENTITY_CLASSES
    return rng.choice([name for name in pool if name not in forbidden])


def _text(post: Post) -> str:
    lines = zip(post.sentence.words, post.sentence.labels(), strict=True)
    return f"IMGID:{post.id}\n" + "".join(f"{word}\t{label}\n" for word, label in lines) + "\n"


def _xml(post: Post) -> bytes | None:
    """Pascal VOC: an object for each box of each name; None where nothing named is shown."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = f"{post.id}.jpg"
    size = ElementTree.SubElement(root, "size")
    for key, value in zip(("width", "height", "depth"), (*post.size, 3), strict=True):
        ElementTree.SubElement(size, key).text = str(value)
    named = {post.sentence.name_of(m): post.boxes_of(m) for m in post.sentence.mentions}
    if not any(named.values()):
        return None
    for name, boxes in named.items():
        for box in boxes:
            item = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(item, "name").text = name
            bounds = ElementTree.SubElement(item, "bndbox")
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
                ElementTree.SubElement(bounds, key).text = str(value)
    ElementTree.indent(root, "\t")
    return f"{ElementTree.tostring(root, encoding='unicode')}\n".encode()


def _note(post: Post) -> str:
    """One line of JSON: tags, every object of the image, and the names that mean several things."""
    named = post.named_classes()
    by = "image" if AMBIGUOUS_IMAGE in post.tags else "context"
    note = {
        "id": post.id,
        "tags": post.tags,
        "objects": [
            {
                "look": item.object_class,
                "box": item.box,
                "visible": item.visible,
                "named": item.object_class in named,
            }
            for item in post.objects
        ],
        "ambiguous": [
            {"start": mention.start, "end": mention.end, "type": mention.type, "by": by}
            for mention in post.sentence.mentions
            if mention.ambiguous
        ],
    }
    return json.dumps(note, ensure_ascii=False) + "\n"
