"""Say when posts arrive: a rate that changes by a shape, at random moments or evenly.

A shape is a list of points (share of the run, share of the rate), with straight lines between.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, get_args

__all__ = ["SHAPES", "Arrivals", "arrival_times", "level_at"]

Arrivals = Literal["poisson", "constant"]
ARRIVALS = get_args(Arrivals)

Points = Sequence[tuple[float, float]]

SHAPES: dict[str, Points] = {
    #: The rate, all the time.
    "steady": ((0, 1), (1, 1)),
    #: From nothing to the rate, evenly.
    "ramp": ((0, 0), (1, 1)),
    #: A quarter of the rate, the whole rate for a tenth of the run, a quarter again.
    "spike": ((0, 0.25), (0.45, 0.25), (0.45, 1), (0.55, 1), (0.55, 0.25), (1, 0.25)),
    #: The rate, for hours, after a short way up.
    "soak": ((0, 0), (0.02, 1), (1, 1)),
}


def level_at(shape: Points, place: float) -> float:
    """Give the share of the rate at ``place``, 0 to 1 of the run."""
    for (x0, y0), (x1, y1) in pairwise(shape):
        if x0 <= place <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (place - x0) / (x1 - x0)
    return shape[-1][1]


def arrival_times(
    rate: float, seconds: float, *, shape: str, arrivals: Arrivals, seed: int
) -> Iterator[float]:
    """Give the seconds from the beginning at which posts arrive, in order.

    ``rate`` is the shape's highest, in posts a second. ``poisson``: each post comes by itself, as
    from many users who know nothing of each other; ``constant``: evenly. ``seconds`` may be
    infinite where the shape is steady.
    """
    if math.isinf(seconds) and shape != "steady":
        raise ValueError(f"shape {shape} needs a run time: it says how long the shape is")
    chooser = random.Random(seed)
    due = 0.0  # posts that are to have come
    if math.isinf(seconds):
        while True:
            due += _step(chooser, arrivals)
            yield due / rate
    come = 0.0  # posts at the segment's beginning
    due += _step(chooser, arrivals)
    for (x0, y0), (x1, y1) in pairwise(SHAPES[shape]):
        start, length = x0 * seconds, (x1 - x0) * seconds
        low, high = y0 * rate, y1 * rate
        posts = length * (low + high) / 2
        while length and due <= come + posts:
            yield start + _time_of(due - come, low, high, length)
            due += _step(chooser, arrivals)
        come += posts


def _step(chooser: random.Random, arrivals: Arrivals) -> float:
    return chooser.expovariate(1.0) if arrivals == "poisson" else 1.0


def _time_of(posts: float, low: float, high: float, length: float) -> float:
    """Find when ``posts`` have come, where the rate goes from ``low`` to ``high`` in ``length``."""
    slope = (high - low) / length
    if abs(slope) < 1e-12:
        return posts / low
    return min(length, (math.sqrt(max(0.0, low * low + 2 * slope * posts)) - low) / slope)
