"""Decide what should run the four graphs on this CPU: lower precision, or ONNX Runtime in FP32.

    python loadtest/cpu_runtimes.py          # the paper's sizes with random weights
    python loadtest/cpu_runtimes.py --repository model_repository        # the demo, or yours

Runs each graph in ONNX Runtime in FP32 and INT8 and in OpenVINO in f32, bf16 and f16, in turns.
Prints a post's time and how far each tensor is from FP32. What the CPU or the machine has not got
is a row with its reason; OpenVINO is `pip install openvino`.

Exit code 0: a runtime is faster than ONNX Runtime in FP32 by the mark, and its tensors hold; 1:
none is; 2: wrong usage.
"""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from bench.cpu_comparison import Holding, Row, compare_graph, sum_over_post, verdicts
from bench.cpu_engines import REFERENCE, RUNTIMES, CpuRuntime
from bench.interleaved import reason
from bench.random_checkpoint import write_random_checkpoint
from machine import describe_machine
from mqspn.data.posts import Post
from mqspn.engines.errors import GraphError
from mqspn.engines.graph_pipeline import GraphPipeline, find_graphs
from mqspn.engines.quantisation import Batch
from mqspn.engines.samples import synthetic_posts
from mqspn.export import build_from_checkpoint
from mqspn.files.replace import replace_text
from mqspn_backend.tensors import ENGINES, MODELS
from rich.console import Console
from rich.table import Table

