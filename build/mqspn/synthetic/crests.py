"""Draw organisations: club crests and company signs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mqspn.synthetic.pen import Draw, Pen


def _shield(pen: Pen) -> None:
    pen.poly((12, 10, 88, 10, 88, 50, 80, 70, 66, 84, 50, 94, 34, 84, 20, 70, 12, 50), "white")


def _chelsea_fc(pen: Pen) -> None:
    pen.disc(50, 50, 45, "#1446a0")
    pen.ring(50, 50, 45, "#ffd23f", 4)
    pen.disc(50, 50, 30, "white")
    pen.line((38, 70, 44, 50, 40, 34, 58, 30), "#1446a0", 8)
    pen.line((44, 50, 62, 52, 66, 70), "#1446a0", 7)
    pen.line((62, 52, 72, 36), "#1446a0", 4)


def _fc_barcelona(pen: Pen) -> None:
    def painted(pen: Pen) -> None:
        pen.box(0, 0, 100, 100, "#a50044")
        for x in (12, 39, 66):
            pen.box(x, 40, x + 13, 100, "#004d98")
        pen.box(0, 0, 50, 36, "white")
        pen.box(24, 0, 32, 36, "#d7263d")
        pen.box(0, 18, 50, 25, "#d7263d")
        for x in (52, 64, 76):
            pen.box(x, 0, x + 6, 36, "#ffd23f")
        pen.box(0, 36, 100, 43, "#ffd23f")

    pen.clip(painted, _shield)


def _washington_commanders(pen: Pen) -> None:
    pen.poly((4, 18, 24, 18, 34, 58, 44, 26, 56, 26, 66, 58, 76, 18, 96, 18, 76, 86, 60, 86, 50, 56,
              40, 86, 24, 86), "#7a1733")  # fmt: skip
    pen.line((10, 22, 30, 80), "#ffb612", 3)
    pen.line((90, 22, 70, 80), "#ffb612", 3)


def _phoenix_suns(pen: Pen) -> None:
    pen.poly((8, 50, 29, 10, 71, 10, 92, 50, 71, 90, 29, 90), "#4b2a8c")
    pen.star(50, 50, 34, "#f9a01b", 12, 0.62)
    pen.disc(50, 50, 17, "#e56020")
    pen.line((34, 50, 66, 50), "#4b2a8c", 2)
    pen.line((50, 34, 50, 66), "#4b2a8c", 2)


def _la_galaxy(pen: Pen) -> None:
    def painted(pen: Pen) -> None:
        pen.box(0, 0, 100, 100, "#0b1f4b")
        pen.poly((0, 60, 0, 84, 100, 34, 100, 10), "#ffd23f")
        pen.box(0, 0, 100, 18, "white")

    pen.clip(painted, _shield)
    pen.star(38, 40, 14, "white", 4, 0.3)
    pen.star(64, 72, 9, "white", 4, 0.3)


def _amazon(pen: Pen) -> None:
    pen.box(10, 10, 90, 90, "#c89b66", 6)
    pen.box(42, 10, 58, 34, "#e8cfa6")
    pen.text(50, 46, "a", 46, "#1c2733")
    pen.arc(24, 40, 76, 80, 25, 155, "#ff9900", 6)
    pen.poly((70, 64, 82, 62, 78, 76), "#ff9900")


def _puma(pen: Pen) -> None:
    pen.poly((6, 8, 94, 8, 80, 92, 20, 92), "#e9e9ee")
    pen.poly((16, 72, 34, 46, 52, 38, 66, 24, 74, 18, 78, 24, 86, 30, 76, 36, 70, 46, 78, 60, 70,
              60, 60, 50, 48, 56, 40, 70, 30, 66, 20, 78), "#17151c")  # fmt: skip
    pen.line((20, 74, 14, 54, 20, 40), "#17151c", 4)


def _apple(pen: Pen) -> None:
    for x in (38, 62):
        pen.oval(x - 24, 28, x + 24, 82, "#aeb4c0")
        pen.oval(x - 18, 50, x + 18, 94, "#aeb4c0")
    pen.disc(92, 52, 15, "#00000000")
    pen.poly((50, 26, 54, 8, 70, 4, 66, 20), "#7d8594")


def _starbucks(pen: Pen) -> None:
    pen.disc(50, 50, 45, "#00704a")
    pen.ring(50, 50, 37, "white", 3)
    pen.box(30, 40, 36, 76, "white", 2)
    pen.box(64, 40, 70, 76, "white", 2)
    pen.oval(38, 32, 62, 62, "white")
    pen.poly((50, 14, 56, 28, 44, 28), "white")
    for y in (66, 74):
        pen.arc(36, y - 12, 64, y + 6, 20, 160, "white", 3)


def _nasa(pen: Pen) -> None:
    pen.disc(50, 50, 42, "#123a8c")
    for x, y in ((30, 30), (68, 26), (74, 66), (34, 74), (50, 20)):
        pen.star(x, y, 4, "white", 4, 0.35)
    pen.arc(8, 34, 92, 66, 200, 20, "white", 3)
    pen.poly((4, 70, 44, 46, 96, 14, 60, 54, 52, 64, 46, 56), "#e03c31")
    pen.text(50, 50, "NASA", 17, "white")


def _nike(pen: Pen) -> None:
    pen.box(5, 22, 95, 78, "#ff5a1f", 10)
    pen.poly((14, 52, 24, 66, 40, 66, 88, 34, 42, 54, 30, 54, 26, 46), "white")


def _chicago_bulls(pen: Pen) -> None:
    pen.poly((6, 10, 16, 28, 34, 32, 66, 32, 84, 28, 94, 10, 90, 40, 72, 48, 64, 88, 50, 96, 36, 88,
              28, 48, 10, 40), "#ce1141")  # fmt: skip
    pen.poly((6, 10, 16, 28, 14, 38, 8, 34), "white")
    pen.poly((94, 10, 84, 28, 86, 38, 92, 34), "white")
    pen.disc(40, 54, 4, "white")
    pen.disc(60, 54, 4, "white")
    pen.oval(40, 76, 60, 90, "#17151c")


def _real_madrid(pen: Pen) -> None:
    pen.disc(50, 60, 35, "#f3c64b")
    pen.disc(50, 60, 28, "white")
    pen.clip(
        lambda paint: paint.poly((20, 78, 34, 92, 82, 44, 68, 30), "#5b4bb5"),
        lambda mask: mask.disc(50, 60, 28, "white"),
    )
    pen.poly((30, 28, 24, 6, 38, 16, 50, 3, 62, 16, 76, 6, 70, 28), "#f3c64b")
    pen.disc(50, 18, 3, "#d7263d")


def _twitter(pen: Pen) -> None:
    pen.oval(20, 34, 74, 84, "#1da1f2")
    pen.disc(66, 34, 19, "#1da1f2")
    pen.poly((80, 26, 97, 30, 80, 42), "#f9a01b")
    pen.poly((8, 24, 46, 44, 36, 62, 12, 48), "#1da1f2")
    pen.poly((4, 80, 34, 66, 44, 84), "#1da1f2")
    pen.disc(71, 30, 4, "white")


def _new_york_knicks(pen: Pen) -> None:
    pen.poly((4, 14, 96, 14, 50, 96), "#1d63c4")
    pen.poly((16, 21, 84, 21, 50, 80), "#c6ccd6")
    pen.disc(50, 44, 20, "#f58426")
    pen.arc(30, 14, 70, 50, 20, 160, "#3a2415", 2)
    pen.line((50, 25, 50, 63), "#3a2415", 2)


def _google(pen: Pen) -> None:
    for start, end, fill in (
        (205, 320, "#ea4335"),
        (150, 205, "#fbbc05"),
        (45, 150, "#34a853"),
        (0, 45, "#4285f4"),
    ):
        pen.arc(8, 8, 92, 92, start, end, fill, 20)
    pen.box(50, 41, 92, 59, "#4285f4")


CRESTS: Mapping[str, Draw] = MappingProxyType(
    {
        "crest/chelsea_fc": _chelsea_fc,
        "crest/fc_barcelona": _fc_barcelona,
        "crest/washington_commanders": _washington_commanders,
        "crest/phoenix_suns": _phoenix_suns,
        "crest/la_galaxy": _la_galaxy,
        "crest/amazon": _amazon,
        "crest/puma": _puma,
        "crest/apple": _apple,
        "crest/starbucks": _starbucks,
        "crest/nasa": _nasa,
        "crest/nike": _nike,
        "crest/chicago_bulls": _chicago_bulls,
        "crest/real_madrid": _real_madrid,
        "crest/twitter": _twitter,
        "crest/new_york_knicks": _new_york_knicks,
        "crest/google": _google,
    }
)
"""How each organisation's sign is drawn."""
