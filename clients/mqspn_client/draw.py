"""An answer drawn on its picture: boxes with labels, and below them what the picture lacks."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from mqspn_client.errors import PostError
from mqspn_client.posts import encode_image
from mqspn_client.types import Box, Entity, ImageSource, Prediction

__all__ = ["TYPE_COLOURS", "draw_prediction"]

Colour = tuple[int, int, int]

#: One colour for each entity type; dark enough for white letters on it. Other types get one of
#: the remaining colours by their name.
TYPE_COLOURS: dict[str, Colour] = {
    "PER": (196, 48, 92),
    "LOC": (17, 122, 101),
    "ORG": (36, 97, 191),
    "MISC": (176, 95, 6),
}
_OTHER_COLOURS: tuple[Colour, ...] = ((112, 72, 184), (84, 94, 108), (120, 110, 20))
_PAPER: Colour = (252, 252, 250)
_INK: Colour = (32, 34, 40)
_FAINT: Colour = (110, 114, 124)
_WHITE: Colour = (255, 255, 255)
# Pictures are brought to a width between these, so that letters stay readable.
_LEAST_WIDTH, _MOST_WIDTH = 640, 1280
# Fonts that are looked for where Pillow's own lacks a letter.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc")

Font = Any  # ImageFont.FreeTypeFont, or Pillow's bitmap font where it was built without FreeType


def draw_prediction(
    image: ImageSource | None, prediction: Prediction, *, text: str | None = None
) -> Image.Image:
    """Draw ``prediction`` on a copy of ``image``, turned upright; RGB.

    Each grounded entity gets a box in its type's colour and a label strip (name, type, score).
    Below the picture stand the post's ``text``, if given, with its entities marked, and the
    entities that are not in the image. Without an image it is a card of the texts alone. A small
    picture is enlarged. Raises `PostError` (IMAGE_UNREADABLE) where Pillow cannot read the image.
    """
    words = " ".join([text or "", *(entity.text for entity in prediction.entities)])
    pen = _Pen.for_letters(words)
    if image is None:
        return _Caption(pen, _LEAST_WIDTH, prediction, text, has_image=False).drawn()
    picture = _upright(image)
    scale = min(max(1.0, _LEAST_WIDTH / picture.width), _MOST_WIDTH / picture.width)
    if scale != 1.0:
        size = (round(picture.width * scale), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    _draw_boxes(picture, prediction.entities, scale, pen)
    caption = _Caption(pen, picture.width, prediction, text, has_image=True).drawn()
    canvas = Image.new("RGB", (picture.width, picture.height + caption.height), _PAPER)
    canvas.paste(picture, (0, 0))
    canvas.paste(caption, (0, picture.height))
    return canvas


@dataclass(frozen=True)
class _Pen:
    """The fonts of one drawing: labels and body text, small notes."""

    body: Font
    small: Font

    @classmethod
    def for_letters(cls, letters: str) -> _Pen:
        """The first font that has the most of ``letters``."""
        wanted = "".join(sorted(set(letters) - set(" \n\t")))
        best, fewest = "", len(wanted) + 1
        for name in ("", *_FONTS):
            font = _font(name, 19)
            lacking = fewest if font is None else sum(not _has(font, c) for c in wanted)
            if lacking < fewest:
                best, fewest = name, lacking
        return cls(_font(best, 19), _font(best, 15))

    def clean(self, text: str) -> str:
        """``text`` on one line, without the letters that the font lacks."""
        return "".join(c for c in " ".join(text.split()) if c == " " or _has(self.body, c))


@lru_cache(maxsize=32)
def _font(name: str, size: int) -> Font | None:
    if not name:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(font: Font, letter: str) -> bool:
    """Whether ``font`` has a glyph of its own for ``letter``."""
    if not letter.isprintable():
        return False
    try:
        return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))
    except (UnicodeEncodeError, OSError):
        return False


def _upright(image: ImageSource) -> Image.Image:
    source = image
    if not isinstance(source, Image.Image):
        source = Image.open(io.BytesIO(encode_image(image))) if _readable(image) else source
    return ImageOps.exif_transpose(source).convert("RGB")


def _colour(type_name: str) -> Colour:
    if type_name in TYPE_COLOURS:
        return TYPE_COLOURS[type_name]
    return _OTHER_COLOURS[sum(type_name.encode()) % len(_OTHER_COLOURS)]
