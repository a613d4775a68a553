"""Draw things that no sentence names: a dog, a tree. They are only ever in the way."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mqspn.synthetic.pen import Draw, Pen


def _dog(pen: Pen) -> None:
    pen.oval(16, 14, 84, 84, "#c98d55")
    pen.oval(5, 16, 29, 70, "#7b4b26")
    pen.oval(71, 16, 95, 70, "#7b4b26")
    pen.oval(30, 48, 70, 92, "#f3dfc4")
    pen.disc(37, 40, 5, "#20202a")
    pen.disc(63, 40, 5, "#20202a")
    pen.oval(41, 50, 59, 63, "#20202a")
    pen.oval(44, 74, 56, 92, "#ff7a8a")


def _cat(pen: Pen) -> None:
    pen.poly((12, 6, 42, 26, 16, 50), "#8e929e")
    pen.poly((88, 6, 58, 26, 84, 50), "#8e929e")
    pen.oval(10, 18, 90, 92, "#a6aab6")
    for x in (34, 66):
        pen.oval(x - 8, 42, x + 8, 60, "#b6f36b")
        pen.oval(x - 2.5, 42, x + 2.5, 60, "#20202a")
    pen.poly((44, 64, 56, 64, 50, 72), "#ff7a8a")
    for y in (66, 74):
        pen.line((4, y - 3, 34, y), "#f5f5f8", 1.8)
        pen.line((96, y - 3, 66, y), "#f5f5f8", 1.8)


def _tree(pen: Pen) -> None:
    pen.box(43, 62, 57, 97, "#7b4b26")
    for x, y, r in ((50, 24, 21), (29, 42, 19), (71, 42, 19), (50, 54, 18)):
        pen.disc(x, y, r, "#57a639")
    for x, y in ((40, 28), (60, 38), (32, 48), (68, 52), (50, 56)):
        pen.disc(x, y, 4, "#e23b3b")


def _balloon(pen: Pen) -> None:
    pen.line((50, 70, 44, 82, 54, 96), "#8a8f9c", 2)
    pen.oval(22, 4, 78, 70, "#a44be0")
    pen.oval(33, 12, 46, 32, "#dcb4fa")
    pen.poly((50, 66, 43, 76, 57, 76), "#a44be0")


def _umbrella(pen: Pen) -> None:
    pen.line((50, 50, 50, 86), "#6b4423", 4)
    pen.arc(50, 76, 66, 96, 0, 180, "#6b4423", 4)
    pen.half(5, 8, 95, 54, "#1fb5ad")
    for x1, x2 in ((5, 27), (50, 73)):
        pen.poly((50, 9, x1, 53, x2, 53), "#f7f7f2")


def _coffee(pen: Pen) -> None:
    pen.poly((22, 26, 78, 26, 70, 94, 30, 94), "#f5f0e6")
    pen.box(18, 14, 82, 26, "#6b4423", 4)
    pen.poly((25, 46, 75, 46, 72, 74, 28, 74), "#b5835a")


def _cake(pen: Pen) -> None:
    for x, fill in ((32, "#4d96ff"), (50, "#6bcb77"), (68, "#ffd93d")):
        pen.box(x - 3, 18, x + 3, 42, fill)
        pen.oval(x - 3, 7, x + 3, 18, "#ff9f1c")
    pen.box(10, 40, 90, 92, "#ffc8dd", 6)
    pen.box(10, 62, 90, 70, "#8a5a44")
    for x in (16, 32, 48, 64, 80):
        pen.disc(x + 2, 44, 8, "white")


def _flower(pen: Pen) -> None:
    pen.line((50, 50, 50, 96), "#3a9d4c", 5)
    pen.oval(52, 70, 80, 84, "#3a9d4c")
    for x, y in ((50, 14), (72, 24), (78, 46), (62, 62), (38, 62), (22, 46), (28, 24)):
        pen.disc(x, y, 13, "#ffffff")
    pen.disc(50, 38, 15, "#ffc300")


def _bicycle(pen: Pen) -> None:
    pen.ring(24, 66, 21, "#20202a", 4)
    pen.ring(76, 66, 21, "#20202a", 4)
    for points in ((24, 66, 40, 38, 68, 38, 50, 66, 24, 66), (50, 66, 38, 32), (76, 66, 66, 28)):
        pen.line(points, "#2a9d5c", 4)
    pen.line((30, 31, 46, 31), "#6b4423", 5)
    pen.line((60, 26, 76, 28), "#20202a", 4)


def _pizza(pen: Pen) -> None:
    pen.poly((8, 20, 92, 20, 50, 96), "#ffd166")
    pen.box(4, 10, 96, 24, "#c8843c", 7)
    for x, y in ((32, 36), (60, 34), (46, 54), (54, 72)):
        pen.disc(x, y, 7, "#c1392b")
    pen.disc(72, 42, 3, "#4a7c2c")
    pen.disc(40, 68, 3, "#4a7c2c")


BYSTANDERS: Mapping[str, Draw] = MappingProxyType(
    {
        "thing/dog": _dog,
        "thing/cat": _cat,
        "thing/tree": _tree,
        "thing/balloon": _balloon,
        "thing/umbrella": _umbrella,
        "thing/coffee": _coffee,
        "thing/cake": _cake,
        "thing/flower": _flower,
        "thing/bicycle": _bicycle,
        "thing/pizza": _pizza,
    }
)
"""How each thing without a name is drawn."""
