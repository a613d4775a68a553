"""Time the ways in which threads can share an engine's work: operators, or rows of the batch.

    python loadtest/thread_sharing.py --threads 2 --batch 1 --batch 4

Runs every graph of a model repository in turns: with one thread, with all threads in each operator,
sleeping at once or spinning for a moment first, and as `OnnxEngine` does it, rows apart where the
batch is large enough. Prints a Markdown table of median times and of processor time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import onnxruntime as ort
import typer
from machine import describe_machine
from mqspn_backend.engine import OnnxEngine, session_options
from operators import random_input

__all__ = ["app", "time_in_turns"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def time_in_turns(
    ways: Mapping[str, Callable[[], Any]], runs: int
) -> dict[str, tuple[float, float, float]]:
    """Call each way ``runs`` times, in turns.

    Returns by way the median ms, the median ms of processor time, and the median over the turns of
    the first way's time divided by this one's.
    """
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs + 3):
        for name, call in ways.items():
            used, start = time.process_time(), time.perf_counter()
            call()
            wall[name].append(1e3 * (time.perf_counter() - start))
            processor[name].append(1e3 * (time.process_time() - used))
    first = wall[next(iter(ways))][3:]
    return {
        name: (
            statistics.median(wall[name][3:]),
            statistics.median(processor[name][3:]),
            statistics.median(a / b for a, b in zip(first, wall[name][3:], strict=True)),
        )
        for name in ways
    }


def _session(path: Path, threads: int, *, spinning: bool) -> ort.InferenceSession:
    options = session_options(path, threads)
    if not spinning and threads > 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@app.command()
def thread_sharing(
    repository: Annotated[Path, typer.Option(help="The model repository.")] = Path(
        "model_repository"
    ),
    threads: Annotated[int, typer.Option(min=2, help="Threads.")] = 2,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Posts; 1 and 4.")] = None,
    runs: Annotated[int, typer.Option(min=3, help="Turns.")] = 30,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of a post.")] = 32,
    regions: Annotated[int, typer.Option(min=1, help="Regions, where the graph leaves it.")] = 16,
) -> None:
    """Print how long each graph takes by each way of sharing the work."""
    paths = {path.parts[-3]: path for path in sorted(repository.glob("*/1/model.onnx"))}
    if not paths:
        raise typer.BadParameter(f"{repository} holds no graphs; make it with `mqspn build`")
    about = describe_machine()
    typer.echo(f"{about['processor']}, {threads} threads on {about['cores']} cores\n")
    typer.echo("| graph | posts | way | ms | processor, ms | one thread's time over it |")
    typer.echo("|---|---|---|---|---|---|")
    for name, path in paths.items():
        one = _session(path, 1, spinning=False)
        ways: dict[str, Callable[[dict[str, Any]], Any]] = {
            "one thread": partial(one.run, None),
            "operators, sleeping": partial(_session(path, threads, spinning=False).run, None),
            "operators, spinning": partial(_session(path, threads, spinning=True).run, None),
            "the engine": OnnxEngine(path, threads=threads).run,
        }
        for posts in batch or [1, 4]:
            axes = {"B": posts, "L": tokens, "K": regions}
            feeds = {value.name: random_input(value, axes) for value in one.get_inputs()}
            calls = {way: partial(run, feeds) for way, run in ways.items()}
            for way, (ms, used, ratio) in time_in_turns(calls, runs).items():
                typer.echo(f"| {name} | {posts} | {way} | {ms:.2f} | {used:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    app()
