"""The `mqspn` command. Each subcommand imports what it needs: a small install starts fast."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from mqspn_client import MqspnError, __version__
from mqspn_client.command import batch, predict

from mqspn.data.command import app as data_app
from mqspn.engines.command import compile_engines, sensitivity
from mqspn.errors import BuildError
from mqspn.evaluation.command import evaluate, tune
from mqspn.regions.command import propose
from mqspn.serving.command import serve
from mqspn.synthetic.command import draw_posts, synthesize
from mqspn.training.command import ablate, train

__all__ = ["app", "main"]

app = typer.Typer(
    help="Grounded multimodal named entity recognition: train, export, serve and call MQSPN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(train)
app.command()(evaluate)
app.command()(tune)
app.command("compile")(compile_engines)
app.command()(sensitivity)
app.command()(serve)
app.command()(predict)
app.command()(batch)
app.command()(propose)
app.command()(ablate)
app.command("draw-posts", hidden=True)(draw_posts)
data_app.command()(synthesize)
app.add_typer(data_app, name="data")

#: What the extras bring, by the name it is imported under.
_PACKAGES = frozenset(
    (
        *("torch", "transformers", "safetensors", "scipy", "accelerate"),
        *("onnx", "onnxruntime", "tokenizers", "yaml", "dacite"),
        *("modelopt", "onnxslim", "polygraphy"),
    )
)
#: The extra that a command needs; the others need [build].
_EXTRAS = {"serve": "server", "compile": "compile", "sensitivity": "compile"}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mqspn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


CheckpointFolder = Annotated[Path, typer.Option(help="Checkpoint folder.")]


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
    profile: Annotated[
        str,
        typer.Option(
            help="gpu: fail unless it also holds the plans for this machine's GPU; cuda: fail "
            "unless its CUDA profile runs on this machine."
        ),
    ] = "cpu",
    cuda_provider: Annotated[
        str,
        typer.Option(
            help="What runs the graphs under the CUDA profile: cuda, tensorrt, or cpu (the same "
            "way without a GPU)."
        ),
    ] = "cuda",
    cuda_fp16: Annotated[
        bool, typer.Option(help="Let --cuda-provider tensorrt compute in half precision.")
    ] = False,
) -> None:
    """Make a complete Triton model repository of a checkpoint."""
    from mqspn.export import build_from_checkpoint
    from mqspn.repository import CudaProfile
    from mqspn.repository.serving_profiles import SERVING_PROFILES

    if profile not in SERVING_PROFILES:
        raise typer.BadParameter(f"{profile!r} is not cpu, cuda or gpu", param_hint="--profile")
    cuda = CudaProfile(provider=cuda_provider, fp16=cuda_fp16)
    for parity in build_from_checkpoint(
        checkpoint, output, version=version, overwrite=overwrite, cuda=cuda
    ):
        typer.echo(str(parity))
    typer.echo(f"model repository: {output}")
    if profile == "gpu":
        from mqspn.repository.manifest import check_plans
        from mqspn.repository.runtime import find_runtime

        check_plans(output, find_runtime())
    if profile == "cuda":
        from mqspn.serving.cuda_check import check_cuda

        check_cuda(output)


def main() -> None:
    """Run the command; what a user can mend ends it with one plain line on standard error.

    That is a `BuildError`, an error of the client, and an operating-system error about a file.
    Any other exception is a fault of ours and keeps its traceback.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        extra = _EXTRAS.get(sys.argv[1], "build")
        _fail(f"this needs {package}: pip install 'mqspn-triton[{extra}]'")
    except (BuildError, MqspnError) as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None and not isinstance(error, FileNotFoundError):
            raise
        # One that this code raised has a message of its own, which names the file.
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    print(f"mqspn: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
