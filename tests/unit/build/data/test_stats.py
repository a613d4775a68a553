import io
import json

import pytest
from mqspn.data.command import app
from mqspn.data.posts import GoldEntity, Post
from mqspn.data.stats import SplitStats, stats
from PIL import Image
from typer.testing import CliRunner

BOX = (1.0, 2.0, 3.0, 4.0)


def post(id, words, entities, image=None):
    return Post(id=id, text=" ".join(words), words=words, entities=entities, image=image)


def test_counts(tmp_path):
    posts = [
        post(
            "a",
            ("Al", "Bo", "Cy", "x", "Al"),
            (
                GoldEntity(0, 2, "PER", (BOX, BOX)),
                GoldEntity(3, 5, "PER"),
                GoldEntity(6, 8, "LOC", (BOX,)),
                GoldEntity(11, 13, "PER", (BOX, BOX)),
            ),
            tmp_path / "a.jpg",
        ),
        post("b", ("x",), ()),
    ]
    assert stats(posts) == SplitStats(
        posts=2,
        entities=4,
        groundable=3,
        boxes=5,
        adjacent=2,
        without_image=1,
        ids_elsewhere=0,
        texts_elsewhere=0,
        by_type={"LOC": 1, "PER": 3},
    )


def test_posts_that_another_split_has_too():
    mine = [post("a", ("x",), ()), post("b", ("y",), ()), post("c", ("y",), ())]
    other = [post("a", ("y",), ()), post("z", ("z",), ())]
    found = stats(mine, other)
    assert (found.ids_elsewhere, found.texts_elsewhere) == (1, 2)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "txt").mkdir()
    for split in ("test", "train"):
        text = "IMGID:a\nTed\tB-PER\nx\tO\nAir\tB-OTHER\n"
        (tmp_path / "txt" / f"{split}.txt").write_text(text)
    return tmp_path


def test_command_prints_a_column_a_split(folder):
    result = CliRunner().invoke(app, ["stats", str(folder)])
    assert result.exit_code == 0
    rows = [line.replace("│", " ").replace("┃", " ").split() for line in result.stdout.splitlines()]
    assert ["train", "test"] in rows
    assert ["entities", "2", "2"] in rows
    assert ["ids", "elsewhere", "1", "1"] in rows
    assert ["MISC", "1", "1"] in rows


def test_command_prints_json(folder):
    result = CliRunner().invoke(app, ["stats", str(folder), "--json"])
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert list(values) == ["train", "test"]
    assert values["test"]["by_type"] == {"MISC": 1, "PER": 1}
    assert values["test"]["without_image"] == 1


def test_command_fails_with_the_line_of_the_fault(folder):
    (folder / "txt" / "test.txt").write_text("IMGID:a\nTed\tB-PERS\n")
    result = CliRunner().invoke(app, ["stats", str(folder)])
    assert result.exit_code == 1
    assert "test.txt:2: label 'B-PERS'" in str(result.exception)


def test_command_says_when_the_folder_is_another(tmp_path):
    result = CliRunner().invoke(app, ["stats", str(tmp_path)])
    assert result.exit_code == 1
    assert "give the folder that holds txt/" in str(result.exception)


def test_command_reads_images_whole_on_demand(folder):
    (folder / "images").mkdir()
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG")
    path = folder / "images" / "a.jpg"
    path.write_bytes(file.getvalue())
    assert CliRunner().invoke(app, ["stats", str(folder), "--images"]).exit_code == 0
    path.write_bytes(file.getvalue()[:-500])
    assert CliRunner().invoke(app, ["stats", str(folder)]).exit_code == 0
    result = CliRunner().invoke(app, ["stats", str(folder), "--images"])
    assert result.exit_code == 1
    assert f"{path}: IMAGE_UNREADABLE" in str(result.exception)
    # An empty one is not looked for: it is seen.
    path.write_bytes(b"")
    result = CliRunner().invoke(app, ["stats", str(folder)])
    assert result.exit_code == 1
    assert f"{path}: is empty" in str(result.exception)
