"""Draw backgrounds: soft, cluttered pictures without contours, so that objects stand out."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Paint = Callable[[Random, Image.Image, ImageDraw.ImageDraw], None]


def draw_background(rng: Random, width: int, height: int) -> Image.Image:
    """Draw an RGB picture of width x height pixels that shows no object of any class.

    It is drawn at half size and enlarged, which blurs it like the back of a photograph.
    """
    small = Image.new("RGB", (-(-width // 2), -(-height // 2)), _colour(rng))
    draw = ImageDraw.Draw(small)
    rng.choice(_KINDS)(rng, small, draw)
    for _ in range(rng.randint(0, 9)):
        _clutter(rng, small, draw)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _colour(rng: Random, light: tuple[float, float] = (0.35, 0.95)) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0.05, 0.5), rng.uniform(*light)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def _gradient(rng: Random, image: Image.Image, _: ImageDraw.ImageDraw) -> None:
    ramp = Image.linear_gradient("L") if rng.random() < 0.7 else Image.radial_gradient("L")
    ramp = ramp.rotate(rng.choice((0, 90, 180, 270))).resize(image.size)
    image.paste(Image.composite(_flat(rng, image), _flat(rng, image), ramp))


def _flat(rng: Random, image: Image.Image) -> Image.Image:
    return Image.new("RGB", image.size, _colour(rng))


def _stripes(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    colour, step, slope = _colour(rng), rng.randint(10, 36), rng.randint(-60, 60)
    for x in range(-100, width + 100, step):
        draw.line((x, 0, x + slope, height), fill=colour, width=max(2, step // 3))


def _checker(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    colour, step = _colour(rng), rng.randint(14, 34)
    for row, y in enumerate(range(0, height, step)):
        for x in range((row % 2) * step, width, 2 * step):
            draw.rectangle((x, y, x + step, y + step), fill=colour)


def _blobs(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    colours = [_colour(rng) for _ in range(3)]
    for _ in range(rng.randint(8, 26)):
        x, y, radius = rng.randrange(width), rng.randrange(height), rng.randint(5, 34)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.choice(colours))


def _landscape(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    sky = rng.choice(((150, 205, 240), (250, 205, 160), (60, 70, 120), (200, 215, 225)))
    ground = rng.choice(((120, 170, 95), (215, 190, 140), (150, 150, 155), (95, 140, 165)))
    horizon = round(height * rng.uniform(0.45, 0.8))
    draw.rectangle((0, 0, width, horizon), fill=sky)
    draw.rectangle((0, horizon, width, height), fill=ground)
    for _ in range(rng.randint(0, 4)):
        x, y, reach = rng.randrange(width), rng.randrange(horizon), rng.randint(14, 34)
        cloud = tuple(min(255, part + 30) for part in sky)
        draw.ellipse((x - reach, y - reach // 3, x + reach, y + reach // 3), fill=cloud)
    for _ in range(rng.randint(0, 3)):
        x, rise, reach = rng.randrange(width), rng.randint(8, 36), rng.randint(30, 80)
        hill = tuple(round(part * 0.85) for part in ground)
        draw.ellipse((x - reach, horizon - rise, x + reach, horizon + rise), fill=hill)
    draw.rectangle((0, horizon + 18, width, height), fill=ground)


def _room(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    floor = round(height * rng.uniform(0.6, 0.85))
    draw.rectangle((0, floor, width, height), fill=_colour(rng, (0.3, 0.7)))
    draw.rectangle((0, floor - 4, width, floor), fill=_colour(rng, (0.6, 0.95)))
    for _ in range(rng.randint(1, 3)):
        x, y = rng.randrange(width), rng.randrange(max(1, floor // 2))
        w, h = rng.randint(20, 50), rng.randint(18, 44)
        draw.rectangle((x, y, x + w, y + h), fill=_colour(rng), outline=_colour(rng), width=3)


def _crowd(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    step = rng.randint(9, 15)
    for row, y in enumerate(range(height // 4, height + step, step)):
        for x in range((row % 2) * step // 2, width, step):
            draw.ellipse((x, y, x + step - 2, y + step - 2), fill=_colour(rng, (0.3, 0.75)))


def _clutter(rng: Random, image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, height = image.size
    x, y, reach = rng.randrange(width), rng.randrange(height), rng.randint(3, 22)
    colour = _colour(rng)
    shape = rng.randrange(4)
    if shape == 0:
        draw.ellipse((x, y, x + reach, y + reach), fill=colour)
    elif shape == 1:
        draw.rectangle((x, y, x + reach, y + rng.randint(3, 22)), fill=colour)
    elif shape == 2:
        points = [(x + rng.randint(-22, 22), y + rng.randint(-22, 22)) for _ in range(3)]
        draw.polygon(points, fill=colour)
    else:
        end = (x + rng.randint(-50, 50), y + rng.randint(-50, 50))
        draw.line(((x, y), end), fill=colour, width=rng.randint(1, 4))


_KINDS: tuple[Paint, ...] = (
    _gradient,
    _stripes,
    _checker,
    _blobs,
    _landscape,
    _landscape,
    _room,
    _room,
    _crowd,
)
