"""The reader, over small data sets written to disk."""

import json
import logging
from pathlib import Path

import pytest
from mqspn.data.errors import DataError
from mqspn.data.posts import AmbiguousMention, AnnotatedObject, GoldEntity
from mqspn.data.reader import read_split
from PIL import Image

LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}


class DataSet:
    """A folder in the layout, written a file at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "txt").mkdir()

    def text(self, content: str | bytes, split: str = "train") -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / "txt" / f"{split}.txt").write_bytes(data)

    def posts(self, **sentences: str) -> None:
        """Posts by id; a sentence is `word/LABEL` pairs with spaces between."""
        lines = []
        for id, sentence in sentences.items():
            pairs = (pair.rpartition("/") for pair in sentence.split(" "))
            lines += [f"IMGID:{id}", *(f"{word}\t{label}" for word, _, label in pairs), ""]
        self.text("\n".join(lines))

    def xml(self, id: str, *objects: tuple[str, str], size: tuple[int, int] = (400, 300)) -> None:
        """Objects are (name as written in XML, "xmin ymin xmax ymax")."""
        lines = ["<annotation>", "<size>", f"<width>{size[0]}</width>"]
        lines += [f"<height>{size[1]}</height>", "</size>"]
        for name, box in objects:
            lines += ["<object>", f"<name>{name}</name>", "<bndbox>"]
            corners = zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=False)
            lines += [f"<{corner}>{value}</{corner}>" for corner, value in corners]
            lines += ["</bndbox>", "</object>"]
        self.raw_xml(id, "\n".join([*lines, "</annotation>"]))

    def raw_xml(self, id: str, content: str) -> None:
        (self.folder / "xml").mkdir(exist_ok=True)
        (self.folder / "xml" / f"{id}.xml").write_text(content, encoding="utf-8")

    def image(self, id: str, size: tuple[int, int] = (400, 300), orientation: int = 1) -> Path:
        (self.folder / "images").mkdir(exist_ok=True)
        path = self.folder / "images" / f"{id}.jpg"
        image = Image.new("RGB", size)
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
        return path

    def annotations(self, *lines: object) -> None:
        (self.folder / "annotations").mkdir(exist_ok=True)
        content = "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        (self.folder / "annotations" / "train.jsonl").write_text(content, encoding="utf-8")

    def read(self, split: str = "train"):
        return read_split(self.folder, split, labels=LABELS)

    def problems(self) -> list[str]:
        """Every fault, with its path relative to the folder."""
        with pytest.raises(DataError) as caught:
            self.read()
        return [str(problem).removeprefix(f"{self.folder}/") for problem in caught.value.problems]


@pytest.fixture
def data(tmp_path):
    return DataSet(tmp_path)


# Words and labels.


def test_words_types_and_character_offsets(data):
    data.posts(a="RT/O 🎉é/O Ted/B-PER Cruz/I-PER buys/O Air/B-OTHER")
    (post,) = data.read()
    assert post.id == "a"
    assert post.text == "RT 🎉é Ted Cruz buys Air"
    assert post.words == ("RT", "🎉é", "Ted", "Cruz", "buys", "Air")
    assert post.entities == (GoldEntity(6, 14, "PER"), GoldEntity(20, 23, "MISC"))
    assert [post.text[e.start : e.end] for e in post.entities] == ["Ted Cruz", "Air"]


def test_adjacent_entities_survive(data):
    data.posts(a="Real/B-ORG Madrid/I-ORG Ronaldo/B-PER Bale/B-PER win/O")
    (post,) = data.read()
    found = [(post.text[e.start : e.end], e.type) for e in post.entities]
    assert found == [("Real Madrid", "ORG"), ("Ronaldo", "PER"), ("Bale", "PER")]


def test_order_of_posts_and_no_entities(data):
    data.posts(b="x/O", a="y/O")
    assert [(post.id, post.entities) for post in data.read()] == [("b", ()), ("a", ())]


def test_line_ends_byte_order_mark_and_missing_last_blank_line(data):
    data.text(b"\xef\xbb\xbfIMGID:a\r\nTed\tB-PER\r\n\r\nIMGID:b\r\nx\tO\r\nIMGID:c\r\ny\tO")
    assert [(post.id, post.text) for post in data.read()] == [("a", "Ted"), ("b", "x"), ("c", "y")]


def test_a_word_may_hold_a_unicode_line_separator(data):
    data.text("IMGID:a\nx\u2028y\tO\nTed\tB-PER\n")
    (post,) = data.read()
    assert post.words == ("x\u2028y", "Ted")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Ted PER", "'Ted PER' must be a word, one tab and a label (0 tabs found)"),
        ("Ted\tB-PER\tx", "and a label (2 tabs found); of several label columns keep one"),
        ("Ted\tPER", "label 'PER' must be O, B-<type> or I-<type>"),
        ("Ted\tB-", "label 'B-' must be O, B-<type> or I-<type>"),
        ("Ted\tB-PERS", "the settings (PER, LOC, ORG, OTHER); did you mean 'PER'?"),
        ("Ted\tI-PER", "label 'I-PER' continues no entity; an entity begins with B-PER"),
        ("\tO", "word '' must not be empty"),
        (" Ted\tO", "word ' Ted' must not be empty nor begin or end with white space"),
    ],
)
def test_a_malformed_line_is_named_with_its_line(data, line, message):
    data.text(f"IMGID:a\nx\tO\n{line}\ny\tO\n")
    (problem,) = data.problems()
    assert problem.startswith("txt/train.txt:3: ")
    assert message in problem


def test_a_label_may_not_continue_an_entity_of_another_type(data):
    data.text("IMGID:a\nReal\tB-ORG\nTed\tI-PER\n")
    message = "label 'I-PER' continues an entity of label ORG; an entity begins with B-PER"
    assert data.problems() == [f"txt/train.txt:3: {message}"]


def test_malformed_posts_are_named_with_their_line(data):
    data.text("x\tO\n\nIMGID:a\n\nIMGID:b\nx\tO\n\nIMGID:b\ny\tO\n\nIMGID:../c\nz\tO\n")
    assert data.problems() == [
        "txt/train.txt:1: word outside a post; a post begins with an IMGID: line",
        "txt/train.txt:3: post 'a' has no words",
        "txt/train.txt:8: image id 'b' is already that of the post at line 5",
        "txt/train.txt:11: image id '../c' must be the plain name of a file, without .jpg",
    ]


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_split_without_posts_is_an_error(data, content):
    data.text(content)
    assert data.problems() == ["txt/train.txt: holds no post; a post begins with an IMGID: line"]


def test_text_that_is_not_utf8_is_named_with_its_line(data):
    data.text(b"IMGID:a\nx\tO\ncaf\xe9\tO\n")
    assert data.problems() == ["txt/train.txt:3: not UTF-8 (byte 0xe9); save the file as UTF-8"]


def test_a_missing_split_names_those_there(data):
    data.text("", "dev")
    with pytest.raises(FileNotFoundError, match=r"no split 'train' in .*; splits there: dev"):
        data.read()


def test_the_message_shows_many_problems_but_not_all(data):
    data.text("IMGID:a\n" + "x\tX\n" * 30)
    with pytest.raises(DataError) as caught:
        data.read()
    assert len(caught.value.problems) == 30
    assert str(caught.value).startswith("30 problems in the data:\n")
    assert str(caught.value).endswith("... and 10 more")


# Boxes.


def test_boxes_go_to_the_entity_of_that_name(data):
    data.posts(a="Ted/B-PER Cruz/I-PER in/O Texas/B-LOC")
    data.xml("a", ("Ted Cruz", "10 20 110.5 220"))
    (post,) = data.read()
    assert post.entities[0].boxes == ((10.0, 20.0, 110.5, 220.0),)
    assert post.entities[0].groundable
    assert post.entities[1].boxes == ()
    assert not post.entities[1].groundable
    assert post.image_size == (400, 300)


def test_several_objects_and_several_boxes_add_up(data):
    data.posts(a="Ravens/B-ORG")
    data.raw_xml(
        "a",
        """<annotation><size><width>400</width><height>300</height></size>
        <object><name>Ravens</name>
          <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
          <bndbox><xmin>5</xmin><ymin>6</ymin><xmax>7</xmax><ymax>8</ymax></bndbox></object>
        <object><name>Ravens</name>
          <bndbox><xmin>9</xmin><ymin>10</ymin><xmax>400</xmax><ymax>300</ymax></bndbox></object>
        </annotation>""",
    )
    assert data.read()[0].entities[0].boxes == ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 400, 300))


def test_both_mentions_of_a_name_get_all_of_its_boxes(data):
    data.posts(a="IU/B-PER and/O IU/B-PER")
    data.xml("a", ("IU", "1 2 3 4"), ("IU", "5 6 7 8"))
    first, second = data.read()[0].entities
    assert first.boxes == second.boxes == ((1, 2, 3, 4), (5, 6, 7, 8))


def test_names_are_compared_unescaped_and_without_odd_white_space(data):
    data.posts(a="A&amp;B/B-ORG Jr/I-ORG R&B/B-OTHER 鳥/B-OTHER")
    data.xml("a", ("\n A&amp;amp;B \n  Jr ", "1 2 3 4"), ("R&#38;B", "5 6 7 8"), ("鳥", "1 1 2 2"))
    boxes = [entity.boxes for entity in data.read()[0].entities]
    assert boxes == [((1, 2, 3, 4),), ((5, 6, 7, 8),), ((1, 1, 2, 2),)]


def test_a_name_of_no_entity_is_named_with_its_line(data):
    data.posts(a="Ted/B-PER Cruz/I-PER")
    data.xml("a", ("Ted Cruz", "1 2 3 4"), ("ted cruz", "1 2 3 4"))
    message = "object 'ted cruz' has the name of no entity of the post ('Ted Cruz')"
    assert data.problems() == [f"xml/a.xml:16: {message}"]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("-1 2 3 4", "box (-1, 2, 3, 4) lies outside its image of 400 x 300 pixels"),
        ("1 2 400.5 4", "box (1, 2, 400.5, 4) lies outside its image of 400 x 300 pixels"),
        ("1 2 3 301", "box (1, 2, 3, 301) lies outside its image of 400 x 300 pixels"),
        ("3 2 3 4", "box (3, 2, 3, 4) is empty; xmin < xmax and ymin < ymax are needed"),
        ("1 5 3 4", "box (1, 5, 3, 4) is empty; xmin < xmax and ymin < ymax are needed"),
        ("1 2 x 4", "<xmax> of the box is 'x'; it must be a number"),
        ("1 2 nan 4", "<xmax> of the box is 'nan'; it must be a number"),
        ("1 2 1_0 4", "<xmax> of the box is '1_0'; it must be a number"),
        ("1 2 3", "<ymax> of the box is missing; it must be a number"),
    ],
)
def test_a_bad_box_is_named_with_its_line(data, box, message):
    data.posts(a="Ted/B-PER")
    data.xml("a", ("Ted", box))
    assert data.problems() == [f"xml/a.xml:8: {message}"]


def test_broken_xml_is_named_with_its_line(data):
    data.posts(a="Ted/B-PER")
    data.raw_xml("a", "<annotation>\n<object>\n</annotation>")
    assert data.problems() == ["xml/a.xml:3: broken XML: mismatched tag (column 3)"]


def test_incomplete_xml_is_named(data):
    data.posts(a="x/O", b="Ted/B-PER")
    data.raw_xml("a", "<annotation><size><width>3</width></size></annotation>")
    size = "<size><width>4</width><height>4</height></size>"
    data.raw_xml("b", f"<a>{size}\n<object></object>\n<object><name>Ted</name></object></a>")
    assert data.problems() == [
        "xml/a.xml: needs <size> with a positive <width> and <height>, the image's in pixels",
        "xml/b.xml:2: object without a <name>; give it the entity's words",
        "xml/b.xml:3: object 'Ted' has no <bndbox>",
    ]


@pytest.mark.parametrize("encoding", ["foo", "gb2312"])
def test_xml_of_an_encoding_that_cannot_be_read_is_named(data, encoding):
    data.posts(a="Ted/B-PER")
    data.raw_xml("a", f'<?xml version="1.0" encoding="{encoding}"?>\n<annotation/>')
    (problem,) = data.problems()
    assert problem.startswith("xml/a.xml:1: broken XML: ")
    assert problem.endswith("; save the file as UTF-8")


def test_a_folder_in_an_xml_files_place_is_named(data):
    data.posts(a="Ted/B-PER")
    (data.folder / "xml" / "a.xml").mkdir(parents=True)
    assert data.problems() == ["xml/a.xml: cannot be read: Is a directory"]


def test_a_second_name_of_one_object_is_named_with_its_line(data):
    data.posts(a="Ted/B-PER Al/B-PER")
    data.xml("a", ("Ted</name>\n<name>Al", "1 2 3 4"))
    message = "second <name> of one object; give each name an <object> of its own"
    assert data.problems() == [f"xml/a.xml:8: {message}"]


# Images.


def test_files_that_are_no_posts_image_are_counted(data, caplog):
    data.posts(a="Ted/B-PER", b="x/O", c="y/O")
    path = data.image("a")
    for name in ("b.png", "c.JPG"):
        path.with_name(name).write_bytes(path.read_bytes())
    assert [post.image for post in data.read()] == [path, None, None]
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "2 of 3 posts have no image in images/ and are read as text only; 2 files in images/ are "
        "not called <image id>.jpg and do not count; the first is b.png"
    )


def test_a_missing_image_is_counted_and_reported_once(data, caplog):
    data.posts(a="Ted/B-PER", b="x/O", c="y/O")
    data.xml("a", ("Ted", "1 2 3 4"))
    path = data.image("b")
    with caplog.at_level(logging.WARNING):
        posts = data.read()
    assert [post.image for post in posts] == [None, path, None]
    assert posts[0].entities[0].boxes == ((1, 2, 3, 4),)
    (record,) = caplog.records
    assert "train: 2 of 3 posts have no image" in record.getMessage()
    assert "1 of their entities have gold boxes" in record.getMessage()


def test_gold_boxes_are_mentioned_only_where_there_are_any(data, caplog):
    data.posts(a="Ted/B-PER")
    data.read()
    (record,) = caplog.records
    assert record.getMessage().endswith("are read as text only")


def test_nothing_is_reported_of_a_sound_data_set(data, caplog):
    data.posts(a="Ted/B-PER")
    data.xml("a", ("Ted", "1 2 3 4"))
    data.image("a")
    data.read()
    assert not caplog.records


def test_a_box_outside_the_image_file_is_an_error(data):
    data.posts(a="Ted/B-PER")
    data.xml("a", ("Ted", "1 2 390 200"))
    data.image("a", (200, 250))
    message = "box (1, 2, 390, 200) of a.xml lies outside the upright image of 200 x 250 pixels"
    assert data.problems() == [f"images/a.jpg: {message}"]


def test_an_image_of_another_size_than_annotated_is_reported(data, caplog):
    data.posts(a="Ted/B-PER", b="Ted/B-PER")
    for id in "ab":
        data.xml(id, ("Ted", "1 2 3 4"))
    data.image("a", (800, 600))
    data.image("b", (300, 400), orientation=6)  # upright it is 400 x 300
    data.read()
    (record,) = caplog.records
    assert "the XML of 1 posts states another size" in record.getMessage()
    assert record.getMessage().endswith("first: a")


def test_an_unreadable_image_is_an_error(data):
    data.posts(a="Ted/B-PER")
    data.xml("a", ("Ted", "1 2 3 4"))
    data.image("a").write_bytes(b"not an image")
    (problem,) = data.problems()
    assert problem.startswith("images/a.jpg: cannot be read as an image")


def test_an_empty_image_is_an_error_with_boxes_or_without(data):
    """It is what an interrupted download leaves; it would pass for a post without image."""
    data.posts(a="Ted/B-PER", b="x/O")
    data.xml("a", ("Ted", "1 2 3 4"))
    for id in "ab":
        data.image(id).write_bytes(b"")
    assert [problem.partition(": ")[0] for problem in data.problems()] == [
        "images/a.jpg",
        "images/b.jpg",
    ]
    assert all("is empty; fetch it again" in problem for problem in data.problems())


# Annotations.


def test_annotations_are_read(data):
    data.posts(a="wow/O Air/B-OTHER Jordan/I-OTHER", b="x/O")
    box = [1, 2, 30.5, 40]
    data.annotations(
        {
            "id": "a",
            "tags": ["ambiguous_image", "night"],
            "objects": [{"look": "shoe", "box": box, "visible": 0.5, "named": True}],
            "ambiguous": [{"start": 1, "end": 3, "type": "MISC", "by": "image"}],
        }
    )
    post, other = data.read()
    assert post.tags == {"ambiguous_image", "night"}
    assert post.objects == (AnnotatedObject("shoe", (1, 2, 30.5, 40), 0.5, True),)
    assert post.ambiguous == (AmbiguousMention(4, 14, "MISC", "image"),)
    assert (other.tags, other.objects, other.ambiguous) == (frozenset(), (), ())


def test_the_type_of_a_mention_may_be_a_label(data):
    data.posts(a="Air/B-OTHER")
    mention = {"start": 0, "end": 1, "type": "OTHER", "by": "context"}
    data.annotations({"id": "a", "ambiguous": [mention]})
    assert data.read()[0].ambiguous == (AmbiguousMention(0, 3, "MISC", "context"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": ', "Expecting value"),
        ([], "must be a JSON object"),
        ('{"id": "a", "tags": ' + "[" * 100_000, "is nested too deeply"),
        ('{"id": "a", "objects": [{"look": "x", "box": [1, 2, 1e999, 4]}]}', "four numbers"),
        ({"id": "z"}, "id 'z' is that of no post of the split"),
        ({"tags": []}, "id None is that of no post of the split"),
        ({"id": "a", "tags": "x"}, "tags must be a list of strings"),
        ({"id": "a", "objects": [{"look": "x", "box": [1, 2, 3]}]}, "must be four numbers"),
        ({"id": "a", "objects": [{"look": "x", "box": [1, 2, 1, 3]}]}, "is empty"),
        ({"id": "a", "objects": [{"look": "x", "box": [1, 2, 3, 4], "visible": 2}]}, "share"),
        (
            {"id": "a", "ambiguous": [{"start": 0, "end": 2, "type": "PER", "by": "image"}]},
            "words 0 to 2 (exclusive) of type 'PER' are no entity of post 'a'",
        ),
        (
            {"id": "a", "ambiguous": [{"start": 0, "end": 1, "type": "LOC", "by": "image"}]},
            "words 0 to 1 (exclusive) of type 'LOC' are no entity of post 'a'",
        ),
        (
            {"id": "a", "ambiguous": [{"start": 0, "end": 1, "type": "PER", "by": "luck"}]},
            "by 'luck' must be one of: image, context",
        ),
    ],
)
def test_a_malformed_annotation_is_named_with_its_line(data, line, message):
    data.posts(a="Ted/B-PER x/O", b="y/O")
    data.annotations({"id": "b"}, line)
    (problem,) = data.problems()
    assert problem.startswith("annotations/train.jsonl:2: ")
    assert message in problem


def test_two_annotations_of_one_post_are_refused(data):
    data.posts(a="x/O")
    data.annotations({"id": "a"}, {"id": "a"})
    assert data.problems() == ["annotations/train.jsonl:2: id 'a' has an earlier line"]


def test_without_image_keeps_the_annotation(data):
    data.posts(a="Ted/B-PER")
    data.xml("a", ("Ted", "1 2 3 4"))
    data.image("a")
    (post,) = data.read()
    stripped = post.without_image()
    assert stripped.image is None
    assert (stripped.id, stripped.entities) == (post.id, post.entities)
