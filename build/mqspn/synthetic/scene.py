"""Compose an image: place objects of given classes, each varied, on a background.

Boxes are integer pixels x1, y1, x2, y2 of the image, from its upper left corner, with x2 and y2
exclusive (x2 <= width, y2 <= height).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mqspn.synthetic.background import draw_background
from mqspn.synthetic.object_classes import draw_object

Box = tuple[int, int, int, int]

MIN_VISIBLE = 0.65
"""Least share of an object's pixels that neither the border nor another object hides."""
MIN_VISIBLE_KEY = 0.85
"""The same for objects on which an entity's type depends."""
MAX_IOU = 0.35
"""Largest IoU of two objects' boxes."""

_SHORTER_SIDE = (240, 400)
_ASPECT = (0.66, 1.5)
_SIZE = (0.20, 0.55)
_SMALLEST = 0.18
_SOLID = 96


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object in the image: its class, its box in pixels, and its visible share (0 to 1)."""

    object_class: str
    box: Box
    visible: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A composed RGB image and its objects, those at the back first."""

    image: Image.Image
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, kw_only=True)
class _Sprite:
    object_class: str
    picture: Image.Image
    solid: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Placed:
    sprite: _Sprite
    left: int
    top: int
    box: Box


def compose_scene(
    rng: Random, classes: Sequence[str], *, key_classes: Collection[str] = ()
) -> Scene:
    """Compose an image that holds one object for each item of `classes`, an object class.

    Each side of the image has 240 to 400 pixels. All chance comes from `rng`. Objects of
    `key_classes` lie in front and stay visible to at least MIN_VISIBLE_KEY, all others to
    MIN_VISIBLE; no two boxes reach an IoU of MAX_IOU.
    """
    width, height = _image_size(rng)
    order = sorted(rng.sample(list(classes), len(classes)), key=lambda name: name in key_classes)
    largest = _SIZE[1] if len(order) < 4 else 0.42
    image = draw_background(rng, width, height)
    while True:
        placed = _placed(rng, order, key_classes, (width, height), largest)
        if placed is not None:
            break
        largest = max(_SIZE[0], largest * 0.93)
    visible = _visible(placed, (width, height))
    for item in placed:
        image.paste(item.sprite.picture, (item.left, item.top), item.sprite.picture)
    return Scene(
        image=_with_grain(rng, image),
        objects=tuple(
            SceneObject(
                object_class=item.sprite.object_class, box=item.box, visible=round(share, 3)
            )
            for item, share in zip(placed, visible, strict=True)
        ),
    )


def _image_size(rng: Random) -> tuple[int, int]:
    aspect = math.exp(rng.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1])))
    longest = min(_SHORTER_SIDE[1], _SHORTER_SIDE[1] / max(aspect, 1 / aspect))
    shorter = rng.uniform(_SHORTER_SIDE[0], longest)
    if aspect < 1:
        return round(shorter), round(shorter / aspect)
    return round(shorter * aspect), round(shorter)


def _placed(
    rng: Random,
    order: Sequence[str],
    key_classes: Collection[str],
    size: tuple[int, int],
    largest: float,
) -> list[_Placed] | None:
    """Every object's place, or None where they did not fit."""
    placed: list[_Placed] = []
    least = [MIN_VISIBLE_KEY if name in key_classes else MIN_VISIBLE for name in order]
    for object_class in order:
        share = rng.uniform(max(_SMALLEST, min(_SIZE[0], largest)), largest)
        sprite = _sprite(rng, object_class, share * min(size))
        for _ in range(20):
            candidate = _at_random_place(rng, sprite, size)
            if candidate is None or any(
                _iou(candidate.box, other.box) >= MAX_IOU for other in placed
            ):
                continue
            shares = _visible([*placed, candidate], size)
            if all(share >= need for share, need in zip(shares, least, strict=False)):
                placed.append(candidate)
                break
        else:
            return None
    return placed


