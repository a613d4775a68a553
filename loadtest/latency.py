"""Measure one post's latency, many callers' throughput, each model's time; print JSON.

    python loadtest/latency.py --url 127.0.0.1:8001 --calls 200 --operator-key KEY

Closed loop: a caller sends its next post when it has the answer to the last. Times in ms. The
server's own statistics say how long each model of the ensemble computed and queued; what is left
of a post's time is outside the four engines. The text encoder works beside the two region engines,
so the engines' share is that of the longer branch and the decoder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tritonclient.grpc as triton
import typer
from addresses import check_address
from machine import describe_machine
from mqspn_client import Client, MqspnError
from posts import SAMPLE_POSTS, LoadPost, read_posts

__all__ = ["ModelTime", "app", "measure", "model_times", "outside_engines"]

ENGINES = ("text_encoder", "region_proposer", "region_encoder", "query_decoder")
#: A client picks one for each post by what the post holds.
ENSEMBLES = ("mqspn", "mqspn_regions", "mqspn_text")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class ModelTime:
    """A model's time in Triton's statistics, summed over requests; times in ns."""

    requests: int
    executions: int
    total_ns: int
    compute_ns: int
    queue_ns: int
    cache_hits: int = 0

    def since(self, before: ModelTime) -> ModelTime:
        return ModelTime(
            requests=self.requests - before.requests,
            executions=self.executions - before.executions,
            total_ns=self.total_ns - before.total_ns,
            compute_ns=self.compute_ns - before.compute_ns,
            queue_ns=self.queue_ns - before.queue_ns,
            cache_hits=self.cache_hits - before.cache_hits,
        )

    def per_request_ms(self) -> dict[str, float]:
        count = max(self.requests, 1)
        return {
            "total": round(self.total_ns / count / 1e6, 3),
            "compute": round(self.compute_ns / count / 1e6, 3),
            "queue": round(self.queue_ns / count / 1e6, 3),
        }


def model_times(url: str, operator_key: str | None = None) -> dict[str, ModelTime]:
    """Ask the server for every model's statistics up to now.

    ``operator_key`` opens them where the server restricts them, as `mqspn serve` does; without it
    tritonclient's exception is raised there.
    """
    headers = {"triton-grpc-protocol-operator-key": operator_key} if operator_key else None
    with triton.InferenceServerClient(url) as client:
        answer = client.get_inference_statistics(client_timeout=10.0, headers=headers)
    return {
        model.name: ModelTime(
            requests=model.inference_stats.success.count,
            executions=model.execution_count,
            total_ns=model.inference_stats.success.ns,
            compute_ns=model.inference_stats.compute_input.ns
            + model.inference_stats.compute_infer.ns
            + model.inference_stats.compute_output.ns,
            queue_ns=model.inference_stats.queue.ns,
            cache_hits=model.inference_stats.cache_hit.count,
        )
        for model in answer.model_stats
    }


def outside_engines(
    before: Mapping[str, ModelTime],
    after: Mapping[str, ModelTime],
    ensembles: Sequence[str] = ENSEMBLES,
) -> dict[str, Any]:
    """Compute a post's time between two statistics, and the share spent outside the engines.

    It is a mean over the posts of all ``ensembles``. An engine's time is its compute and its queue.
    ``share`` is 0 to 1 of the ensembles' time.
    """
    spent = {name: after[name].since(before[name]) for name in after if name in before}
    spent = {name: times for name, times in spent.items() if times.requests}
    used = [spent[name] for name in ensembles if name in spent]
    if not used:
        raise ValueError(f"the server's statistics show no request of {', '.join(ensembles)}")
    requests = sum(times.requests for times in used)
    whole = sum(times.total_ns for times in used) / requests / 1e6
    engine = {
        name: (spent[name].compute_ns + spent[name].queue_ns) / requests / 1e6
        if name in spent
        else 0.0
        for name in ENGINES
    }
    inside = engine["query_decoder"] + max(
        engine["text_encoder"], engine["region_proposer"] + engine["region_encoder"]
    )
    return {
        "ensemble_ms": round(whole, 3),
        "engines_ms": round(inside, 3),
        "outside_engines_ms": round(whole - inside, 3),
        "outside_engines_share": round((whole - inside) / whole, 4),
        "models_ms": {name: times.per_request_ms() for name, times in sorted(spent.items())},
        "cache_hits": {
            n: times.cache_hits for n, times in sorted(spent.items()) if times.cache_hits
        },
    }


def measure(client: Client, posts: Sequence[LoadPost], *, calls: int, callers: int) -> list[float]:
    """Time ``calls`` calls, ``callers`` at once, posts in turn; seconds of each."""

    def call(index: int) -> float:
        post = posts[index % len(posts)]
        start = time.perf_counter()
        client.predict(post.text, post.image)
        return time.perf_counter() - start

    if callers == 1:
        return [call(index) for index in range(calls)]
    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(calls)))


@app.command()
def latency(
    url: Annotated[str, typer.Option(help="HOST:PORT of the server.")] = "127.0.0.1:8001",
    calls: Annotated[int, typer.Option(min=1, help="Calls of each measurement.")] = 200,
    callers: Annotated[int, typer.Option(min=2, help="Callers at once for throughput.")] = 16,
    warm_up: Annotated[int, typer.Option(min=0, help="Calls before anything is measured.")] = 20,
    data: Annotated[Path, typer.Option(help="Posts: a folder or a .jsonl file.")] = SAMPLE_POSTS,
    split: Annotated[str, typer.Option(help="Split of the folder.")] = "test",
    operator_key: Annotated[
        str | None, typer.Option(help="The key that `mqspn serve --operator-key` was given.")
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow another machine's address.")
    ] = False,
) -> None:
    """Measure one caller, then many, and print one JSON object."""
    try:
        check_address(url, allow_remote=allow_remote)
        posts = read_posts(data, split=split)
        with Client(url) as client:
            measure(client, posts, calls=warm_up, callers=1)
            before = model_times(url, operator_key)
            alone = measure(client, posts, calls=calls, callers=1)
            after = model_times(url, operator_key)
            measure(client, posts, calls=warm_up, callers=callers)  # batches are new to the server
            start = time.perf_counter()
            together = measure(client, posts, calls=calls, callers=callers)
            elapsed = time.perf_counter() - start
        where = outside_engines(before, after)
    except triton.InferenceServerException as error:
        typer.echo(f"latency: no statistics from {url}: {_what_to_do(error)}", err=True)
        raise typer.Exit(1) from None
    except (MqspnError, OSError, ValueError) as error:
        typer.echo(f"latency: {error}", err=True)
        raise typer.Exit(1) from None
    report = {
        "machine": describe_machine(),
        "posts": {"count": len(posts), "with_image": sum(bool(post.image) for post in posts)},
        "one_caller": {"calls": calls, **_percentiles(alone)},
        "where_the_time_goes": where,
        "many_callers": {
            "callers": callers,
            "calls": calls,
            "posts_per_second": round(calls / elapsed, 2),
            **_percentiles(together),
        },
    }
    typer.echo(json.dumps(report, indent=2))


def _what_to_do(error: triton.InferenceServerException) -> str:
    said = str(error.message()).rstrip(".")
    if "restricted" not in said:
        return said
    return (
        f"{said}; they need the key of `mqspn serve --operator-key KEY`: start the server with "
        "one, and give the same here with --operator-key"
    )


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return {
        "mean_ms": round(float(np.mean(seconds)) * 1000, 2),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
    }


if __name__ == "__main__":
    app()
