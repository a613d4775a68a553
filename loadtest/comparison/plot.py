"""Draw a run: every round a dot, the median a bar."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from comparison.post_sets import KINDS
from comparison.rows import Run

matplotlib.use("Agg")
from matplotlib import pyplot

__all__ = ["draw_run"]

_TITLES = {"images": "posts with images", "text": "text-only posts"}


def draw_run(run: Run, path: Path) -> None:
    """Write the posts a second of every system and level to ``path``, PNG or SVG."""
    figure, axes = pyplot.subplots(1, len(KINDS), figsize=(11, 4.5), layout="constrained")
    order = run.header["systems"]
    for axis, kind in zip(axes, KINDS, strict=True):
        found: dict[tuple[str, int], list[float]] = {}
        for row in run.rows:
            if row.kind == kind:
                found.setdefault((row.system, row.level), []).append(row.posts_per_second)
        bars = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
        for place, key in enumerate(bars):
            axis.bar(place, float(np.median(found[key])), width=0.6, color="#b7c9e2")
            spots = np.linspace(place - 0.15, place + 0.15, len(found[key]))
            axis.plot(spots, found[key], "o", markersize=3, color="#1f3b63")
        names = {"against": run.header["against"]}
        unit = {True: "batch", False: "callers"}
        labels = [f"{names.get(s, s)}\n{unit[s == 'chain']} {n}" for s, n in bars]
        axis.set_xticks(range(len(bars)), labels, fontsize=7, rotation=45, ha="right")
        axis.set_ylim(bottom=0)
        axis.set_ylabel("posts a second")
        axis.set_title(_TITLES[kind])
    machine = run.header["machine"]
    figure.suptitle(f"{run.rounds} rounds; {machine['processor']}, {machine['cores']} cores")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
