"""The register of looks: every kind of object that an image can hold."""

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

LOOKS: tuple[str, ...] = tuple(_DRAWINGS)
"""Every look's name, `kind/thing`, in a stable order: named ones and those nobody names."""


@cache
def drawn_look(look: str) -> Image.Image:
    """The look as an RGBA picture cut to its own extent, at most CANVAS pixels a side.

    Callers must not change the picture: it is kept.
    """
    if look not in _DRAWINGS:
        raise ValueError(f"there is no look {look!r}: take one of mqspn.synthetic.LOOKS")
    pen = Pen()
    _DRAWINGS[look](pen)
    picture = pen.finished()
    return picture.crop(picture.getchannel("A").getbbox())
