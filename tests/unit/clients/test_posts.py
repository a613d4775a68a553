import io
from typing import Any

import numpy as np
import pytest
from mqspn_backend.tensors import DEFAULT_ENSEMBLE, REGIONS_ENSEMBLE, tensor
from mqspn_client import InvalidRequestError, Post, PostError
from mqspn_client.posts import encode_image, prepare_posts
from PIL import Image


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_the_tensors_are_the_specification_s():
    plain = prepare_posts([Post("a")]).tensors
    regions = prepare_posts([Post("a", b"x", [[0, 0, 5, 5]]), Post("b", b"x", [])]).tensors
    for tensors, ensemble in ((plain, DEFAULT_ENSEMBLE), (regions, REGIONS_ENSEMBLE)):
        assert tuple(tensors) == ensemble.inputs
        for name, array in tensors.items():
            assert array.ndim == len(tensor(name).axes)
            assert (array.dtype == object) == (tensor(name).dtype == "BYTES")
    assert regions["REGIONS"].dtype == np.float32


def test_text_is_utf8_and_no_image_is_empty(png):
    tensors = prepare_posts([Post("Zażółć 😀"), Post("", png)]).tensors
    assert tensors["TEXT"].tolist() == [["Zażółć 😀".encode()], [b""]]
    assert tensors["IMAGE"].tolist() == [[b""], [png]]


def untyped(value: object) -> Any:
    """What a caller without type checks may pass."""
    return value


def test_regions_of_different_counts_are_padded_with_zeros():
    posts = [
        Post("a", b"x", [[1, 2, 3, 4]]),
        Post("b", b"x", untyped(np.array([[5, 6, 7, 8], [9, 10, 11, 12]]))),
        Post("c", b"x", []),
    ]
    regions = prepare_posts(posts).tensors["REGIONS"]
    assert regions.tolist() == [
        [[1, 2, 3, 4], [0, 0, 0, 0]],
        [[5, 6, 7, 8], [9, 10, 11, 12]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert prepare_posts([Post("c", b"x", [])]).tensors["REGIONS"].shape == (1, 1, 4)


@pytest.mark.parametrize(
    "regions", [[[1, 2, 3]], [1, 2, 3, 4], [[1, 2, 3, "x"]], [[1, 2], [3]], [[0, 0, 0, 0]], "abc"]
)
def test_bad_regions_are_their_post_s_error(regions):
    prepared = prepare_posts([Post("a", b"x", regions), Post("b", b"x", [[1, 2, 3, 4]])])
    assert prepared.errors[0].code == "REGIONS_INVALID"
    assert prepared.positions == (1,)
    assert len(prepared.tensors["REGIONS"]) == 1


@pytest.mark.parametrize("kind", [list, np.array])
def test_numbers_too_large_for_fp32_make_no_noise(kind, recwarn):
    regions = prepare_posts([Post("a", b"x", kind([[0, 0, 1e300, 5]]))]).tensors["REGIONS"]
    assert regions.tolist() == [[[0, 0, np.inf, 5]]]  # which the server refuses
    assert not recwarn.list


def test_regions_for_some_posts_only_are_refused():
    with pytest.raises(InvalidRequestError, match="all posts"):
        prepare_posts([Post("a", b"x", [[1, 2, 3, 4]]), Post("b", b"x")])


def test_half_a_surrogate_pair_is_that_post_s_error():
    prepared = prepare_posts([Post("ok"), Post("bad \ud83d")])
    assert prepared.errors[1].code == "TEXT_NOT_UTF8"
    assert prepared.positions == (0,)


def test_a_file_is_read_by_str_and_path(tmp_path, png):
    path = tmp_path / "a.png"
    path.write_bytes(png)
    assert encode_image(path) == encode_image(str(path)) == png


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jpg", "missing.jpg.*No such file"),
        (".", "not a regular file"),
        ("empty.jpg", "empty.jpg is empty"),
        ("null\0byte", "not a file name"),
        ("x" * 300, "too long"),
        ("pipe", "not a regular file"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, message):
    import os

    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PostError, match=message) as raised:
        encode_image(str(tmp_path) + "/" + name)
    assert raised.value.code == "IMAGE_UNREADABLE"


def test_empty_bytes_are_not_taken_for_no_image():
    with pytest.raises(PostError, match="None means no image"):
        encode_image(b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F"])
def test_a_pillow_image_of_any_mode_becomes_png(mode):
    image = opened(encode_image(Image.new(mode, (7, 5))))
    assert (image.format, image.size) == ("PNG", (7, 5))


def test_sixteen_bits_are_kept():
    image = Image.new("I;16", (2, 2), 40_000)
    assert opened(encode_image(image)).getpixel((0, 0)) == 40_000


def test_a_pillow_image_is_turned_upright():
    turned = Image.new("RGB", (40, 30))
    exif = turned.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif)
    upright = opened(encode_image(opened(buffer.getvalue())))
    assert upright.size == (30, 40)
    assert upright.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("image", [3, ["a.jpg"], object()])
def test_what_is_no_image_is_a_type_error(image):
    with pytest.raises(TypeError, match="image must be"):
        prepare_posts([Post("a", image)])


@pytest.mark.parametrize("posts", [["a"], [Post(untyped(b"a"))], [Post(untyped(None))]])
def test_what_is_no_post_is_a_type_error(posts):
    with pytest.raises(TypeError):
        prepare_posts(posts)


def test_more_than_grpc_carries_is_refused(monkeypatch):
    monkeypatch.setattr("mqspn_client.posts._MAX_REQUEST_BYTES", 10)
    with pytest.raises(InvalidRequestError, match="fewer or smaller"):
        prepare_posts([Post("a" * 6), Post("b" * 6)])
