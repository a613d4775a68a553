"""Draw miscellaneous things: products, works and prizes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mqspn.synthetic.pen import Draw, Pen


def _wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.disc(x, y, radius, "#20202a")
    pen.disc(x, y, radius * 0.5, "#c3c9d4")


def _air_jordan(pen: Pen) -> None:
    pen.poly((18, 12, 50, 8, 54, 44, 74, 54, 94, 62, 96, 78, 14, 78), "#d7263d")
    pen.poly((18, 12, 32, 10, 34, 78, 14, 78), "#20202a")
    pen.poly((74, 54, 94, 62, 96, 78, 70, 78), "#20202a")
    for y in (22, 32, 42):
        pen.line((38, y, 53, y + 3), "white", 3)
    pen.disc(25, 26, 5, "white")
    pen.box(10, 76, 97, 88, "white", 4)


def _puma_suede(pen: Pen) -> None:
    pen.poly((6, 36, 26, 32, 40, 42, 58, 40, 76, 54, 95, 60, 97, 70, 5, 70), "#2166d1")
    pen.line((10, 62, 34, 56, 52, 62, 66, 50), "white", 6)
    pen.line((46, 40, 58, 48), "#ffd23f", 3)
    pen.line((54, 38, 66, 50), "#ffd23f", 3)
    pen.box(4, 68, 97, 80, "#f0c98d", 4)


def _lincoln_car(pen: Pen) -> None:
    pen.poly((24, 50, 32, 34, 72, 34, 82, 50), "#3c3c4c")
    pen.poly((30, 48, 36, 38, 50, 38, 50, 48), "#aee0f5")
    pen.poly((54, 48, 54, 38, 69, 38, 75, 48), "#aee0f5")
    pen.box(3, 48, 97, 68, "#20202a", 5)
    pen.box(3, 57, 97, 60, "#dfe3ea")
    pen.box(3, 50, 11, 56, "#ffe14d")
    _wheel(pen, 22, 68, 10)
    _wheel(pen, 78, 68, 10)


def _mercedes_car(pen: Pen) -> None:
    pen.poly((20, 42, 30, 18, 70, 18, 80, 42), "#aab2c0")
    pen.poly((27, 40, 34, 23, 66, 23, 73, 40), "#5f83a8")
    pen.box(8, 40, 92, 78, "#ccd3de", 8)
    pen.box(26, 48, 74, 70, "#30343f", 5)
    pen.ring(50, 58, 12, "white", 2.4)
    for x, y in ((50, 48), (41, 64), (59, 64)):
        pen.line((50, 58, x, y), "white", 2.4)
    pen.disc(17, 54, 6, "#fff3b0")
    pen.disc(83, 54, 6, "#fff3b0")
    pen.box(12, 76, 26, 90, "#20202a", 3)
    pen.box(74, 76, 88, 90, "#20202a", 3)


def _tesla_roadster(pen: Pen) -> None:
    pen.poly((2, 62, 8, 50, 30, 44, 46, 30, 64, 30, 82, 46, 97, 50, 97, 66, 2, 66), "#e31937")
    pen.poly((36, 45, 48, 34, 54, 34, 54, 45), "#20304a")
    pen.poly((57, 34, 63, 34, 74, 45, 57, 45), "#20304a")
    pen.poly((44, 50, 56, 50, 52, 54, 51, 62, 49, 62, 48, 54), "white")
    _wheel(pen, 20, 66, 11)
    _wheel(pen, 80, 66, 11)


def _galaxy_phone(pen: Pen) -> None:
    pen.box(26, 5, 70, 95, "#17151c", 6)
    pen.box(29, 10, 67, 90, "#3b1e78", 3)
    pen.arc(34, 30, 62, 70, 0, 300, "#ff8fd6", 4)
    pen.arc(41, 40, 55, 60, 100, 380, "#8fd3ff", 4)
    pen.disc(48, 50, 4, "white")
    for x, y in ((36, 20), (58, 24), (38, 80), (60, 78)):
        pen.star(x, y, 4, "white", 4, 0.35)
    pen.line((80, 20, 80, 90), "#17151c", 5)


def _gibson_guitar(pen: Pen) -> None:
    pen.line((50, 50, 50, 10), "#4a2c1a", 7)
    pen.box(43, 3, 57, 15, "#20202a", 2)
    pen.disc(40, 54, 13, "#8c2f12")
    pen.disc(58, 54, 12, "#8c2f12")
    pen.disc(50, 75, 22, "#8c2f12")
    pen.disc(50, 74, 16, "#f08a24")
    pen.disc(50, 62, 10, "#f08a24")
    pen.box(41, 64, 59, 69, "#20202a")
    pen.box(41, 78, 59, 83, "#dfe3ea")
    pen.line((50, 14, 50, 80), "#f6e7c1", 2)


def _iphone(pen: Pen) -> None:
    pen.box(26, 4, 74, 96, "#f2f3f7", 9)
    pen.box(30, 13, 70, 80, "#a9def9", 2)
    colours = ("#ff6b6b", "#ffd93d", "#6bcb77", "#4d96ff", "#c77dff", "#ff9f1c")
    for icon, colour in enumerate(colours * 2):
        x, y = 33 + 12 * (icon % 3), 17 + 15 * (icon // 3)
        pen.box(x, y, x + 9, y + 10, colour, 2)
    pen.ring(50, 88, 5, "#8a90a0", 1.8)


def _xbox(pen: Pen) -> None:
    pen.box(5, 22, 95, 78, "#262a33", 4)
    pen.disc(34, 50, 20, "#15b315")
    pen.line((23, 40, 45, 62), "#eaffea", 5)
    pen.line((45, 40, 23, 62), "#eaffea", 5)
    for y in (34, 44, 54, 64):
        pen.line((64, y, 88, y), "#5b6475", 2.4)


def _coca_cola(pen: Pen) -> None:
    pen.box(28, 8, 72, 92, "#e61c23", 8)
    pen.oval(30, 4, 70, 16, "#d5dae3")
    pen.oval(30, 86, 70, 97, "#9aa3b3")
    pen.line((30, 70, 42, 56, 56, 48, 70, 28), "white", 7)
    pen.line((34, 36, 50, 28), "white", 3)


def _big_mac(pen: Pen) -> None:
    pen.half(8, 10, 92, 44, "#e39b3b")
    for x, y in ((28, 30), (44, 20), (60, 26), (74, 34), (50, 34)):
        pen.oval(x - 3, y - 2, x + 3, y + 2, "#fff1cf")
    pen.box(5, 43, 95, 50, "#6cc04a", 3)
    pen.box(8, 49, 92, 58, "#6b3a20", 4)
    pen.poly((10, 57, 90, 57, 70, 66, 50, 58, 30, 66), "#ffd23f")
    pen.box(9, 61, 91, 68, "#e39b3b", 3)
    pen.box(8, 67, 92, 76, "#6b3a20", 4)
    pen.box(9, 75, 91, 90, "#e39b3b", 7)


def _game_boy(pen: Pen) -> None:
    pen.box(22, 4, 78, 96, "#c9c6be", 6)
    pen.box(28, 11, 72, 49, "#5a5a6e", 4)
    pen.box(35, 17, 65, 44, "#9bbc0f")
    pen.box(32, 61, 48, 66, "#20202a")
    pen.box(37.5, 56, 42.5, 72, "#20202a")
    pen.disc(58, 68, 5, "#a61e5b")
    pen.disc(69, 61, 5, "#a61e5b")
    for x in (58, 64, 70):
        pen.line((x, 88, x + 4, 78), "#77748a", 2)


def _lego(pen: Pen) -> None:
    for x in (14, 42, 70):
        pen.box(x, 24, x + 17, 40, "#ffcf00", 3)
        pen.oval(x, 21, x + 17, 29, "#ffe36b")
    pen.box(5, 36, 95, 82, "#f2b800", 3)
    pen.box(5, 36, 95, 46, "#ffcf00", 3)


def _harry_potter(pen: Pen) -> None:
    pen.box(16, 6, 86, 94, "#5e1224", 4)
    pen.box(80, 9, 88, 91, "#f4ead2", 2)
    pen.box(16, 6, 26, 94, "#3d0a17", 3)
    pen.poly((58, 20, 38, 54, 51, 54, 44, 82, 70, 46, 56, 46, 66, 20), "#ffd23f")


def _world_cup(pen: Pen) -> None:
    pen.disc(50, 26, 22, "#f5c542")
    pen.arc(32, 8, 68, 44, 200, 330, "#a97b10", 2.4)
    pen.line((31, 26, 69, 22), "#a97b10", 2.4)
    pen.poly((30, 34, 70, 34, 58, 62, 64, 80, 36, 80, 42, 62), "#e0a91f")
    pen.line((40, 40, 50, 76), "#a97b10", 3)
    pen.box(30, 78, 70, 96, "#1f8a4c", 3)
    pen.box(30, 84, 70, 89, "#f5c542")


def _olympics(pen: Pen) -> None:
    for x, y, fill in (
        (22, 40, "#0a85c7"),
        (50, 40, "#20202a"),
        (78, 40, "#e5334b"),
        (36, 58, "#f4b429"),
        (64, 58, "#0b9d4d"),
    ):
        pen.ring(x, y, 18, fill, 5)


def _oscars(pen: Pen) -> None:
    pen.box(32, 82, 68, 96, "#20202a", 3)
    pen.box(38, 76, 62, 83, "#3c3c4c", 2)
    pen.disc(50, 13, 9, "#ffcf4a")
    pen.poly((34, 26, 66, 26, 58, 50, 56, 77, 44, 77, 42, 50), "#f0b323")
    pen.line((36, 30, 48, 46), "#ffcf4a", 5)
    pen.line((64, 30, 52, 46), "#ffcf4a", 5)
    pen.line((50, 40, 50, 76), "#a97b10", 3)


PRODUCTS: Mapping[str, Draw] = MappingProxyType(
    {
        "product/air_jordan": _air_jordan,
        "product/puma_suede": _puma_suede,
        "product/lincoln_car": _lincoln_car,
        "product/mercedes_car": _mercedes_car,
        "product/tesla_roadster": _tesla_roadster,
        "product/galaxy_phone": _galaxy_phone,
        "product/gibson_guitar": _gibson_guitar,
        "product/iphone": _iphone,
        "product/xbox": _xbox,
        "product/coca_cola": _coca_cola,
        "product/big_mac": _big_mac,
        "product/game_boy": _game_boy,
        "product/lego": _lego,
        "product/harry_potter": _harry_potter,
        "product/world_cup": _world_cup,
        "product/olympics": _olympics,
        "product/oscars": _oscars,
    }
)
"""How each thing with a name is drawn."""
