"""The object classes: every kind of object that an image can hold."""

from __future__ import annotations

from functools import cache

from PIL import Image

from mqspn.synthetic.bystanders import BYSTANDERS
from mqspn.synthetic.crests import CRESTS
from mqspn.synthetic.landmarks import LANDMARKS
from mqspn.synthetic.pen import Pen
from mqspn.synthetic.people import PEOPLE
from mqspn.synthetic.products import PRODUCTS

_DRAWINGS = {**PEOPLE, **CRESTS, **LANDMARKS, **PRODUCTS, **BYSTANDERS}

OBJECT_CLASSES: tuple[str, ...] = tuple(_DRAWINGS)
"""Every class's name, `kind/thing`, in a stable order: named ones and those nobody names."""


@cache
def draw_object(object_class: str) -> Image.Image:
    """Draw an object of a class, cut to its own extent, as RGBA of at most CANVAS pixels a side.

    Callers must not change the picture: it is kept.
    """
    if object_class not in _DRAWINGS:
        known = "mqspn.synthetic.OBJECT_CLASSES"
        raise ValueError(f"there is no object class {object_class!r}: take one of {known}")
    pen = Pen()
    _DRAWINGS[object_class](pen)
    picture = pen.finished()
    return picture.crop(picture.getchannel("A").getbbox())
