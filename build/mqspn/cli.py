"""The `mqspn` command. Each subcommand imports what it needs: a small install starts fast."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from mqspn_client import MqspnError
from mqspn_client.command import batch, predict

from mqspn.data.command import app as data_app
from mqspn.serving.command import serve

__all__ = ["app", "main"]

app = typer.Typer(
    help="Grounded multimodal named entity recognition: train, export, serve and call MQSPN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.command()(predict)
app.command()(batch)
app.add_typer(data_app, name="data")

#: Which extra brings a missing package.
_EXTRAS = {
    **dict.fromkeys(
        ("torch", "transformers", "safetensors", "scipy", "onnx", "yaml", "dacite"), "build"
    ),
    **dict.fromkeys(("onnxruntime", "tokenizers", "pytriton"), "server"),
    "locust": "loadtest",
}

Data = Annotated[Path, typer.Option(help="Data set folder: txt/, xml/, images/.")]
CheckpointFolder = Annotated[Path, typer.Option(help="Checkpoint folder.")]
SettingsName = Annotated[str, typer.Option(help="Settings file, or a packaged one: demo, base.")]
Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, cuda:1.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting, as network.layers=2.")
]


@app.command("draw-posts")
def draw_posts_command(
    split: Annotated[str, typer.Option(help="train, dev or test.")],
    count: Annotated[int, typer.Option(help="Number of posts.", min=1)],
    output: Annotated[Path, typer.Option(help="Folder to write to; it may hold other splits.")],
    seed: Annotated[int, typer.Option(help="Same split and seed: same posts.", min=0)] = 0,
) -> None:
    """Draw annotated posts of a small world, in the Twitter-GMNER layout."""
    from mqspn.drawing import draw_posts

    draw_posts(split=split, count=count, seed=seed, output=output, progress=True)


@app.command()
def train(
    data: Data,
    output: Annotated[Path, typer.Option(help="Where the checkpoint goes.")],
    settings: SettingsName = "demo",
    run: Annotated[
        Path | None, typer.Option(help="The run's state; resumed if there. Default: OUTPUT.run")
    ] = None,
    device: Device = "auto",
    set_: Set = None,
) -> None:
    """Train a checkpoint; the same command goes on after a kill."""
    from mqspn.settings import load_settings
    from mqspn.training.train import train as run_training

    run_training(
        load_settings(settings, _overrides(set_)),
        data=data,
        run=run or output.with_name(output.name + ".run"),
        output=output,
        device=device,
    )
    typer.echo(f"checkpoint: {output}")


@app.command()
def evaluate(
    data: Data,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Evaluate this checkpoint offline.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Evaluate the served ensemble at HOST:PORT (gRPC).")
    ] = None,
    settings: Annotated[
        str, typer.Option(help="With --url: settings that name the types.")
    ] = "base",
    device: Device = "auto",
) -> None:
    """Score a checkpoint, or a server, on annotated posts; prints one JSON object."""
    import numpy as np

    from mqspn.data.reader import read_split
    from mqspn.evaluation.evaluate import evaluate as score
    from mqspn.settings import load_settings

    if (checkpoint is None) == (url is None):
        raise typer.BadParameter("give either --checkpoint DIR or --url HOST:PORT")
    if url is not None:
        from mqspn.evaluation.predictors import ServedPredictor

        types = load_settings(settings).types
        posts = read_split(data, split, labels={t.label: t.name for t in types})
        result = score(posts, ServedPredictor(url, progress=True))
        result["url"] = url
    else:
        from mqspn.checkpoint import load_checkpoint
        from mqspn.device import pick_device
        from mqspn.evaluation.offline import CheckpointPredictor
        from mqspn.evaluation.proposals import proposal_recall

        assert checkpoint is not None
        loaded = load_checkpoint(checkpoint)
        loaded.model.to(pick_device(device))
        posts = read_split(data, split, labels={t.label: t.name for t in loaded.settings.types})
        predictor = CheckpointPredictor(loaded)
        result = score(posts, predictor)
        result["checkpoint"] = checkpoint.name
        result["proposals"] = proposal_recall(
            [[entity.boxes for entity in post.entities] for post in posts],
            [predictor.proposals.get(post.id, np.empty((0, 4))) for post in posts],
            k=loaded.settings.network.regions,
        ).to_json()
    typer.echo(json.dumps(result, indent=2))


@app.command()
def export(
    checkpoint: CheckpointFolder,
    output: Annotated[Path, typer.Option(help="Folder for the four ONNX graphs.")],
) -> None:
    """Export the four graphs to ONNX and check each against PyTorch."""
    from mqspn.checkpoint import load_checkpoint
    from mqspn.export import export_graphs

    for parity in export_graphs(load_checkpoint(checkpoint), output):
        typer.echo(str(parity))


@app.command()
def build(
    checkpoint: CheckpointFolder,
    output: Annotated[Path, typer.Option(help="The model repository to write.")],
    version: Annotated[
        str | None, typer.Option(help="model_version in answers. Default: the checkpoint's name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a model repository there.")] = False,
) -> None:
    """Make a complete Triton model repository of a checkpoint."""
    from mqspn.export import build_from_checkpoint

    for parity in build_from_checkpoint(checkpoint, output, version=version, overwrite=overwrite):
        typer.echo(str(parity))
    typer.echo(f"model repository: {output}")


def _overrides(pairs: list[str] | None) -> dict[str, Any]:
    import yaml

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--set needs key=value, not {pair!r}")
        overrides[key] = yaml.safe_load(value)
    return overrides


def main() -> None:
    """Run the command; what a user can mend ends it with one plain line on standard error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        _fail(f"this needs {package}: pip install 'mqspn-triton[{_EXTRAS[package]}]'")
    except (ValueError, OSError, FloatingPointError, MqspnError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(f"mqspn: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
