"""Draw places: each by its landmark."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mqspn.synthetic.pen import Draw, Fill, Pen


def _columns(pen: Pen, x1: float, y1: float, x2: float, y2: float, count: int, fill: Fill) -> None:
    step = (x2 - x1) / (2 * count - 1)
    for column in range(count):
        pen.box(x1 + 2 * column * step, y1, x1 + (2 * column + 1) * step, y2, fill)


def _petra(pen: Pen) -> None:
    pen.poly((6, 96, 10, 20, 22, 6, 78, 4, 92, 22, 95, 96), "#d98a6a")
    pen.poly((28, 36, 50, 20, 72, 36), "#f3b697")
    _columns(pen, 28, 38, 72, 60, 5, "#f3b697")
    pen.box(22, 60, 78, 66, "#f3b697")
    _columns(pen, 24, 66, 76, 96, 5, "#f3b697")
    pen.box(44, 72, 56, 96, "#5a2d22")


def _eiffel_tower(pen: Pen) -> None:
    pen.poly((47, 4, 53, 4, 57, 44, 66, 72, 84, 97, 66, 97, 50, 78, 34, 97, 16, 97, 34, 72, 43, 44),
             "#8d6b4a")  # fmt: skip
    pen.box(36, 44, 64, 49, "#5f4630")
    pen.box(26, 68, 74, 74, "#5f4630")


def _amazon_river(pen: Pen) -> None:
    pen.box(5, 8, 95, 95, "#1f7a3a", 14)
    for x, y, r in ((18, 24, 12), (40, 18, 11), (80, 24, 13), (18, 78, 12), (84, 74, 11)):
        pen.disc(x, y, r, "#3fae55")
        pen.disc(x - 3, y - 3, r * 0.5, "#79d279")
    pen.line((62, 9, 44, 30, 66, 50, 34, 70, 56, 94), "#4cc9f0", 13)


def _jackson_hole(pen: Pen) -> None:
    pen.poly((3, 92, 30, 26, 44, 50, 60, 12, 97, 92), "#7486a8")
    pen.poly((30, 26, 22, 46, 31, 42, 37, 50, 40, 44), "white")
    pen.poly((60, 12, 50, 36, 60, 31, 66, 40, 74, 42), "white")
    pen.arc(26, 52, 74, 130, 180, 360, "#f1e3c4", 8)
    for x, y in ((24, 72), (34, 58), (50, 50), (66, 58), (76, 72)):
        pen.line((50 + (x - 50) * 0.85, y + 4, x, y - 5), "#f1e3c4", 3)


def _capitol(pen: Pen) -> None:
    pen.box(47, 5, 53, 18, "#f7f7fb")
    pen.half(30, 14, 70, 42, "#f7f7fb")
    pen.box(28, 40, 72, 46, "#c9cedb")
    _columns(pen, 31, 46, 69, 60, 6, "#f7f7fb")
    pen.box(5, 60, 95, 66, "#c9cedb")
    pen.box(5, 66, 95, 94, "#9aa3b8")
    _columns(pen, 8, 66, 92, 92, 9, "#f7f7fb")


def _victoria_falls(pen: Pen) -> None:
    pen.box(4, 20, 96, 95, "#7a5230", 6)
    pen.box(4, 12, 96, 26, "#4caf50", 4)
    for x in (14, 34, 54, 74):
        pen.box(x, 22, x + 13, 84, "#bfeaff", 3)
        pen.line((x + 6, 28, x + 6, 78), "white", 3)
    for x in (14, 32, 50, 68, 86):
        pen.disc(x, 86, 10, "white")


def _cactus(pen: Pen) -> None:
    pen.oval(8, 82, 92, 97, "#e2a04a")
    pen.line((50, 90, 50, 14), "#2f8f4e", 17)
    pen.line((50, 62, 22, 58, 22, 36), "#2f8f4e", 12)
    pen.line((50, 54, 78, 50, 78, 24), "#2f8f4e", 12)
    for x, y1, y2 in ((46, 14, 88), (54, 14, 88), (22, 36, 54), (78, 26, 46)):
        pen.line((x, y1, x, y2), "#86d19a", 1.8)
    pen.disc(50, 8, 5, "#ff5d8f")


def _florence_cathedral(pen: Pen) -> None:
    pen.box(6, 24, 24, 96, "#f3ead8")
    for y in (34, 52, 70):
        pen.box(11, y, 19, y + 9, "#3f7d5a")
    pen.poly((34, 60, 36, 42, 48, 26, 60, 20, 72, 26, 84, 42, 86, 60), "#d4532d")
    for x in (47, 60, 73):
        pen.line((60, 21, x, 60), "#f3ead8", 2)
    pen.box(57, 8, 63, 22, "#f3ead8")
    pen.box(24, 60, 95, 96, "#f3ead8")
    for x in (30, 46, 62, 78):
        pen.half(x, 68, x + 11, 80, "#3f7d5a")
        pen.box(x, 79, x + 11, 92, "#3f7d5a")


def _sagrada_familia(pen: Pen) -> None:
    for x, top in ((8, 30), (28, 8), (50, 8), (70, 30)):
        pen.poly((x, 96, x + 2, top + 30, x + 10, top, x + 18, top + 30, x + 20, 96), "#c9a56b")
        pen.disc(x + 10, top, 4, "#f26b21")
        for y in range(top + 26, 74, 10):
            pen.disc(x + 10, y, 2.6, "#5e4424")
    pen.half(36, 66, 62, 96, "#5e4424")


def _sydney_opera_house(pen: Pen) -> None:
    pen.box(3, 80, 97, 94, "#b98a6a", 3)
    for x, size in ((6, 30), (24, 42), (50, 36), (72, 22)):
        pen.poly(
            (x, 80, x + size * 0.18, 80 - size * 1.05, x + size * 0.55, 80 - size * 1.5,
             x + size * 0.62, 80 - size * 0.7, x + size * 0.9, 80), "#f6f4ee")  # fmt: skip
        pen.line((x + size * 0.55, 82 - size * 1.45, x + size * 0.35, 79), "#b9b4a6", 1.6)


def _statue_of_liberty(pen: Pen) -> None:
    pen.box(30, 84, 70, 97, "#b8a58a")
    pen.poly((36, 84, 40, 44, 60, 44, 66, 84), "#5fb39b")
    pen.line((60, 48, 76, 18), "#5fb39b", 7)
    pen.poly((70, 16, 82, 16, 78, 26, 74, 26), "#5fb39b")
    pen.star(76, 10, 7, "#ffb703", 6, 0.55)
    pen.star(50, 26, 17, "#5fb39b", 9, 0.6)
    pen.disc(50, 34, 10, "#86cdb8")
    pen.box(30, 54, 44, 70, "#86cdb8")
    for x in (46, 53, 59):
        pen.line((x, 50, x, 82), "#3f8c76", 1.6)


def _big_ben(pen: Pen) -> None:
    pen.poly((50, 3, 34, 24, 66, 24), "#39516b")
    pen.box(32, 24, 68, 50, "#d8b36a")
    pen.disc(50, 37, 11, "white")
    pen.line((50, 37, 50, 29), "#20202a", 2)
    pen.line((50, 37, 56, 40), "#20202a", 2)
    pen.box(34, 50, 66, 97, "#c79a4b")
    _columns(pen, 38, 54, 62, 95, 4, "#8f6a2c")


def _golden_gate_bridge(pen: Pen) -> None:
    pen.arc(-26, 0, 26, 66, 20, 90, "#e2492f", 3)
    pen.arc(24, -26, 76, 66, 5, 175, "#e2492f", 3)
    pen.arc(74, 0, 126, 66, 90, 160, "#e2492f", 3)
    for x in range(30, 72, 8):
        pen.line((x, 52, x, 72), "#e2492f", 1.4)
    pen.box(3, 70, 97, 78, "#b5301b")
    for x in (18, 74):
        pen.box(x, 16, x + 3, 92, "#e2492f")
        pen.box(x + 7, 16, x + 10, 92, "#e2492f")
        for y in (18, 34, 50):
            pen.box(x, y, x + 10, y + 4, "#e2492f")


def _pyramids(pen: Pen) -> None:
    pen.poly((42, 92, 72, 34, 98, 92), "#c98f3c")
    pen.poly((3, 92, 40, 16, 40, 92), "#f2c969")
    pen.poly((40, 16, 76, 92, 40, 92), "#d9a441")
    for y in (44, 60, 76):
        pen.line((40 - (y - 16) * 0.46, y, 40 + (y - 16) * 0.45, y), "#a87526", 1.6)


def _colosseum(pen: Pen) -> None:
    pen.poly((4, 30, 70, 22, 84, 40, 96, 54, 96, 90, 4, 90), "#d9b48a")
    for row, y in enumerate((38, 56, 74)):
        for x in range(9, 88, 12):
            if row or x < 68:
                pen.half(x, y, x + 7, y + 6, "#6b4a2f")
                pen.box(x, y + 5, x + 7, y + 12, "#6b4a2f")


def _mount_fuji(pen: Pen) -> None:
    pen.disc(76, 26, 15, "#e63946")
    pen.poly((2, 90, 38, 28, 58, 28, 98, 90), "#4a63b8")
    pen.poly((38, 28, 58, 28, 69, 45, 60, 42, 54, 50, 46, 42, 38, 51, 33, 43, 28, 46), "white")


def _taj_mahal(pen: Pen) -> None:
    for x in (5, 88):
        pen.box(x, 30, x + 7, 92, "#f4efe6")
        pen.half(x - 1, 22, x + 8, 31, "#d9c7b0")
    pen.oval(33, 16, 67, 56, "#fffaf2")
    pen.line((50, 6, 50, 18), "#e0b040", 3)
    pen.box(20, 48, 80, 92, "#f4efe6")
    pen.half(38, 54, 62, 72, "#7d8fb3")
    pen.box(38, 71, 62, 92, "#7d8fb3")
    for x in (25, 68):
        for y in (56, 75):
            pen.half(x, y, x + 8, y + 6, "#7d8fb3")
            pen.box(x, y + 5, x + 8, y + 12, "#7d8fb3")
    pen.box(3, 91, 97, 96, "#c97b63")


def _burj_khalifa(pen: Pen) -> None:
    pen.poly((48, 3, 52, 3, 54, 30, 46, 30), "#dfe9f5")
    for x1, top, x2, fill in (
        (34, 62, 66, "#5f83a8"),
        (39, 40, 61, "#7fa5cb"),
        (44, 20, 56, "#a8c8e6"),
    ):
        pen.box(x1, top, x2, 97, fill)
    for y in range(28, 96, 8):
        pen.line((46, y, 54, y), "#33506f", 1.8)
    pen.box(22, 84, 78, 97, "#33506f")


LANDMARKS: Mapping[str, Draw] = MappingProxyType(
    {
        "landmark/petra": _petra,
        "landmark/eiffel_tower": _eiffel_tower,
        "landmark/amazon_river": _amazon_river,
        "landmark/jackson_hole": _jackson_hole,
        "landmark/capitol": _capitol,
        "landmark/victoria_falls": _victoria_falls,
        "landmark/cactus": _cactus,
        "landmark/florence_cathedral": _florence_cathedral,
        "landmark/sagrada_familia": _sagrada_familia,
        "landmark/sydney_opera_house": _sydney_opera_house,
        "landmark/statue_of_liberty": _statue_of_liberty,
        "landmark/big_ben": _big_ben,
        "landmark/golden_gate_bridge": _golden_gate_bridge,
        "landmark/pyramids": _pyramids,
        "landmark/colosseum": _colosseum,
        "landmark/mount_fuji": _mount_fuji,
        "landmark/taj_mahal": _taj_mahal,
        "landmark/burj_khalifa": _burj_khalifa,
    }
)
"""How each place is drawn."""
