"""Fonts and colours of drawn answers: letters that the font has, one colour an entity type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import ImageFont

__all__ = ["TYPE_COLOURS", "Colour", "Font", "Pen", "type_colour"]

Colour = tuple[int, int, int]
Font = Any  # ImageFont.FreeTypeFont, or Pillow's bitmap font where it was built without FreeType

#: One colour for each entity type; dark enough for white letters on it. Other types get one of
#: the remaining colours by their name.
TYPE_COLOURS: dict[str, Colour] = {
    "PER": (196, 48, 92),
    "LOC": (17, 122, 101),
    "ORG": (36, 97, 191),
    "MISC": (176, 95, 6),
}
_OTHER_COLOURS: tuple[Colour, ...] = ((112, 72, 184), (84, 94, 108), (120, 110, 20))
# Fonts that are looked for where Pillow's own lacks a letter.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc")
_BODY_PX, _SMALL_PX = 19, 15


def type_colour(type_name: str) -> Colour:
    """The colour of an entity type; always the same for the same name."""
    if type_name in TYPE_COLOURS:
        return TYPE_COLOURS[type_name]
    return _OTHER_COLOURS[sum(type_name.encode()) % len(_OTHER_COLOURS)]


@dataclass(frozen=True)
class Pen:
    """The two fonts of one drawing: ``body`` for names and text, ``small`` for notes."""

    body: Font
    small: Font

    @classmethod
    def for_letters(cls, letters: str) -> Pen:
        """Choose, of the fonts to be had here, the one that lacks the fewest of ``letters``."""
        wanted = [letter for letter in sorted(set(letters)) if letter.isprintable()]
        best, fewest = "", len(wanted) + 1
        for name in ("", *_FONTS):
            font = _font(name, _BODY_PX)
            if font is not None:
                lacking = sum(not _has(font, letter) for letter in wanted)
                if lacking < fewest:
                    best, fewest = name, lacking
        return cls(_font(best, _BODY_PX), _font(best, _SMALL_PX))

    def clean(self, text: str) -> str:
        """``text`` on one line, without the letters that the font lacks."""
        return "".join(c for c in " ".join(text.split()) if c == " " or _has(self.body, c))

    def fit(self, text: str, width: float) -> str:
        """``text`` cleaned and, where it is wider than ``width`` pixels, cut with an ellipsis."""
        text = self.clean(text)
        if self.body.getlength(text) <= width:
            return text
        while text and self.body.getlength(text + "...") > width:
            text = text[:-1]
        return text.rstrip() + "..."


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
