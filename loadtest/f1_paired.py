"""Hold the F1 of this checkout's server against another commit's, on the same posts.

    python loadtest/f1_paired.py --against COMMIT

Both commits' committed model repositories are served, each with its own code, and answer the same
synthetic posts, drawn with a seed that nothing was tuned on. MNER, EEG and GMNER must agree within
--within points of F1. The interval is of a paired bootstrap: the posts are drawn again and again,
the same for both.

Exit code 0: all three agree; 1: one does not, or a post was not answered.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from comparison.checkout import Checkout, CheckoutError, other_checkout, this_checkout
from comparison.post_sets import cache_folder, draw_posts
from comparison.served_systems import TritonSystem
from comparison.server_process import SystemEndedError
from machine import describe_machine
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import Counts, PredictedEntity, score
from mqspn.evaluation.predictors import ServedPredictor
from mqspn.files.replace import replace_text

__all__ = ["METRICS", "app", "paired_difference"]

METRICS = ("mner", "eeg", "gmner")
_RESAMPLES = 2000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Answers = Sequence[Sequence[PredictedEntity]]


def paired_difference(
    posts: Sequence[Post], ours: Answers, theirs: Answers, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Compute both F1 in points, ours less theirs, and the middle 95 % of that over resamples."""
    counts = {
        name: [score([p.entities], [a]) for p, a in zip(posts, answers, strict=True)]
        for name, answers in (("ours", ours), ("theirs", theirs))
    }
    chosen = np.random.default_rng(seed).integers(len(posts), size=(_RESAMPLES, len(posts)))
    found: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        tables = {
            name: np.array([_table(getattr(scores, metric)) for scores in each])
            for name, each in counts.items()
        }
        resampled = {name: _f1(table[chosen].sum(axis=1)) for name, table in tables.items()}
        low, high = np.percentile(resampled["ours"] - resampled["theirs"], [2.5, 97.5])
        points = {name: float(_f1(table.sum(axis=0))) for name, table in tables.items()}
        found[metric] = {
            **{name: round(value, 3) for name, value in points.items()},
            "difference": round(points["ours"] - points["theirs"], 3),
            "interval": [round(float(low), 3), round(float(high), 3)],
        }
    return found


def _table(counts: Counts) -> tuple[int, int]:
    """Right answers, and gold entities and answers together: what F1 is made of."""
    return counts.correct, counts.gold + counts.predicted


def _f1(table: Any) -> Any:
    return 200 * table[..., 0] / np.maximum(table[..., 1], 1)


@app.command()
def f1_paired(
    against: Annotated[str, typer.Option(help="The commit to compare with.")],
    posts: Annotated[int, typer.Option(min=1, help="Synthetic posts.")] = 3000,
    seed: Annotated[
        int, typer.Option(help="Of the posts; training and tuning used others.")
    ] = 20260917,
    within: Annotated[float, typer.Option(help="Points of F1 that may lie between them.")] = 0.2,
    repository: Annotated[
        Path | None,
        typer.Option(help="Serve this model repository instead of the committed one.", exists=True),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where drawn posts are kept. Default: ~/.cache/mqspn.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Score both commits' servers on the same posts."""
    drawn = draw_posts(posts, seed, cache or cache_folder())
    try:
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-f1-")))
            other = other_checkout(against, work)
            ours = _answers(this_checkout(), drawn, work, name="ours", repository=repository)
            theirs = _answers(other, drawn, work, name="theirs")
    except (CheckoutError, SystemEndedError) as error:
        _fail(str(error))
    differing = sum(_bare(a) != _bare(b) for a, b in zip(ours, theirs, strict=True))
    f1 = paired_difference(drawn, ours, theirs)
    report = {
        "machine": describe_machine(),
        "against": other.name,
        "posts": len(drawn),
        "seed": seed,
        "within": within,
        "posts_answered_differently": differing,
        "f1": f1,
    }
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        replace_text(output, json.dumps(report, indent=2) + "\n")
    typer.echo(json.dumps(report, indent=2))
    far = [m for m, row in f1.items() if abs(row["difference"]) > within]
    if far:
        _fail(f"{', '.join(far)} differ by more than {within:g} points of F1")


def _answers(
    checkout: Checkout,
    posts: Sequence[Post],
    work: Path,
    *,
    name: str,
    repository: Path | None = None,
) -> list[list[PredictedEntity]]:
    """Serve ``checkout`` and ask it everything; nothing else runs meanwhile."""
    start = time.monotonic()
    system = TritonSystem(checkout, {}, work, name=name, repository=repository)
    with system:
        predictor = ServedPredictor(system.url, concurrency=16, progress=True)
        answers = predictor.predict(posts)
    if predictor.failures:
        first = predictor.failures[0]
        _fail(f"{len(predictor.failures)} posts were not answered, as {first.id}: {first.message}")
    typer.echo(f"{checkout.name}: {len(posts)} posts in {time.monotonic() - start:.0f} s", err=True)
    return answers


def _bare(answer: Sequence[PredictedEntity]) -> list[PredictedEntity]:
    """The entities without what no metric reads."""
    return [replace(entity, score=1.0, box=_rounded(entity.box)) for entity in answer]


def _rounded(box: tuple[float, float, float, float] | None) -> Any:
    return None if box is None else tuple(round(value) for value in box)


def _fail(message: str) -> NoReturn:
    typer.echo(f"f1_paired: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
