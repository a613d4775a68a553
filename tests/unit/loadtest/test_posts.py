import io
import json

import pytest
from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
from PIL import Image
from posts import bad_images, read_posts


def test_rows_are_read_with_their_images(post_rows):
    posts = read_posts(post_rows)
    assert {post.text for post in posts} == {f"so Jordan {i}" for i in range(6)}
    assert {post.id: post.image is not None for post in posts} == {str(i): i < 3 for i in range(6)}


def test_the_order_depends_on_the_seed(post_rows):
    ids = [[post.id for post in read_posts(post_rows, seed=seed)] for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert len(read_posts(post_rows, limit=2)) == 2


def test_the_twitter_gmner_layout_is_read(tmp_path):
    (tmp_path / "txt").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "12.jpg").write_bytes(b"jpeg")
    (tmp_path / "txt" / "dev.txt").write_text(
        "IMGID:12\nRT\tO\nMichael\tB-PER\nJordan\tI-PER\n😀\tO\n\nIMGID:13\nParis\tB-LOC\n",
        encoding="utf-8",
    )
    posts = {post.id: post for post in read_posts(tmp_path, split="dev")}
    assert posts["12"].text == "RT Michael Jordan 😀"
    assert posts["12"].image == b"jpeg"
    assert (posts["13"].text, posts["13"].image) == ("Paris", None)


def test_what_holds_no_posts_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"test\.txt is missing"):
        read_posts(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no\.jsonl is missing"):
        read_posts(tmp_path / "no.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match="holds no posts"):
        read_posts(tmp_path / "empty.jsonl")
    for line in ("{", json.dumps({"id": 1}), "[1]"):
        (tmp_path / "bad.jsonl").write_text(line)
        with pytest.raises(ValueError, match="line 1, is no post"):
            read_posts(tmp_path / "bad.jsonl")


def test_bad_images_are_refused_by_the_server_s_reader_with_their_codes():
    assert {bad.code for bad in bad_images()} == {"IMAGE_UNREADABLE", "IMAGE_FORMAT"}
    for bad in bad_images():
        with pytest.raises(PostError) as raised:
            read_image(bad.content, 64, max_bytes=10**6, max_pixels=10**6)
        assert raised.value.code == bad.code


def test_bad_images_are_what_they_say():
    broken, unknown = bad_images()
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(broken.content)).load()
    assert Image.open(io.BytesIO(unknown.content)).format == "BMP"
