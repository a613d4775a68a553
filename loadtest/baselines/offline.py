"""A baseline without a server: the bare chain in one process, one batch after the other.

    python -m baselines.offline --posts posts.jsonl --network onnx     # in loadtest/

It is told what to do by lines of JSON on standard input, and answers each with one:

- ``{"do": "answers", "kind", "batch"}``: the entities of every post: ``{"answers"}``;
- ``{"do": "time", "kind", "batch", "threads", "first", "seconds"}``: batches for some seconds,
  from post ``first`` on: ``{"seconds", "posts", "latencies_s", "answers"}``.

``kind`` is "images", or "text" for the same posts without their images.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from comparison.post_sets import read_post_file

from baselines.networks import NETWORKS
from baselines.post_pipeline import PostPipeline

__all__ = ["serve"]

Post = tuple[str, bytes]


def serve(
    posts: Annotated[Path, typer.Option(help="The posts, as post_sets.py writes them.")],
    network: Annotated[str, typer.Option(help=f"{' or '.join(NETWORKS)}.")] = "onnx",
) -> None:
    """Do what standard input says until it ends."""
    # What a library prints is no answer: our own way out is a copy, the usual one leads elsewhere.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    read = read_post_file(posts)
    by_kind: dict[str, list[Post]] = {
        "images": [(post.text, post.image or b"") for post in read],
        "text": [(post.text, b"") for post in read],
    }
    pipelines: dict[int, PostPipeline] = {}
    for line in sys.stdin:
        order = json.loads(line)
        threads = order.get("threads", 2)
        if threads not in pipelines:
            pipelines = {threads: NETWORKS[network](threads=threads)}  # one at a time in memory
        pipeline, chosen = pipelines[threads], by_kind[order["kind"]]
        reply = (
            _time(pipeline, chosen, order["batch"], order["first"], order["seconds"])
            if order["do"] == "time"
            else {"answers": _answers(pipeline, chosen, order["batch"])}
        )
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _answers(pipeline: PostPipeline, posts: Sequence[Post], batch: int) -> list[Any]:
    found: list[Any] = []
    for first in range(0, len(posts), batch):
        found += pipeline.answer(posts[first : first + batch])
    return found


def _time(
    pipeline: PostPipeline, posts: Sequence[Post], batch: int, first: int, seconds: float
) -> dict[str, Any]:
    """Answer whole batches for ``seconds``, one at least, after one that is not counted."""
    latencies: list[float] = []
    answers: list[tuple[int, Any]] = []
    pipeline.answer([posts[(first - 1 - i) % len(posts)] for i in range(batch)])
    place, start = first, time.perf_counter()
    while not latencies or time.perf_counter() - start < seconds:
        places = [(place + i) % len(posts) for i in range(batch)]
        begun = time.perf_counter()
        found = pipeline.answer([posts[i] for i in places])
        latencies.append(time.perf_counter() - begun)
        answers += zip(places, found, strict=True)
        place += batch
    return {
        "seconds": time.perf_counter() - start,
        "posts": len(answers),
        "latencies_s": latencies,
        "answers": answers,
    }


if __name__ == "__main__":
    typer.run(serve)
