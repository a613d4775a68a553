"""`mqspn compile`: a repository's engines; `mqspn sensitivity`: what should stay in FP32."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mqspn.engines.choices import EngineGraph, Flavour, LowPrecision, Precision
from mqspn.options import RepositoryFolder, SplitName, TypeSettingsName

if TYPE_CHECKING:
    from mqspn.data.posts import Post
    from mqspn.engines.compile import CompiledEngine

__all__ = ["compile_engines", "sensitivity"]


def compile_engines(
    repository: RepositoryFolder = Path("model_repository"),
    engine: Annotated[
        Flavour, typer.Option(help="For Triton, on its GPU; or for RTX cards, on any machine.")
    ] = "tensorrt",
    precision: Annotated[
        Precision, typer.Option(help="The engines' precision; int8 needs --calibrate.")
    ] = "fp16",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for <model>.plan. Default: where Triton looks, <model>/1/model.plan.",
            show_default=False,
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keeps timings, so that the next compile is faster."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GRAPH:LAYERS",
            help="More layers that stay in FP32, as `mqspn sensitivity` names them; repeatable.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build matching plans again.")] = False,
    check_entities: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Annotated posts: refuse a precision that costs them more than 0.2 points of F1.",
        ),
    ] = None,
    split: SplitName = "test",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Posts that int8 takes its scales from (its train split; labels are not used).",
        ),
    ] = None,
    settings: TypeSettingsName = "base",
) -> None:
    """Compile a model repository's graphs to engines, each with its manifest; keep what matches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from mqspn.engines.builder import EngineBuilder
    from mqspn.engines.compile import CompiledEngine, compile_repository
    from mqspn.engines.job import CompileSettings
    from mqspn.engines.kept_layers import KEPT, find_layers

    # An ended init step leaves nothing half done: what a Ctrl-C cleans up, so does a SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    wanted = CompileSettings(
        precision=precision,
        output=output,
        force=force,
        kept=(*KEPT, *map(find_layers, keep or ())),
    )
    annotated = [] if check_entities is None else _posts(check_entities, split, settings)
    calibration = [] if calibrate is None else _posts(calibrate, "train", settings)
    builder = EngineBuilder(engine, timing_cache)
    console = Console(stderr=True)
    engines = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading and converting graphs", total=None)

        def show(phase: str, done: int, steps: int) -> None:
            bar.update(task, description=phase, completed=done, total=steps or None)

        for result in compile_repository(
            repository,
            builder,
            wanted,
            calibrate=calibration,
            annotated=annotated,
            progress=show,
        ):
            if isinstance(result, CompiledEngine):
                engines.append(result)
                console.print(_line(result), highlight=False, soft_wrap=True)
            else:
                console.print(str(result), highlight=False, soft_wrap=True)
    _print_table(engines)


def sensitivity(
    repository: RepositoryFolder = Path("model_repository"),
    precision: Annotated[
        LowPrecision, typer.Option(help="The precision of all layers but one.")
    ] = "fp16",
    graph: Annotated[
        EngineGraph | None, typer.Option(help="This graph only. Default: all.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Posts to measure on, the first 48; their labels are not used. Default: synthetic "
            "posts.",
        ),
    ] = None,
    split: SplitName = "dev",
    settings: TypeSettingsName = "base",
) -> None:
    """Measure which layers should stay in FP32 in a lower precision (`mqspn compile --keep`)."""
    from contextlib import ExitStack

    from rich.console import Console

    from mqspn.engines.graph_pipeline import GraphPipeline, find_graphs
    from mqspn.engines.kept_layers import KEPT
    from mqspn.engines.samples import many_batches, synthetic_posts
    from mqspn.engines.sensitivity import measure_sensitivity
    from mqspn.repository import ENGINES

    graphs = find_graphs(repository)
    with ExitStack() as stack:
        posts = _posts(data, split, settings) if data else stack.enter_context(synthetic_posts(48))
        batches = many_batches(GraphPipeline(repository), posts[:48])
    console = Console(stderr=True)
    kept = {(layers.graph, layers.name) for layers in KEPT}
    for model in ENGINES if graph is None else (graph,):
        with console.status(f"{model}: converting it with each of its layers in FP32"):
            results = measure_sensitivity(
                model,
                graphs[model],
                batches[model],
                precision=precision,
            )
        for result in results:
            always = (model, result.candidate.name) in kept
            typer.echo(f"{result}{' (always kept)' if always else ''}")


def _posts(data: Path, split: str, settings: str) -> list[Post]:
    from mqspn.data.reader import read_split
    from mqspn.settings import load_settings

    return read_split(data, split, labels=load_settings(settings).label_names)


def _line(engine: CompiledEngine) -> str:
    if engine.seconds is None:
        return f"{engine.model}: {engine.plan} matches, kept"
    return f"{engine.model}: {engine.plan} built in {engine.seconds:.1f} s"


def _print_table(engines: list[CompiledEngine]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("engine", "precision", "seconds", "MB", "graph - FP32", "engine - FP32")
    for engine in engines:
        table.add_row(
            engine.model,
            engine.precision,
            "kept" if engine.seconds is None else f"{engine.seconds:.1f}",
            f"{engine.size / 1e6:.1f}",
            "" if engine.graph is None else f"{engine.graph.largest:.1e}",
            "" if engine.engine is None else f"{engine.engine.largest:.1e}",
        )
    Console().print(table)
