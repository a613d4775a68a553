"""The commands `mqspn evaluate` and `mqspn tune`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from mqspn.data.posts import Post
    from mqspn.evaluation.offline import CheckpointPredictor
    from mqspn.evaluation.tune import Metric

__all__ = ["evaluate", "tune"]

#: Region proposals are scored at these K besides the checkpoint's own.
_RECALL_AT = (1, 4, 8)

_Data = Annotated[Path, typer.Option(help="Data set folder: txt/, xml/, images/.")]
_Proposals = Annotated[
    Path | None,
    typer.Option(help="Take the regions of this folder (`mqspn propose`) instead of proposing."),
]
_Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, cuda:1.")]


def evaluate(
    data: _Data,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Evaluate this checkpoint offline.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Evaluate the served ensemble at HOST:PORT (gRPC).")
    ] = None,
    settings: Annotated[
        str, typer.Option(help="With --url: settings that name the types (and K).")
    ] = "base",
    proposals: _Proposals = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every wrong answer with its kind, as JSON lines."),
    ] = None,
    device: _Device = "auto",
) -> None:
    """Score a checkpoint, or a server, on annotated posts; prints one JSON object."""
    from mqspn.data.reader import read_split
    from mqspn.evaluation.evaluate import evaluate as score
    from mqspn.files.replace import replacing_text
    from mqspn.settings import load_settings

    if (checkpoint is None) == (url is None):
        raise typer.BadParameter("give either --checkpoint DIR or --url HOST:PORT")
    with ExitStack() as stack:
        lines = None
        if errors is not None:
            lines = stack.enter_context(replacing_text(errors))
        if url is not None:
            from mqspn.evaluation.predictors import ServedPredictor

            named = load_settings(settings)
            posts = read_split(data, split, labels=named.label_names)
            served = ServedPredictor(
                url, progress=True, proposals=proposals, regions=named.network.regions
            )
            result = score(posts, served, errors=lines)
            result["url"] = url
        else:
            from mqspn.checkpoint import load_checkpoint
            from mqspn.device import pick_device
            from mqspn.evaluation.offline import CheckpointPredictor

            assert checkpoint is not None
            loaded = load_checkpoint(checkpoint)
            loaded.model.to(pick_device(device))
            posts = read_split(data, split, labels=loaded.settings.label_names)
            predictor = CheckpointPredictor(loaded, proposals)
            result = score(posts, predictor, errors=lines)
            result["checkpoint"] = checkpoint.resolve().name
            result["proposals"] = _recall(posts, predictor)
        typer.echo(json.dumps(result, indent=2))


def tune(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder; its settings.json changes.")],
    data: _Data,
    split: Annotated[str, typer.Option(help="Posts to choose on; never those to report on.")] = (
        "dev"
    ),
    metric: Annotated[str, typer.Option(help="gmner or mner: the F1 to raise.")] = "gmner",
    proposals: _Proposals = None,
    limit: Annotated[
        int | None, typer.Option(help="Choose on the first so many posts.", min=2)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print only.")] = False,
    device: _Device = "auto",
) -> None:
    """Choose decoding thresholds on annotated posts and keep them in the checkpoint.

    Prints one JSON object: settings and scores before and after, and how well the choice holds on
    posts that it did not see. Settings whose gain does not hold there are not written.
    """
    from mqspn.checkpoint import load_checkpoint
    from mqspn.data.reader import read_split
    from mqspn.device import pick_device
    from mqspn.evaluation.offline import network_outputs
    from mqspn.evaluation.tune import check_posts, check_writable, write_decoding
    from mqspn.evaluation.tune import tune as choose
    from mqspn.regions.states import compute_region_states

    if metric not in ("gmner", "mner"):
        raise typer.BadParameter(f"{metric!r} is not gmner or mner", param_hint="--metric")
    loaded = load_checkpoint(checkpoint)
    if not dry_run:
        check_writable(checkpoint)
    loaded.model.to(pick_device(device))
    posts = read_split(data, split, labels=loaded.settings.label_names)[:limit]
    check_posts(posts)
    regions = compute_region_states(loaded.model, loaded.settings, posts, proposals=proposals)
    tuning = choose(
        list(network_outputs(loaded, posts, regions, progress=True)),
        loaded.settings.decoding,
        types=[t.name for t in loaded.settings.types],
        metric=cast("Metric", metric),
    )
    result = {"checkpoint": checkpoint.resolve().name, "split": split, "posts": len(posts)}
    result |= {**tuning.to_json(), "written": False}
    try:
        if tuning.holds and not dry_run:
            write_decoding(checkpoint, tuning.chosen)
            result["written"] = True
    finally:  # what was found is not lost with a write that fails
        typer.echo(json.dumps(result, indent=2))


def _recall(posts: Sequence[Post], predictor: CheckpointPredictor) -> dict[str, Any]:
    """Proposal recall at the checkpoint's K, and under ``at`` for several K up to it."""
    import numpy as np

    from mqspn.regions.recall import proposal_recall

    k = predictor.checkpoint.settings.network.regions
    gold = [[entity.boxes for entity in post.entities] for post in posts]
    proposed = [predictor.proposals.get(post.id, np.empty((0, 4))) for post in posts]
    at = [
        proposal_recall(gold, proposed, k=n).to_json()
        for n in sorted({n for n in _RECALL_AT if n < k} | {k})
    ]
    return {**at[-1], "at": at}
