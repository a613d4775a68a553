"""The card below a drawn picture: the text with its entities marked, and what is not shown.

An entity that the picture shows is a filled chip in its type's colour; one that it does not show
is an outlined chip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mqspn_client.lettering import Colour, Pen, type_colour
from mqspn_client.types import Entity, Prediction

__all__ = ["draw_caption", "marked_pieces"]

_PAPER: Colour = (252, 252, 250)
_INK: Colour = (32, 34, 40)
_FAINT: Colour = (110, 114, 124)
_WHITE: Colour = (255, 255, 255)
_MARGIN, _LINE, _GAP = 18, 32, 6


@dataclass(frozen=True)
class _Piece:
    """Something that is set on a line: a word, or an entity's chip; ``note`` is its small print."""

    words: str
    entity: Entity | None = None
    note: str = ""


def draw_caption(
    prediction: Prediction, *, width: int, pen: Pen, text: str | None, has_image: bool
) -> Image.Image:
    """The card, RGB, ``width`` pixels wide and as high as its lines need."""
    paragraphs: list[list[_Piece]] = []
    if text is not None:
        paragraphs.append(list(_text_pieces(text, prediction.entities)))
    listed = [entity for entity in prediction.entities if entity.box is None or not has_image]
    if listed:
        title = "not in the image:" if has_image else "entities:"
        chips = [_Piece(e.text, e, f"{e.type} {e.score:.2f}") for e in listed]
        paragraphs.append([_Piece("", note=title), *chips])
    elif not prediction.entities:
        paragraphs.append([_Piece("", note="no entities")])
    if prediction.truncated:
        paragraphs.append([_Piece("", note="the end of the text was not read: it is too long")])
    lines = [line for pieces in paragraphs for line in _lines(pieces, width - 2 * _MARGIN, pen)]
    height = 2 * _MARGIN - _GAP + _LINE * len(lines) if lines else 0
    card = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(card)
    for row, line in enumerate(lines):
        x = float(_MARGIN)
        for piece in line:
            _draw_piece(draw, piece, x, _MARGIN + row * _LINE, pen, has_image)
            x += _piece_width(piece, pen) + _GAP
    return card


def marked_pieces(text: str, entities: Sequence[Entity]) -> Iterator[tuple[str, Entity | None]]:
    """``text`` cut at its entities' spans, in order; what overlaps an earlier span is left plain.

    Yields (characters, the entity they are or None); joined, the characters are ``text``.
    """
    cursor = 0
    for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
        if not cursor <= entity.start < entity.end <= len(text):
            continue
        if entity.start > cursor:
            yield text[cursor : entity.start], None
        yield text[entity.start : entity.end], entity
        cursor = entity.end
    if cursor < len(text):
        yield text[cursor:], None


def _text_pieces(text: str, entities: Sequence[Entity]) -> Iterator[_Piece]:
    for characters, entity in marked_pieces(text, entities):
        if entity is None:
            yield from (_Piece(word) for word in characters.split())
        else:
            yield _Piece(characters, entity, entity.type)


def _lines(pieces: Sequence[_Piece], width: int, pen: Pen) -> list[list[_Piece]]:
    """Fill lines of ``width`` pixels; a piece wider than a line is cut with an ellipsis."""
    lines: list[list[_Piece]] = [[]]
    used = 0.0
    for piece in pieces:
        words = pen.fit(
            piece.words, width - _piece_width(_Piece("", piece.entity, piece.note), pen)
        )
        if not words and not piece.note:
            continue
        piece = _Piece(words, piece.entity, piece.note)
        needed = _piece_width(piece, pen)
        if lines[-1] and used + needed > width:
            lines.append([])
            used = 0.0
        lines[-1].append(piece)
        used += needed + _GAP
    return [line for line in lines if line]


def _piece_width(piece: _Piece, pen: Pen) -> float:
    width = float(pen.body.getlength(piece.words)) if piece.words else 0.0
    if piece.note:
        width += float(pen.small.getlength(piece.note)) + (_GAP if piece.entity else 0)
    return width + (16 if piece.entity else 0)


def _draw_piece(
    draw: ImageDraw.ImageDraw, piece: _Piece, x: float, top: int, pen: Pen, has_image: bool
) -> None:
    middle = top + (_LINE - _GAP) / 2
    if piece.entity is None:
        font, ink = (pen.small, _FAINT) if piece.note else (pen.body, _INK)
        draw.text((x, middle), piece.note or piece.words, font=font, fill=ink, anchor="lm")
        return
    colour = type_colour(piece.entity.type)
    shown = has_image and piece.entity.box is not None
    frame = (x, top, x + _piece_width(piece, pen) - 1, top + _LINE - _GAP - 1)
    draw.rounded_rectangle(
        frame, radius=6, fill=colour if shown else _WHITE, outline=colour, width=2
    )
    ink = _WHITE if shown else colour
    draw.text((x + 8, middle), piece.words, font=pen.body, fill=ink, anchor="lm")
    after = x + 8 + pen.body.getlength(piece.words) + _GAP
    draw.text((after, middle + 1), piece.note, font=pen.small, fill=ink, anchor="lm")