def _sprite(rng: Random, object_class: str, longer_side: float) -> _Sprite:
    """Draw an object of a class at a size in pixels, stretched, rotated and shifted in colour."""
    picture = draw_object(object_class)
    stretch = rng.uniform(0.9, 1.1)
    angle = rng.uniform(-15, 15)
    ratio = longer_side / (max(picture.size) * 1.08)
    width = max(8, round(picture.width * ratio * stretch))
    height = max(8, round(picture.height * ratio / stretch))
    picture = picture.resize((width, height), Image.Resampling.BOX, reducing_gap=1.5)
    picture = picture.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    alpha = picture.getchannel("A")
    shifted = picture.convert("RGB").convert("RGB", _colour_shift(rng))
    shifted.putalpha(alpha)
    shifted = shifted.crop(alpha.point(lambda level: 255 * (level >= _SOLID)).getbbox())
    solid = np.asarray(shifted.getchannel("A")) >= _SOLID
    return _Sprite(object_class=object_class, picture=shifted, solid=solid)


def _colour_shift(rng: Random) -> tuple[float, ...]:
    """A 3 x 4 matrix: hue turned by up to 10 degrees, saturation and brightness scaled."""
    hue = math.radians(rng.uniform(-10, 10))
    saturation, brightness = rng.uniform(0.85, 1.1), rng.uniform(0.8, 1.2)
    u, w = saturation * math.cos(hue), saturation * math.sin(hue)
    rows = (
        (0.299 + 0.701 * u + 0.168 * w, 0.587 * (1 - u) + 0.330 * w, 0.114 * (1 - u) - 0.497 * w),
        (0.299 * (1 - u) - 0.328 * w, 0.587 + 0.413 * u + 0.035 * w, 0.114 * (1 - u) + 0.292 * w),
        (0.299 * (1 - u) + 1.250 * w, 0.587 * (1 - u) - 1.050 * w, 0.114 + 0.886 * u - 0.203 * w),
    )
    return tuple(value for row in rows for value in (*(brightness * part for part in row), 0.0))


def _at_random_place(rng: Random, sprite: _Sprite, size: tuple[int, int]) -> _Placed | None:
    width, height = size
    rows, columns = sprite.solid.shape
    over = 0.12 if rng.random() < 0.15 else 0.0
    left = round(rng.uniform(-over * columns, max(0.0, width - columns * (1 - over))))
    top = round(rng.uniform(-over * rows, max(0.0, height - rows * (1 - over))))
    inside = sprite.solid[max(0, -top) : height - top, max(0, -left) : width - left]
    xs, ys = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
    if not len(xs):
        return None
    x, y = max(0, left), max(0, top)
    box = (x + int(xs[0]), y + int(ys[0]), x + int(xs[-1]) + 1, y + int(ys[-1]) + 1)
    return _Placed(sprite=sprite, left=left, top=top, box=box)


def _visible(placed: Sequence[_Placed], size: tuple[int, int]) -> list[float]:
    """The share of each object's pixels that is inside the image and under no later object."""
    width, height = size
    owner = np.full((height, width), 255, np.uint8)
    for number, item in enumerate(placed):
        solid, top, left = item.sprite.solid, item.top, item.left
        inside = solid[max(0, -top) : height - top, max(0, -left) : width - left]
        y, x = max(0, top), max(0, left)
        owner[y : y + inside.shape[0], x : x + inside.shape[1]][inside] = number
    shares = []
    for number, item in enumerate(placed):
        x1, y1, x2, y2 = item.box
        seen = np.count_nonzero(owner[y1:y2, x1:x2] == number)
        shares.append(float(seen) / float(np.count_nonzero(item.sprite.solid)))
    return shares


def _iou(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return across * down / (sum(areas) - across * down)


def _with_grain(rng: Random, image: Image.Image) -> Image.Image:
    """Add grey noise of up to 24 levels, as of a camera in poor light, to two images in three."""
    if rng.random() < 1 / 3:
        return image
    reach = rng.randint(2, 12)
    noise = np.random.default_rng(rng.getrandbits(64)).integers(
        -reach, reach + 1, (image.height, image.width, 1), dtype=np.int16
    )
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
