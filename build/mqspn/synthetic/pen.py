"""Draw cartoon objects on a transparent square, with a pen.

All coordinates are in units of a 100 x 100 square, x to the right and y down, whatever the
number of pixels behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Fill = str | tuple[int, int, int]
Draw = Callable[["Pen"], None]

CANVAS = 320
"""Side in pixels of a finished drawing."""

_SUPERSAMPLING = 2
_SCALE = CANVAS * _SUPERSAMPLING / 100
_INK = (38, 34, 48)
_INK_RADIUS = 4


class Pen:
    """A pen that draws on a transparent square of 100 x 100 units."""

    def __init__(self) -> None:
        side = CANVAS * _SUPERSAMPLING
        self._image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def oval(self, x1: float, y1: float, x2: float, y2: float, fill: Fill) -> None:
        """Draw a filled ellipse inside the box x1, y1, x2, y2."""
        self._draw.ellipse(_scaled(x1, y1, x2, y2), fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Fill) -> None:
        """Draw a filled circle around x, y."""
        self.oval(x - radius, y - radius, x + radius, y + radius, fill)

    def ring(self, x: float, y: float, radius: float, fill: Fill, width: float) -> None:
        """Draw a circle line whose outer edge has the radius given."""
        box = _scaled(x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, outline=fill, width=round(width * _SCALE))

    def box(
        self, x1: float, y1: float, x2: float, y2: float, fill: Fill, corner: float = 0
    ) -> None:
        """Draw a filled rectangle, with rounded corners where `corner` > 0."""
        self._draw.rounded_rectangle(_scaled(x1, y1, x2, y2), corner * _SCALE, fill=fill)

    def poly(self, points: Sequence[float], fill: Fill) -> None:
        """Draw a filled polygon through x, y, x, y, ..."""
        self._draw.polygon(_scaled(*points), fill=fill)

    def line(self, points: Sequence[float], fill: Fill, width: float) -> None:
        """Draw a line with round ends through x, y, x, y, ..."""
        self._draw.line(_scaled(*points), fill=fill, width=round(width * _SCALE), joint="curve")
        for x, y in ((points[0], points[1]), (points[-2], points[-1])):
            self.disc(x, y, width / 2, fill)

    def arc(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        start: float,
        end: float,
        fill: Fill,
        width: float,
    ) -> None:
        """Draw an ellipse's line from `start` to `end`, in degrees clockwise from the right."""
        box = _scaled(x1, y1, x2, y2)
        self._draw.arc(box, start, end, fill=fill, width=round(width * _SCALE))

    def pie(
        self, x1: float, y1: float, x2: float, y2: float, start: float, end: float, fill: Fill
    ) -> None:
        """Fill an ellipse's sector from `start` to `end`, in degrees clockwise from the right."""
        self._draw.pieslice(_scaled(x1, y1, x2, y2), start, end, fill=fill)

    def half(self, x1: float, y1: float, x2: float, y2: float, fill: Fill) -> None:
        """Draw the upper half of an ellipse: x1, y1, x2, y2 is the box of that half."""
        self.pie(x1, y1, x2, 2 * y2 - y1, 180, 360, fill)

    def star(
        self,
        x: float,
        y: float,
        radius: float,
        fill: Fill,
        points: int = 5,
        inner: float = 0.42,
        turn: float = 0,
    ) -> None:
        """Draw a star around x, y; `inner` is the ratio of its two radii, `turn` in degrees."""
        corners: list[float] = []
        for step in range(2 * points):
            angle = math.radians(turn - 90 + step * 180 / points)
            reach = radius * (inner if step % 2 else 1)
            corners += [x + reach * math.cos(angle), y + reach * math.sin(angle)]
        self.poly(corners, fill)

    def text(self, x: float, y: float, words: str, size: float, fill: Fill) -> None:
        """Write letters `size` units high, centred at x, y."""
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text(
            (x * _SCALE, y * _SCALE),
            words,
            fill=fill,
            font=font,
            anchor="mm",
            stroke_width=round(size * _SCALE * 0.04),
            stroke_fill=fill,
        )

    def clip(self, painted: Draw, mask: Draw) -> None:
        """Draw what `painted` draws, but only where `mask` draws."""
        paint, cut = Pen(), Pen()
        painted(paint)
        mask(cut)
        alpha = Image.new("L", self._image.size, 0)
        alpha.paste(paint._image.getchannel("A"), (0, 0), cut._image.getchannel("A"))
        self._image.paste(paint._image.convert("RGB"), (0, 0), alpha)

    def finished(self) -> Image.Image:
        """Return the drawing with an ink contour: RGBA, CANVAS x CANVAS pixels."""
        drawing = self._image.resize((CANVAS, CANVAS), Image.Resampling.BOX)
        contour = drawing.getchannel("A").filter(ImageFilter.MaxFilter(2 * _INK_RADIUS + 1))
        inked = Image.new("RGBA", drawing.size, (*_INK, 0))
        inked.putalpha(contour.filter(ImageFilter.GaussianBlur(1)))
        return Image.alpha_composite(inked, drawing)


def _scaled(*values: float) -> list[float]:
    return [value * _SCALE for value in values]