__all__ = ["app", "prepare_graphs", "run"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

#: Synthetic posts that scales are taken from, and then those that tensors are held on.
_POSTS = 24
_HELD = 8


def run(
    repository: Path,
    work: Path,
    posts: list[Post],
    *,
    threads: list[int],
    batches: list[int],
    tokens: int | None,
    rounds: int,
    seconds: float,
    mark: float,
    runtimes: tuple[CpuRuntime, ...] = RUNTIMES,
) -> dict[str, Any]:
    """Measure the graphs of ``repository``; returns rows, holdings and verdicts.

    ``tokens``: the length that posts are padded to, None: the bucket of the longest.
    ``posts``: those that are timed have an image. ``work``: a folder for quantised graphs.
    """
    graphs = find_graphs(repository)
    pipeline = GraphPipeline(repository)
    seen = [post for post in posts if post.image is not None]
    timed = {batch: _feeds(pipeline, seen[:batch], tokens) for batch in batches}
    held = [
        _feeds(pipeline, posts[i : i + _HELD // 2], tokens) for i in range(0, _HELD, _HELD // 2)
    ]
    scales = [_feeds(pipeline, posts[i : i + 4], tokens) for i in range(_HELD, len(posts), 4)]
    del pipeline
    rows: list[Row] = []
    holdings: dict[tuple[str, str], Holding] = {}
    for model in ENGINES:
        files = prepare_graphs(model, graphs[model], work, [b[model] for b in scales], runtimes)
        for count in threads:
            found, kept = compare_graph(
                model,
                files,
                runtimes,
                threads=count,
                timed={batch: feeds[model] for batch, feeds in timed.items()},
                held=[feeds[model] for feeds in held] if count == threads[0] else [],
                rounds=rounds,
                seconds=seconds,
            )
            rows += found
            if count == threads[0]:
                holdings |= {(model, name): held_to for name, held_to in kept.items()}
        for file in set(files.values()) - {graphs[model]}:
            file.unlink()
    return {"rows": rows, "holdings": holdings, "verdicts": verdicts(rows, holdings, mark)}


def _feeds(pipeline: GraphPipeline, posts: list[Post], tokens: int | None) -> dict[str, Batch]:
    """Make each engine's inputs for one batch of ``posts``, by model name."""
    tensors = pipeline.tensors(posts, tokens)
    return {model: {name: tensors[name] for name in MODELS[model].inputs} for model in ENGINES}


def prepare_graphs(
    model: str,
    graph: Path,
    work: Path,
    batches: list[Batch],
    runtimes: tuple[CpuRuntime, ...] = RUNTIMES,
) -> dict[str, Path]:
    """Write the graph that each runtime reads, by its name; what fails is told and left out."""
    files = {}
    for number, runtime in enumerate(runtimes):
        if runtime.prepare is None:
            files[runtime.name] = graph
            continue
        target = work / f"{model}.{number}.onnx"
        try:
            runtime.prepare(graph, target, batches)
        except Exception as error:  # what the quantisers raise has no common root
            typer.echo(f"{model} in {runtime.name}: {reason(error)}", err=True)
            continue
        files[runtime.name] = target
    return files


def print_result(found: dict[str, Any], machine: dict[str, Any]) -> None:
    """Print the times, the distances and the verdict."""
    console = Console(width=max(120, Console().width))
    rows: list[Row] = found["rows"]
    console.print(f"{machine['processor']}, {machine['cores']} cores", highlight=False)
    settings = list(dict.fromkeys((row.threads, row.batch) for row in rows))
    columns = [f"{threads} threads, batch {batch}" for threads, batch in settings]
    table = Table("graph", "runtime", *columns, title="ms a post (times as fast as FP32)")
    for model in ENGINES:
        for runtime in dict.fromkeys(row.runtime for row in rows):
            own = [row for row in rows if (row.model, row.runtime) == (model, runtime)]
            table.add_row(model, runtime, *map(_cell, own))
        table.add_section()
    for runtime in dict.fromkeys(row.runtime for row in rows):
        cells = []
        for threads, batch in settings:
            whole = sum_over_post(rows, REFERENCE.name, threads=threads, batch=batch)
            own_sum = sum_over_post(rows, runtime, threads=threads, batch=batch)
            cells.append(
                f"{own_sum:.1f} ({whole / own_sum:.2f})" if whole and own_sum else "not all run"
            )
        table.add_row("all four", runtime, *cells)
    console.print(table)
    for (model, runtime), held in found["holdings"].items():
        console.print(f"{model} in {runtime}: {held}", highlight=False)
    for row in rows:
        if row.layers and (row.threads, row.batch) == settings[0]:
            console.print(f"{row.model} in {row.runtime}: layers {row.layers}", highlight=False)
    for name, verdict in found["verdicts"].items():
        text = "stays" if verdict["stays"] else f"left out: {'; '.join(verdict['against'])}"
        console.print(f"{name}: {text}", highlight=False, markup=False)


def _cell(row: Row) -> str:
    return row.missing or f"{row.post_ms:.1f} ({row.ratio:.2f})"


def _numbers(text: str) -> list[int]:
    """Read "2,1" as numbers of 1 or more."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise typer.BadParameter(f"give whole numbers of 1 or more such as 1,4, not {text!r}")
    return numbers


@app.command()
def cpu_runtimes(
    repository: Annotated[
        Path | None,
        typer.Option(help="A model repository. Without it: the paper's sizes, random weights."),
    ] = None,
    threads: Annotated[str, typer.Option(help="Threads of an engine, each in turn.")] = "2,1",
    batches: Annotated[str, typer.Option(help="Posts in a call, each in turn.")] = "1,4",
    tokens: Annotated[
        int | None, typer.Option(min=8, help="Pad texts to this. Default: the posts' bucket.")
    ] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; medians are told.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="Of a runtime in a round.")] = 0.5,
    mark: Annotated[float, typer.Option(help="Times faster, for a runtime to stay.")] = 1.5,
    output: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Time each graph in each runtime, in turns; say which runtime stays."""
    counts, sizes = _numbers(threads), _numbers(batches)
    machine = describe_machine()
    logging.disable(logging.WARNING)  # the quantisers advise preprocessing at each graph
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-runtimes-")))
        posts = stack.enter_context(synthetic_posts(max(_POSTS, 2 * max(sizes))))
        if repository is None:
            repository = work / "model_repository"
            write_random_checkpoint(work / "checkpoint", [post.text for post in posts])
            for _ in build_from_checkpoint(work / "checkpoint", repository):
                pass
        try:
            found = run(
                repository,
                work,
                posts,
                threads=counts,
                batches=sizes,
                tokens=tokens,
                rounds=rounds,
                seconds=seconds,
                mark=mark,
            )
        except GraphError as error:
            typer.echo(f"cpu_runtimes: {error}", err=True)
            raise typer.Exit(2) from None
    print_result(found, machine)
    if output is not None:
        values = {
            "machine": machine,
            "rows": [asdict(row) for row in found["rows"]],
            "differences": [
                {"model": model, "runtime": name, **asdict(held), "refusal": held.refusal}
                for (model, name), held in found["holdings"].items()
            ],
            "verdicts": found["verdicts"],
        }
        replace_text(output, json.dumps(values, indent=2) + "\n")
    if not any(verdict["stays"] for verdict in found["verdicts"].values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
