"""Images of every kind to the model's square, and every way of refusing one."""

import io
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
from mqspn_backend.image_header import read_image_header
from PIL import Image, ImageDraw

SIDE = 16
LIMITS = {"max_bytes": 20 * 1024 * 1024, "max_pixels": 50_000_000}


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def read(data: bytes, side: int = SIDE, **limits) -> tuple[np.ndarray, tuple[int, int]]:
    return read_image(data, side, **(LIMITS | limits))


def centre(data: bytes) -> list[int]:
    pixels, _ = read(data)
    assert pixels.shape == (3, SIDE, SIDE)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    return pixels[:, SIDE // 2, SIDE // 2].tolist()


def code_of(data: bytes, **limits) -> str:
    with pytest.raises(PostError) as caught:
        read(data, **limits)
    return caught.value.code


def quarters(width: int = 120, height: int = 80) -> Image.Image:
    """Red, green, blue and grey quarters, in reading order."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    image.paste((128, 128, 128), (width // 2, height // 2, width, height))
    return image


def scene(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(3)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (int(v) for v in rng.integers(20, 200, 2))
        draw.ellipse([x, y, x + w, y + h], fill=tuple(int(v) for v in rng.integers(0, 255, 3)))
    return image


def test_no_image() -> None:
    pixels, size = read(b"")
    assert pixels.shape == (3, SIDE, SIDE)
    assert pixels.dtype == np.uint8
    assert not pixels.any()
    assert size == (0, 0)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_formats_and_channel_order(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    pixels, size = read(encode(quarters(), format, **options))
    assert size == (120, 80)
    found = [pixels[:, y, x].astype(int) for y in (3, 12) for x in (3, 12)]
    expected = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)]
    assert np.abs(np.array(found) - expected).max() <= 3


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),
    ],
)
def test_png_colour_modes(mode: str, colour, expected: tuple[int, ...]) -> None:
    assert centre(encode(Image.new(mode, (40, 30), colour))) == list(expected)


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (40, 30), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert centre(encode(image)) == [200, 100, 50]
    assert centre(encode(image, "GIF")) == [200, 100, 50]
    assert centre(encode(image, transparency=1)) == [255, 255, 255]
    assert centre(encode(image, transparency=0)) == [200, 100, 50]
    assert centre(encode(image, "GIF", transparency=1)) == [255, 255, 255]
    assert centre(encode(image, transparency=b"\xff\x80")) == [227, 177, 152]


def test_transparent_colour_of_grey_and_rgb() -> None:
    assert centre(encode(Image.new("L", (9, 9), 77), transparency=77)) == [255] * 3
    assert centre(encode(Image.new("L", (9, 9), 77), transparency=78)) == [77] * 3
    rgb = Image.new("RGB", (9, 9), (1, 2, 3))
    assert centre(encode(rgb, transparency=(1, 2, 3))) == [255] * 3
    assert centre(encode(rgb, transparency=(3, 2, 1))) == [1, 2, 3]


def test_hidden_colours_do_not_bleed_when_resized() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 31, 64))
    pixels, _ = read(encode(image), side=8)
    red, green = pixels[:2].astype(int)
    assert (red <= green + 1).all()  # only blue over white: no red without green
    assert green.min() < 10


@pytest.mark.parametrize(("grey", "expected"), [(0, 0), (300, 1), (40_000, 156), (65_535, 255)])
def test_sixteen_bit_grey_is_scaled(grey: int, expected: int) -> None:
    image = Image.fromarray(np.full((30, 40), grey, np.uint16))
    assert image.mode.startswith("I;16")
    assert centre(encode(image)) == [expected] * 3
    assert centre(encode(image, transparency=grey)) == [255] * 3


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *extra) -> bytes:
    """A PNG from raw scan lines, for what Pillow can't write."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *extra,
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_sixteen_bit_colour() -> None:
    row = b"\0" + struct.pack(">HHH", 40_000, 0, 65_535) * 4
    assert centre(png(4, 4, 16, 2, row * 4)) == pytest.approx([156, 0, 255], abs=1)
    clear = (b"tRNS", struct.pack(">HHH", 40_000, 0, 65_535))
    assert centre(png(4, 4, 16, 2, row * 4, clear)) == [255] * 3
    row = b"\0" + struct.pack(">HHHH", 0, 0, 0, 0) * 4
    assert centre(png(4, 4, 16, 6, row * 4)) == [255] * 3
    row = b"\0" + struct.pack(">HH", 40_000, 65_535) * 4
    assert centre(png(4, 4, 16, 4, row * 4)) == pytest.approx([156] * 3, abs=1)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_cmyk_jpeg(options: dict) -> None:
    for ink, expected in (
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ):
        data = encode(Image.new("CMYK", (64, 48), ink), "JPEG", **options)
        assert b"Adobe" in data
        assert centre(data) == pytest.approx(list(expected), abs=4)


def test_ycck_jpeg() -> None:
    # Adobe's transform 2 (YCCK) in place of 0 (CMYK): Y, Cb, Cr 128 are neutral inks.
    data = encode(Image.new("CMYK", (64, 48), (127, 127, 127, 0)), "JPEG")
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    assert centre(data[:at] + b"\x02" + data[at + 1 :]) == pytest.approx([128] * 3, abs=4)


def test_grey_jpeg_and_grey_webp() -> None:
    assert centre(encode(Image.new("L", (64, 48), 90), "JPEG")) == pytest.approx([90] * 3, abs=2)
    assert centre(encode(Image.new("L", (64, 48), 90), "WEBP")) == pytest.approx([90] * 3, abs=2)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations(format: str, orientation: int) -> None:
    upright = quarters()
    to_stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(to_stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    by_format: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}
    options = by_format.get(format, {})
    pixels, size = read(encode(stored, format, exif=exif, **options))
    expected, _ = read(encode(upright))
    assert size == (120, 80)
    assert np.abs(pixels.astype(int) - expected)[:, 2:6, 2:6].max() <= 4
    assert np.abs(pixels.astype(int) - expected).mean() <= 4


def test_broken_exif_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert read(encode(quarters(), "JPEG", exif=exif))[1] == (120, 80)
    data = encode(quarters(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow says that the EXIF data is corrupt
        assert read(data)[1] == (120, 80)


def test_multi_picture_jpeg_reads_its_first_picture() -> None:
    data = encode(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (120, 80))])
    pixels, size = read(data)
    assert size == (120, 80)
    assert pixels[0, 3, 3] > 240


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_read_their_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "lime")]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], duration=50)
    red, green, blue = centre(data)
    assert red > 245
    assert green < 10
    assert blue < 10


def test_reduced_scale_decoding_loses_nothing() -> None:
    data = encode(scene(1920, 1080), "JPEG", quality=90)
    for side in (64, 224, 256):
        pixels, size = read(data, side=side)
        assert size == (1920, 1080)
        full = Image.open(io.BytesIO(data)).convert("RGB").resize((side, side), 2)
        error = np.abs(pixels.astype(int) - np.asarray(full).transpose(2, 0, 1))
        assert error.mean() < 1
        assert np.percentile(error, 99) <= 8


def test_small_jpegs_are_decoded_whole() -> None:
    data = encode(scene(200, 150), "JPEG", quality=90)
    pixels, _ = read(data, side=128)
    full = Image.open(io.BytesIO(data)).resize((128, 128), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels, np.asarray(full).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (7, 3)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_extreme_shapes(size: tuple[int, int], format: str) -> None:
    pixels, found = read(encode(Image.new("RGB", size, (200, 100, 50)), format))
    assert found == size
    assert np.abs(pixels.reshape(3, -1).T.astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "MP4"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"  <html>404</html>", "HTML"),
        (b"%PDF-1.7", "PDF"),
        (b'{"error": "not found"}', "JSON"),
        (b"https://example.org/a.jpg", "URL"),
        (b"data:image/png;base64,iVBORw0KGgo", "data: URL"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD", "base64"),
        (b"hello", "68 65 6c 6c 6f"),
        (b"RIFF\0\0\0\0WAVE", "52 49 46 46"),
        (encode(Image.new("RGB", (4, 4)), "BMP"), "BMP"),
        (encode(Image.new("RGB", (4, 4)), "TIFF"), "TIFF"),
        (encode(Image.new("RGB", (16, 16)), "ICO"), "ICO"),
        (encode(Image.new("RGB", (4, 4)), "PPM"), "50 36"),
    ],
)
def test_other_formats_are_named(data: bytes, found: str) -> None:
    with pytest.raises(PostError, match="JPEG, PNG, WebP or GIF") as caught:
        read(data)
    assert caught.value.code == "IMAGE_FORMAT"
    assert found in caught.value.message


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_truncated_data_is_unreadable(format: str) -> None:
    data = encode(scene(300, 200), format)
    for length in {12, 20, 30, len(data) // 4, len(data) // 2, len(data) * 9 // 10}:
        assert code_of(data[:length]) == "IMAGE_UNREADABLE", length


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_broken_data_is_refused_or_read_but_never_crashes(format: str) -> None:
    data = bytearray(encode(scene(60, 40), format))
    rng = np.random.default_rng(5)
    for _ in range(150):
        broken = data.copy()
        for at in rng.integers(0, min(len(data), 400), 4):
            broken[at] = int(rng.integers(256))
        try:
            outcome: Any = read(bytes(broken), max_pixels=1_000_000)[0].shape
        except PostError as error:
            outcome = error
        if isinstance(outcome, PostError):
            assert outcome.code.startswith("IMAGE_")
            assert " at 0x" not in outcome.message
        else:
            assert outcome == (3, SIDE, SIDE)


def test_messages_hold_no_addresses_or_paths() -> None:
    with pytest.raises(PostError) as caught:
        read(encode(quarters(), "PNG")[:40])
    assert "object at" not in caught.value.message
    assert "/" not in caught.value.message


def test_zero_sized_images_are_unreadable() -> None:
    assert code_of(png(0, 4, 8, 2, b"")) == "IMAGE_UNREADABLE"
    jpeg = bytearray(encode(quarters(), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 7] = b"\0\0"
    assert code_of(bytes(jpeg)) == "IMAGE_UNREADABLE"


def test_limits_are_inclusive() -> None:
    data = encode(quarters())
    assert read(data, max_bytes=len(data), max_pixels=120 * 80)[1] == (120, 80)
    assert code_of(data, max_bytes=len(data) - 1) == "IMAGE_TOO_LARGE"
    for format in ("PNG", "JPEG", "WEBP", "GIF"):
        assert code_of(encode(quarters(), format), max_pixels=120 * 80 - 1) == "IMAGE_TOO_LARGE"
    assert code_of(encode(quarters(), "WEBP", lossless=True), max_pixels=99) == "IMAGE_TOO_LARGE"


def bombs() -> dict[str, bytes]:
    """Small files of many pixels, the largest past Pillow's own limit."""
    side = 13_300
    row = b"\0" + bytes((side + 7) // 8)
    gif = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    gif[6:10] = struct.pack("<HH", 8, 8)
    at = gif.index(b"\x2c")
    gif[at + 5 : at + 9] = struct.pack("<HH", 12_000, 12_000)  # a frame past its screen
    screen = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    screen[6:10] = struct.pack("<HH", 65_535, 65_535)
    jpeg = bytearray(encode(Image.new("L", (8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    webp = encode(Image.new("RGB", (9_400, 9_400)), "WEBP", lossless=True, method=0, quality=0)
    return {
        "png": png(side, side, 1, 0, row * side),
        "webp": webp,
        "gif frame": bytes(gif),
        "gif screen": bytes(screen),
        "jpeg": bytes(jpeg),
    }


def test_bombs_are_refused_at_once() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, data in bombs().items():
            began = time.perf_counter()
            assert code_of(data) == "IMAGE_TOO_LARGE", name
            assert time.perf_counter() - began < 1, name


def test_bombs_take_no_memory(tmp_path) -> None:
    for name, data in bombs().items():
        (tmp_path / name).write_bytes(data)
    script = """
import pathlib, resource, sys
from mqspn_backend.errors import PostError
from mqspn_backend.image import read_image
files = [p.read_bytes() for p in pathlib.Path(sys.argv[1]).iterdir()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in files:
    try:
        read_image(data, 224, max_bytes=2**25, max_pixels=50_000_000)
    except PostError:
        continue
    raise SystemExit("a bomb was decoded")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # KiB


def test_progressive_jpegs_of_many_scans_are_refused() -> None:
    data = encode(scene(400, 300), "JPEG", progressive=True)
    scans = read_image_header(data).scans
    assert scans > 3
    assert code_of(data, max_pixels=400 * 300 * scans // 17) == "IMAGE_TOO_LARGE"
    at = data.rindex(b"\xff\xda")
    many = data[:at] + data[at:-2] * 500 + data[-2:]
    began = time.perf_counter()
    assert code_of(many, max_pixels=130_000) == "IMAGE_TOO_LARGE"
    assert time.perf_counter() - began < 2


def test_junk_between_jpeg_segments_is_bounded() -> None:
    data = encode(quarters(), "JPEG")
    assert read(data[:2] + b"\xff" * 50 + data[2:])[1] == (120, 80)
    for junk in (b"\0" * 10_000_000, b"\xff\xd0" * 5_000_000, b"\xff" * 10_000_000):
        began = time.perf_counter()
        assert code_of(data[:3] + b"\xd0" + junk + data[2:]) == "IMAGE_UNREADABLE"
        assert time.perf_counter() - began < 2


def test_threads_see_the_same_pixels_as_one_after_another() -> None:
    images = [encode(scene(200 + 17 * i, 150), f) for i in range(6) for f in ("JPEG", "PNG")]
    alone = [read(data) for data in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, images * 3))
    for (pixels, size), (expected, expected_size) in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert size == expected_size


def test_import_changes_nothing_global() -> None:
    script = """
from PIL import Image, ImageFile
import numpy, warnings
before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
import mqspn_backend.image
assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
