"""Decode images to the model's square of RGB pixels.

Limits are checked from the header, before a pixel is decoded. Transparent pixels are laid over
white, as most pages show them; an image is stretched to the square, not letterboxed, so that
normalised coordinates need no offset.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt

# Imported so that their formats are registered: Pillow would else import every plugin it has.
from PIL import (
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from mqspn_backend.errors import PostError
from mqspn_backend.image_header import read_image_header

__all__ = ["read_image"]

#: A JPEG is decoded at reduced scale only down to this many times the model's side.
_DRAFT_MARGIN = 2
#: Pillow may shrink by whole factors first, down to this many times the model's side.
_REDUCING_GAP = 3.0
#: Passes over the largest allowed image that one progressive JPEG may ask for.
_FULL_SCANS = 16
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_WIDE_GREY_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(
    data: bytes, side: int, *, max_bytes: int, max_pixels: int
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Decode ``data`` (JPEG, PNG, WebP or GIF, of which the first frame) to a square.

    Returns the pixels, (3, S, S) uint8 RGB with S = ``side``, of the upright image (EXIF
    orientation applied), and that image's own (width, height) in pixels. Empty ``data`` is a post
    without image: zeros and (0, 0).

    Raises PostError IMAGE_TOO_LARGE (more than ``max_bytes`` encoded or ``max_pixels`` decoded),
    IMAGE_FORMAT (another format) or IMAGE_UNREADABLE (broken or truncated). Thread-safe; decoding
    releases the interpreter lock.
    """
    if not data:
        return np.zeros((3, side, side), np.uint8), (0, 0)
    if len(data) > max_bytes:
        raise PostError(
            "IMAGE_TOO_LARGE",
            f"the image has {len(data)} bytes, more than {max_bytes}; send a smaller file",
        )
    header = read_image_header(data)
    _check_pixels((header.width, header.height), max_pixels)
    if header.scans * header.width * header.height > _FULL_SCANS * max_pixels:
        raise PostError(
            "IMAGE_TOO_LARGE",
            f"the JPEG has {header.scans} scans over {header.width} x {header.height} pixels; "
            "save it as baseline JPEG",
        )
    image, size, orientation = _decode(data, header.format, side, max_pixels)
    square = _to_rgb_square(image, side)
    image.close()
    if orientation in _UPRIGHT:
        square = square.transpose(_UPRIGHT[orientation])
        if orientation >= 5:
            size = (size[1], size[0])
    return _planes(square), size


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise PostError(
            "IMAGE_TOO_LARGE",
            f"the image is {size[0]} x {size[1]} pixels, more than {max_pixels} in all; "
            "send a smaller one",
        )


def _decode(
    data: bytes, name: str, side: int, max_pixels: int
) -> tuple[Image.Image, tuple[int, int], int]:
    """The first frame as stored (a JPEG perhaps at reduced scale), its full size, orientation."""
    try:
        image: Image.Image = Image.open(BytesIO(data), formats=(name,))
        size = image.size
        _check_pixels(size, max_pixels)  # a GIF's frame can be larger than its header's screen
        if name == "JPEG":
            image.draft(None, (_DRAFT_MARGIN * side, _DRAFT_MARGIN * side))
        image.load()
    except (PostError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PostError(
            "IMAGE_TOO_LARGE", f"the image has more than {max_pixels} pixels; send a smaller one"
        ) from error
    except Exception as error:  # broken data raises nearly anything from a Pillow plugin
        reason = f" ({error})" if type(error) is OSError else ""
        raise PostError(
            "IMAGE_UNREADABLE", f"the {name} data is broken or truncated{reason}; send it again"
        ) from error
    return image, size, _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # unreadable EXIF data does not make the picture unreadable
        return 1


def _to_rgb_square(image: Image.Image, side: int) -> Image.Image:
    """Convert any colour mode to RGB and resize with antialiasing to ``side`` x ``side``."""
    if image.mode in _WIDE_GREY_MODES:
        image = _narrow_grey(image)
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and max(transparent) > 255:
        # Pillow narrows 16-bit colours to 8 bits, but not the one that stands for transparent.
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        # Resizing RGBA weights colours by their opacity, so that hidden colours do not bleed.
        rgba = _resize(image.convert("RGBA"), side)
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    square = _resize(image, side)
    return square if square.mode == "RGB" else square.convert("RGB")


def _resize(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)


def _planes(square: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image, (3, S, S): a plane for each colour.

    Pillow's own packer takes one colour out of its four bytes a pixel, faster than NumPy turns the
    axes of all.
    """
    height, width = square.height, square.width
    planes = np.empty((3, height, width), np.uint8)
    for plane, colour in zip(planes, "RGB", strict=True):
        packed = square.tobytes("raw", colour)
        plane[:] = np.frombuffer(packed, np.uint8).reshape(height, width)
    return planes


def _narrow_grey(image: Image.Image) -> Image.Image:
    """16-bit grey (0 to 65535) to 8-bit by scaling; Pillow's own conversion clips at 255."""
    values = np.asarray(image)
    grey = Image.fromarray((values.clip(0, 65_535) >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey
