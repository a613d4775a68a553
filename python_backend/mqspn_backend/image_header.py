"""Read the format and size of an encoded image from its header, decoding nothing."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from mqspn_backend.errors import PostError

__all__ = ["ImageHeader", "read_image_header"]

#: Steps through a JPEG's segments, and bytes of junk between them, before it is called broken.
_JPEG_STEPS = 65_536
_JPEG_JUNK = 65_536
#: Start-of-frame markers: 0xC0 to 0xCF but for the tables 0xC4, 0xC8 and 0xCC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Frames whose scans each code all of their pixels, so that the file's size bounds the work.
_JPEG_SEQUENTIAL = frozenset({0xC0, 0xC1})

_OTHER_FORMATS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "HEIC"),
        (rb".{4}ftypavi[fs]", "AVIF"),
        (rb".{4}ftyp", "an MP4 or QuickTime video"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS or PostScript"),
        (rb"%PDF", "PDF"),
        (rb"BM.{4}\x00\x00\x00\x00", "BMP"),
        (rb"II[*+]\x00|MM\x00[*+]", "TIFF"),
        (rb"\x00\x00\x01\x00", "ICO"),
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
        (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
        (rb"8BPS", "PSD"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"\x1f\x8b", "gzip data"),
        (rb"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
        (
            rb"\xef?\xbb?\xbf?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg",
            "SVG",
        ),
        (rb"\xef?\xbb?\xbf?\s*(<!doctype html|<html|<head|<body)", "HTML"),
        (rb"\xef?\xbb?\xbf?\s*<\?xml", "XML"),
        (rb"data:image/", "a data: URL; decode it to bytes"),
        (rb"https?://", "a URL; send the image's bytes"),
        (rb"/9j/|iVBORw0KGgo|R0lGOD|UklGR", "base64 text; decode it to bytes"),
        (rb"[{\[]", "JSON"),
    )
)


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """Format and size of an encoded image, as its header states them.

    ``format`` is Pillow's name of it; ``width`` and ``height`` are stored pixels.
    ``scans``: passes over the pixels that decoding takes; more than one for a progressive JPEG.
    """

    format: str
    width: int
    height: int
    scans: int = 1


def read_image_header(data: bytes) -> ImageHeader:
    """Read the format and size of an encoded JPEG, PNG, WebP or GIF.

    Raises PostError IMAGE_FORMAT, naming what was found, for anything else, and IMAGE_UNREADABLE
    where the header is cut off or broken.
    """
    name = _format(data)
    scans = 1
    try:
        if name == "JPEG":
            width, height, scans = _jpeg_frame(data)
        else:
            width, height = {"PNG": _png_size, "GIF": _gif_size, "WEBP": _webp_size}[name](data)
    except (struct.error, ValueError) as error:
        raise PostError(
            "IMAGE_UNREADABLE", f"the {name} header is broken or cut off; send the whole file"
        ) from error
    if width == 0 or height == 0:
        raise PostError("IMAGE_UNREADABLE", f"the {name} header says {width} x {height} pixels")
    return ImageHeader(format=name, width=width, height=height, scans=scans)


def _format(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    raise PostError(
        "IMAGE_FORMAT", f"the image must be JPEG, PNG, WebP or GIF, found {_found(data)}"
    )


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Width, height and number of scans; raises ValueError where there is no frame header."""
    position, junk = 2, 0
    for _ in range(_JPEG_STEPS):
        marker_at = data.find(b"\xff", position)
        junk += marker_at - position
        if marker_at < 0 or junk > _JPEG_JUNK:
            break
        marker = data[marker_at + 1] if marker_at + 1 < len(data) else 0xDA
        if marker == 0xFF:  # a fill byte
            position = marker_at + 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, marker_at + 5)
            # In coded data 0xFF is always escaped, so that this counts markers.
            scans = 1 if marker in _JPEG_SEQUENTIAL else data.count(b"\xff\xda", marker_at)
            return width, height, scans
        elif marker == 0xDA:  # a scan without a frame
            break
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD9:  # markers without a length
            position = marker_at + 2
        else:
            position = marker_at + 2 + struct.unpack_from(">H", data, marker_at + 2)[0]
    raise ValueError("no frame header")


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return 1 + low_width + (high_width << 16), 1 + low_height + (high_height << 16)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no frame chunk")


def _found(data: bytes) -> str:
    start = data[:512]
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, name in _OTHER_FORMATS:
        if pattern.match(start) or pattern.match(text):
            return name
    return f"unknown data that starts with the bytes {data[:8].hex(' ')}"
