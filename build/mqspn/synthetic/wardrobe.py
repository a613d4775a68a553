"""Draw what tells people apart: hair, clothes, and what they wear on the head or carry.

Each is drawn for a bust whose head is the ellipse 32, 17, 68, 60 and whose shoulders begin at
y = 62, in a pen's units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mqspn.synthetic.pen import Fill, Pen

Paint = Callable[[Pen, Fill], None]
"""Draws in one colour: of the hair, or the second one of the clothes; extras may ignore it."""


# Hair behind the head.
def _long(pen: Pen, fill: Fill) -> None:
    pen.box(25, 20, 75, 78, fill, 18)


def _afro(pen: Pen, fill: Fill) -> None:
    for x, y, r in ((50, 22, 19), (31, 29, 14), (69, 29, 14), (26, 42, 11), (74, 42, 11)):
        pen.disc(x, y, r, fill)


def _braids(pen: Pen, fill: Fill) -> None:
    for y in range(34, 84, 9):
        pen.disc(25, y, 7, fill)
        pen.disc(75, y, 7, fill)


def _wild(pen: Pen, fill: Fill) -> None:
    pen.star(50, 36, 33, fill, 13, 0.68)


def _wig(pen: Pen, fill: Fill) -> None:
    for y in (36, 46, 55):
        pen.disc(27, y, 8, fill)
        pen.disc(73, y, 8, fill)


def _ponytail(pen: Pen, fill: Fill) -> None:
    pen.oval(66, 8, 94, 28, fill)
    pen.oval(77, 14, 95, 66, fill)


def _curls(pen: Pen, fill: Fill) -> None:
    for x, y in ((28, 28), (25, 41), (24, 54), (28, 66), (72, 28), (75, 41), (76, 54), (72, 66)):
        pen.disc(x, y, 9, fill)


# Hair before the head.
def _fringe(pen: Pen, fill: Fill) -> None:
    pen.half(31, 13, 69, 34, fill)


def _parted(pen: Pen, fill: Fill) -> None:
    pen.poly((30, 44, 30, 26, 38, 14, 58, 14, 69, 24, 70, 44, 62, 30, 44, 22, 36, 32), fill)


def _cap_of_hair(pen: Pen, fill: Fill) -> None:
    pen.pie(31, 12, 69, 56, 180, 360, fill)
    pen.poly((31, 32, 69, 32, 66, 36, 58, 29, 44, 33, 35, 29), fill)


def _bun(pen: Pen, fill: Fill) -> None:
    pen.disc(50, 10, 9, fill)
    pen.half(31, 13, 69, 33, fill)


def _short(pen: Pen, fill: Fill) -> None:
    pen.half(32, 15, 68, 29, fill)


def _quiff(pen: Pen, fill: Fill) -> None:
    pen.poly((31, 33, 30, 20, 42, 5, 70, 9, 69, 32, 62, 25, 40, 24), fill)


def _bob(pen: Pen, fill: Fill) -> None:
    pen.half(27, 9, 73, 33, fill)
    pen.box(26, 28, 36, 57, fill, 3)
    pen.box(64, 28, 74, 57, fill, 3)


HAIR_BEHIND: Mapping[str, Paint] = MappingProxyType(
    {
        "long": _long,
        "afro": _afro,
        "braids": _braids,
        "wild": _wild,
        "wig": _wig,
        "ponytail": _ponytail,
        "curls": _curls,
    }
)
"""Hair drawn before the head."""
HAIR_FRONT: Mapping[str, Paint] = MappingProxyType(
    {
        "long": _parted,
        "afro": _fringe,
        "braids": _fringe,
        "wild": _short,
        "wig": _fringe,
        "ponytail": _fringe,
        "curls": _cap_of_hair,
        "bun": _bun,
        "short": _short,
        "quiff": _quiff,
        "bob": _bob,
        "parted": _parted,
    }
)
"""Hair drawn over the head."""


# Clothes.
def _plain(pen: Pen, second: Fill) -> None:
    pen.line((38, 63, 50, 71, 62, 63), second, 3)


def _vest(pen: Pen, second: Fill) -> None:
    pen.poly((36, 58, 50, 78, 64, 58), second)
    pen.line((26, 64, 29, 100), second, 4)
    pen.line((74, 64, 71, 100), second, 4)


def _suit(pen: Pen, second: Fill) -> None:
    pen.poly((38, 58, 50, 92, 62, 58), "white")
    pen.poly((47, 67, 53, 67, 55, 90, 50, 97, 45, 90), second)


def _bow_tie(pen: Pen, second: Fill) -> None:
    pen.poly((38, 58, 50, 96, 62, 58), "white")
    pen.poly((40, 65, 50, 70, 60, 65, 60, 77, 50, 71, 40, 77), second)


def _upright_stripes(pen: Pen, second: Fill) -> None:
    for x in range(12, 100, 16):
        pen.box(x, 50, x + 8, 100, second)


def _hoops(pen: Pen, second: Fill) -> None:
    for y in range(66, 100, 12):
        pen.box(0, y, 100, y + 6, second)


def _sequins(pen: Pen, second: Fill) -> None:
    for row, y in enumerate(range(66, 100, 8)):
        for x in range(12 + 5 * (row % 2), 92, 10):
            pen.disc(x, y, 2.4, second)


def _halves(pen: Pen, second: Fill) -> None:
    pen.box(50, 50, 100, 100, second)


def _sash(pen: Pen, second: Fill) -> None:
    pen.poly((14, 66, 32, 62, 86, 92, 86, 100, 70, 100), second)


def _jacket(pen: Pen, second: Fill) -> None:
    pen.poly((38, 58, 62, 58, 60, 100, 40, 100), second)
    pen.line((39, 60, 41, 100), "#f4d35e", 2)
    pen.line((61, 60, 59, 100), "#f4d35e", 2)


def _frills(pen: Pen, second: Fill) -> None:
    for y in (66, 75, 84, 93):
        pen.oval(39, y - 6, 61, y + 6, second)
        pen.arc(39, y - 6, 61, y + 6, 10, 170, "#9aa0ad", 1.5)


def _check(pen: Pen, second: Fill) -> None:
    for x in range(10, 100, 14):
        pen.box(x, 50, x + 5, 100, second)
    for y in range(64, 100, 12):
        pen.box(0, y, 100, y + 4, second)


CLOTHES: Mapping[str, Paint] = MappingProxyType(
    {
        "plain": _plain,
        "vest": _vest,
        "suit": _suit,
        "bow_tie": _bow_tie,
        "upright_stripes": _upright_stripes,
        "hoops": _hoops,
        "sequins": _sequins,
        "halves": _halves,
        "sash": _sash,
        "jacket": _jacket,
        "frills": _frills,
        "check": _check,
    }
)
"""Patterns on the torso."""


# Extras: what a person wears on the head or carries.
def _glasses(pen: Pen, _: Fill) -> None:
    for x in (42, 58):
        pen.ring(x, 39, 7, "#1b1b24", 2)
    pen.line((49, 38, 51, 38), "#1b1b24", 2)


def _sunglasses(pen: Pen, _: Fill) -> None:
    pen.box(33, 34, 48, 45, "#1b1b24", 4)
    pen.box(52, 34, 67, 45, "#1b1b24", 4)
    pen.line((46, 36, 54, 36), "#1b1b24", 2)


def _star_glasses(pen: Pen, _: Fill) -> None:
    pen.star(41, 39, 11, "#ff4fa3")
    pen.star(59, 39, 11, "#ff4fa3")


def _beard(pen: Pen, fill: Fill) -> None:
    pen.pie(32, 22, 68, 66, 10, 170, fill)
    pen.oval(43, 46, 57, 51, "#a34450")


def _moustache(pen: Pen, fill: Fill) -> None:
    pen.poly((38, 50, 50, 45, 62, 50, 56, 52, 50, 49, 44, 52), fill)


def _top_hat(pen: Pen, _: Fill) -> None:
    pen.box(34, 3, 66, 25, "#23222c")
    pen.box(34, 17, 66, 22, "#6b6f86")
    pen.box(24, 22, 76, 28, "#23222c", 2)


def _fedora(pen: Pen, _: Fill) -> None:
    pen.poly((32, 23, 37, 7, 50, 11, 63, 7, 68, 23), "#f2f2f2")
    pen.box(32, 17, 68, 23, "#23222c")
    pen.oval(20, 19, 80, 29, "#f2f2f2")


def _headband(pen: Pen, _: Fill) -> None:
    pen.box(32, 24, 68, 30, "white", 1)


def _tiara(pen: Pen, _: Fill) -> None:
    pen.poly((34, 21, 32, 5, 42, 13, 50, 2, 58, 13, 68, 5, 66, 21), "#ffd23f")
    pen.disc(50, 15, 3, "#e63995")


def _basketball(pen: Pen, _: Fill) -> None:
    pen.disc(80, 80, 16, "#f08a24")
    pen.line((65, 80, 95, 80), "#3a2415", 1.6)
    pen.line((80, 65, 80, 95), "#3a2415", 1.6)


def _football(pen: Pen, _: Fill) -> None:
    pen.disc(80, 80, 16, "white")
    pen.star(80, 80, 8, "#20202a", 5, 0.8)
    for x, y in ((80, 67), (92, 77), (88, 91), (72, 91), (68, 77)):
        pen.disc(x, y, 2.6, "#20202a")


def _microphone(pen: Pen, _: Fill) -> None:
    pen.line((22, 96, 28, 70), "#30303a", 6)
    pen.disc(29, 65, 8, "#b9bec9")


def _racket(pen: Pen, _: Fill) -> None:
    pen.line((84, 96, 84, 66), "#6b3f1d", 5)
    pen.oval(71, 34, 97, 70, "#d7263d")
    pen.oval(75, 38, 93, 66, "#e9f6c5")


def _medal(pen: Pen, _: Fill) -> None:
    pen.line((38, 64, 50, 84, 62, 64), "#d7263d", 4)
    pen.disc(50, 87, 8, "#ffd23f")


def _bolt(pen: Pen, _: Fill) -> None:
    pen.poly((84, 36, 68, 66, 79, 66, 72, 94, 95, 58, 84, 58, 93, 36), "#ffe14d")


def _face_paint(pen: Pen, _: Fill) -> None:
    pen.poly((32, 32, 50, 30, 50, 46, 33, 48), "#2a6fdb")


def _clown(pen: Pen, _: Fill) -> None:
    pen.disc(50, 45, 5, "#e3242b")
    pen.arc(40, 40, 60, 56, 10, 170, "#e3242b", 4)


def _flower(pen: Pen, _: Fill) -> None:
    for x, y in ((70, 13), (79, 20), (75, 30), (64, 30), (61, 20)):
        pen.disc(x, y, 6, "#ff5d8f")
    pen.disc(70, 22, 5, "#ffe14d")


def _champion_belt(pen: Pen, _: Fill) -> None:
    pen.box(14, 80, 86, 90, "#20202a")
    pen.disc(50, 85, 11, "#ffd23f")
    pen.star(50, 85, 6, "#d7263d")


def _cocktail(pen: Pen, _: Fill) -> None:
    pen.line((83, 78, 83, 95), "#dfe7f2", 3)
    pen.poly((70, 58, 96, 58, 83, 79), "#8fe388")
    pen.disc(91, 56, 4, "#d7263d")


def _guitar_neck(pen: Pen, _: Fill) -> None:
    pen.line((94, 56, 40, 92), "#5c3a1e", 6)
    pen.oval(14, 78, 48, 98, "#c97b2f")


def _formula(pen: Pen, _: Fill) -> None:
    pen.box(66, 60, 97, 82, "#2f6b4f", 2)
    pen.text(81, 71, "E=m", 9, "white")


def _hood(pen: Pen, _: Fill) -> None:
    pen.arc(25, 9, 75, 76, 150, 390, "#77808f", 8)


def _cap(pen: Pen, _: Fill) -> None:
    pen.half(31, 11, 69, 29, "#3aa675")
    pen.box(31, 26, 86, 31, "#2b7d58", 2)


EXTRAS: Mapping[str, Paint] = MappingProxyType(
    {
        "glasses": _glasses,
        "sunglasses": _sunglasses,
        "star_glasses": _star_glasses,
        "beard": _beard,
        "moustache": _moustache,
        "top_hat": _top_hat,
        "fedora": _fedora,
        "headband": _headband,
        "tiara": _tiara,
        "basketball": _basketball,
        "football": _football,
        "microphone": _microphone,
        "racket": _racket,
        "medal": _medal,
        "bolt": _bolt,
        "face_paint": _face_paint,
        "clown": _clown,
        "flower": _flower,
        "champion_belt": _champion_belt,
        "cocktail": _cocktail,
        "guitar": _guitar_neck,
        "formula": _formula,
        "hood": _hood,
        "cap": _cap,
    }
)
"""Things drawn last."""
