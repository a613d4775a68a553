"""A synthetic split, read back from disk as its users read it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from mqspn.synthetic import OBJECT_CLASSES, synthesize_posts
from mqspn.synthetic.posts import synthesize_post
from mqspn.synthetic.scene import MIN_VISIBLE, MIN_VISIBLE_KEY
from mqspn.synthetic.world import ENTITIES, SENSES
from PIL import Image

COUNT = 400


@dataclass(frozen=True, kw_only=True)
class Read:
    """One post as it is on disk."""

    id: str
    words: list[str]
    labels: list[str]
    note: dict[str, Any]
    image: Path
    xml: Path

    def names(self) -> list[tuple[str, str]]:
        """The name and type of each mention, from the BIO labels."""
        found: list[tuple[list[str], str]] = []
        for word, label in zip(self.words, self.labels, strict=True):
            if label.startswith("B-"):
                found.append(([word], label[2:]))
            elif label.startswith("I-"):
                assert found[-1][1] == label[2:]
                found[-1][0].append(word)
        return [(" ".join(words), kind) for words, kind in found]

    def shown(self) -> list[str]:
        return [item["look"] for item in self.note["objects"]]


def read(folder: Path, split: str) -> list[Read]:
    lines = (folder / "annotations" / f"{split}.jsonl").read_text("utf-8").splitlines()
    blocks = (folder / "txt" / f"{split}.txt").read_text("utf-8").strip("\n").split("\n\n")
    posts = []
    for block, line in zip(blocks, lines, strict=True):
        head, *rows = block.split("\n")
        assert head.startswith("IMGID:")
        pairs = [row.split("\t") for row in rows]
        assert all(len(pair) == 2 and pair[0].split() == [pair[0]] for pair in pairs)
        name = head.removeprefix("IMGID:")
        posts.append(
            Read(
                id=name,
                words=[word for word, _ in pairs],
                labels=[label for _, label in pairs],
                note=json.loads(line),
                image=folder / "images" / f"{name}.jpg",
                xml=folder / "xml" / f"{name}.xml",
            )
        )
    return posts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("synthetic")
    synthesize_posts(split="train", count=COUNT, seed=7, output=output)
    return output


@pytest.fixture(scope="module")
def posts(folder: Path) -> list[Read]:
    return read(folder, "train")


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        synthesize_posts(split="dev", count=12, seed=3, output=tmp_path / name)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_a_post_does_not_depend_on_the_count(tmp_path: Path, folder: Path) -> None:
    synthesize_posts(split="train", count=5, seed=7, output=tmp_path)
    whole, part = everything(folder), everything(tmp_path)
    for name, content in part.items():
        if name.endswith((".jpg", ".xml")):
            assert whole[name] == content
        else:
            assert whole[name].startswith(content)


@pytest.mark.parametrize(("split", "seed"), [("dev", 7), ("train", 8)])
def test_another_split_or_seed_gives_other_posts(split: str, seed: int) -> None:
    for index in range(5):
        one = synthesize_post(split="train", seed=7, index=index)
        other = synthesize_post(split=split, seed=seed, index=index)
        assert one.sentence.words != other.sentence.words
        assert one.jpeg is None or one.jpeg != other.jpeg


def test_a_second_split_goes_into_the_same_folder(tmp_path: Path) -> None:
    synthesize_posts(split="train", count=3, seed=0, output=tmp_path)
    before = everything(tmp_path)
    synthesize_posts(split="test", count=3, seed=0, output=tmp_path)
    after = everything(tmp_path)
    assert before.items() < after.items()
    assert len(read(tmp_path, "test")) == 3


def test_a_split_is_never_overwritten(tmp_path: Path) -> None:
    synthesize_posts(split="train", count=1, seed=0, output=tmp_path)
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match="choose another output folder"):
        synthesize_posts(split="train", count=1, seed=1, output=tmp_path)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid"}, "choose one of train, dev, test"),
        ({"count": 0}, "at least 1"),
        ({"count": 1_000_001}, "at most 1000000"),
        ({"seed": -1}, "from 0"),
    ],
)
def test_bad_arguments_say_what_to_mend(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    good: dict[str, Any] = {"split": "train", "count": 1, "seed": 0}
    with pytest.raises(ValueError, match=message):
        synthesize_posts(**{**good, **arguments}, output=tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("tag", "least"),
    [
        ("ambiguous_image", 0.20),
        ("ambiguous_context", 0.10),
        ("groundable", 0.45),
        ("ungroundable", 0.25),
        ("unnamed_object", 0.40),
        ("multi_word", 0.25),
        ("hashtag", 0.12),
        ("entity_hashtag", 0.05),
        ("handle", 0.10),
        ("emoji", 0.12),
        ("url", 0.10),
        ("multi_box", 0.05),
        ("adjacent", 0.04),
        ("same_name_twice", 0.04),
        ("no_image", 0.04),
        ("no_entity", 0.03),
        ("unknown_person", 0.02),
        ("lower_case", 0.03),
        ("upper_case", 0.02),
        ("decoy", 0.005),
    ],
)
def test_each_case_is_common_enough(posts: list[Read], tag: str, least: float) -> None:
    assert sum(tag in post.note["tags"] for post in posts) >= least * COUNT


def test_tags_tell_the_truth(posts: list[Read]) -> None:
    for post in posts:
        tags, names = set(post.note["tags"]), [name for name, _ in post.names()]
        assert ("no_entity" in tags) == (not names)
        assert ("no_image" in tags) == (not post.image.exists())
        assert ("groundable" in tags) == post.xml.exists()
        assert ("same_name_twice" in tags) == (len(set(names)) < len(names))
        assert ("multi_word" in tags) == any(" " in name for name in names)
        assert ("hashtag" in tags) >= ("entity_hashtag" in tags)


def test_ids_and_labels(posts: list[Read]) -> None:
    assert [post.id for post in posts] == [f"train_{index:06d}" for index in range(COUNT)]
    assert [post.note["id"] for post in posts] == [post.id for post in posts]
    labels = Counter(label for post in posts for label in post.labels)
    assert set(labels) == {"O"} | {f"{p}-{t}" for p in "BI" for t in ("PER", "LOC", "ORG", "OTHER")}


def test_boxes_lie_in_the_image_and_agree(posts: list[Read]) -> None:
    for post in posts:
        objects = post.note["objects"]
        if not post.image.exists():
            assert objects == []
            continue
        with Image.open(post.image) as image:
            width, height = image.size
        assert 1 <= len(objects) <= 4
        for item in objects:
            assert item["look"] in OBJECT_CLASSES
            x1, y1, x2, y2 = item["box"]
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert MIN_VISIBLE <= item["visible"] <= 1


def test_xml_holds_the_boxes_of_what_is_named(posts: list[Read]) -> None:
    for post in posts:
        named = {tuple(item["box"]) for item in post.note["objects"] if item["named"]}
        if not post.xml.exists():
            assert not named
            continue
        root = ElementTree.fromstring(post.xml.read_bytes())
        with Image.open(post.image) as image:
            size = (root.findtext("size/width"), root.findtext("size/height"))
            assert size == (str(image.width), str(image.height))
        boxes = set()
        for item in root.findall("object"):
            assert item.findtext("name") in {name for name, _ in post.names()}
            box = [item.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
            boxes.add(tuple(int(value or -1) for value in box))
        assert boxes == named


def test_a_name_means_one_thing_in_a_post(posts: list[Read]) -> None:
    for post in posts:
        names = post.names()
        assert len(dict(names)) == len(set(names))


def squeezed(name: str) -> str:
    return name.replace(" ", "").lower()


def test_ambiguous_names_are_decided_by_the_image(posts: list[Read]) -> None:
    senses = {squeezed(name): entities for name, entities in SENSES.items()}
    for post in posts:
        for item in post.note["ambiguous"]:
            entities = senses[squeezed(" ".join(post.words[item["start"] : item["end"]]))]
            shown = {entity.object_class for entity in entities} & set(post.shown())
            right = next(entity.object_class for entity in entities if entity.type == item["type"])
            assert post.labels[item["start"]] == f"B-{item['type']}"
            assert len(shown) <= 1
            if item["by"] == "image":
                assert shown == {right}
                seen = [o["visible"] for o in post.note["objects"] if o["look"] == right]
                assert min(seen) >= MIN_VISIBLE_KEY
            elif "decoy" in post.note["tags"]:
                assert shown
                assert right not in shown


def test_a_shared_name_is_always_marked(posts: list[Read]) -> None:
    for post in posts:
        plain = {squeezed(name) for name in SENSES}
        marked = {item["start"] for item in post.note["ambiguous"]}
        for position, word in enumerate(post.words):
            whole = post.labels[position].startswith("B-") and not (
                post.labels[position + 1 : position + 2] or ["O"]
            )[0].startswith("I-")
            if whole and squeezed(word) in plain:
                assert position in marked


def test_every_named_look_in_the_image_is_marked_named(posts: list[Read]) -> None:
    classes = {
        squeezed(name): entity.object_class
        for entity in ENTITIES
        for name in entity.names
        if entity.object_class is not None
    }
    for post in posts:
        for name, _ in post.names():
            object_class = classes.get(squeezed(name))
            for item in post.note["objects"]:
                assert item["look"] != object_class or item["named"]
