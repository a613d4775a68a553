"""Draw posts by a law: reposts by Zipf, text-only ones, images of several sizes, bad input.

zipf=1,text_only=0.25,bad=0.05,0.02mp=0.2,1mp=0.3,12mp=0.02,distinct=500
"""

from __future__ import annotations

import difflib
import io
import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw
from posts import BadImage, LoadPost

__all__ = ["Drawn", "Mix", "PostMix"]

_ALLOWED = (
    "what is allowed: zipf (exponent, 0: all posts alike), text_only, bad (shares), distinct "
    "(number of posts), and shares of images by size in megapixels, as 0.02mp=0.2 or 12mp=0.02"
)
_KEYS = ("zipf", "text_only", "bad", "distinct")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)mp")
_MOST_MEGAPIXELS = 50.0
_MARK_BITS = 17  # enough for 100,000 posts


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A law of posts.

    ``zipf``: the post of rank r is drawn as often as 1 / r^zipf; 0: all alike. ``text_only`` and
    ``bad`` are shares of what is sent; ``sizes`` are shares of the images, by megapixels: the rest
    stay as they are. ``distinct``: so many different posts; 0: as many as there are.
    """

    zipf: float = 0.0
    text_only: float = 0.2
    bad: float = 0.05
    distinct: int = 0
    sizes: dict[float, float] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> Mix:
        """Read ``zipf=1,text_only=0.25,12mp=0.02``; raises ValueError with what is allowed."""
        values: dict[str, float] = {}
        sizes: dict[float, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, written = (word.strip() for word in part.partition("="))
            size = _SIZE.fullmatch(name)
            if size is None and name not in _KEYS:
                near = difflib.get_close_matches(name, _KEYS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{part!r} is not of a mix{hint}; {_ALLOWED}")
            try:
                value = float(written)
            except ValueError:
                raise ValueError(f"{part!r} has no number; {_ALLOWED}") from None
            if size is not None:
                sizes[float(size[1])] = value
            else:
                values[name] = value
        distinct = values.pop("distinct", 0.0)
        if not distinct.is_integer():
            raise ValueError(f"{text!r}: distinct is a whole number of posts")
        mix = Mix(**values, distinct=int(distinct), sizes=sizes)
        mix._check(text)
        return mix

    def _check(self, text: str) -> None:
        shares = [self.text_only, self.bad, *self.sizes.values()]
        if any(not 0 <= share <= 1 for share in shares):
            raise ValueError(f"{text!r}: a share is from 0 to 1")
        if self.text_only + self.bad > 1 or sum(self.sizes.values()) > 1 + 1e-9:
            raise ValueError(f"{text!r}: shares come to more than 1")
        if not 0 <= self.zipf <= 10 or not 0 <= self.distinct <= 100_000:
            raise ValueError(f"{text!r}: zipf is from 0 to 10, distinct from 0 to 100000")
        if any(not 0 < size <= _MOST_MEGAPIXELS for size in self.sizes):
            raise ValueError(f"{text!r}: images have at most {_MOST_MEGAPIXELS:g} megapixels")


@dataclass(frozen=True)
class Drawn:
    """A post to send. ``name`` is its kind; ``code`` is the error that it must be refused with."""

    name: str
    text: str
    image: bytes | None
    code: str | None = None


class PostMix:
    """Draws posts by ``mix``; the same ``seed`` draws the same posts in the same order.

    The images are made here, once: an image at another size, and, where more posts are asked for
    than there are, marked with a number in squares, so that no two have the same pixels.
    """

    def __init__(
        self, mix: Mix, posts: Sequence[LoadPost], bad: Sequence[BadImage], *, seed: int = 0
    ) -> None:
        self._mix, self._bad = mix, bad
        self._random = random.Random(seed)
        count = mix.distinct or len(posts)
        with_image = [post for post in posts if post.image is not None]
        if not with_image:
            raise ValueError("no post has an image; the mix needs some")
        layout = random.Random(seed + 1)
        sizes = layout.choices(
            [*mix.sizes, None],
            [*mix.sizes.values(), max(0.0, 1 - sum(mix.sizes.values()))],
            k=count,
        )
        self._posts = [
            self._image_post(with_image[i % len(with_image)], i // len(with_image), sizes[i])
            for i in range(count)
        ]
        self._texts = [post.text for post in posts]
        self._weights = list(
            itertools.accumulate(1 / rank**mix.zipf for rank in range(1, count + 1))
        )

    def draw(self) -> Drawn:
        """Draw the next post."""
        kind = self._random.random()
        if kind < self._mix.bad:
            bad = self._random.choice(self._bad)
            return Drawn(f"bad image, {bad.code}", "A bad image", bad.content, bad.code)
        if kind < self._mix.bad + self._mix.text_only:
            return Drawn("text alone", self._random.choice(self._texts), None)
        return self._random.choices(self._posts, cum_weights=self._weights)[0]

    @staticmethod
    def _image_post(post: LoadPost, variant: int, megapixels: float | None) -> Drawn:
        if post.image is None:
            raise ValueError(f"post {post.id} has no image")
        if not variant and megapixels is None:
            return Drawn("text and image", post.text, post.image)
        name = "text and image" if megapixels is None else f"image of {megapixels:g} megapixels"
        return Drawn(name, post.text, _remade(post.image, variant, megapixels))


def _remade(content: bytes, variant: int, megapixels: float | None) -> bytes:
    """Make a JPEG of an image: of ``megapixels``, and marked where ``variant`` is not 0."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if megapixels is not None:
        scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    if variant:
        _mark(image, variant)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _mark(image: Image.Image, variant: int) -> None:
    """Draw ``variant`` in black and white squares along the upper edge: its bits."""
    side = max(1, image.width // 64)
    draw = ImageDraw.Draw(image)
    for bit in range(_MARK_BITS):
        colour = (255, 255, 255) if variant >> bit & 1 else (0, 0, 0)
        draw.rectangle((bit * side, 0, (bit + 1) * side - 1, side - 1), fill=colour)
