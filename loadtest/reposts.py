"""Measure what it gains to remember pictures: posts a second by the share of reposts.

    python loadtest/reposts.py --data data/synthetic --cache-mb 256

It starts two servers of one repository on free ports, with `--cache-mb` and without, and sends
both the same posts in turns, round by round. A repost is a picture that was sent before under
another text; any other picture was never sent. Printed as JSON: medians and ranges of the ratio of
the two rates, and the share of posts whose region states came from memory.
"""

from __future__ import annotations

import io
import json
import random
import re
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from machine import describe_machine
from mqspn.serving import ServerError, ServerSettings, TritonServer
from mqspn.serving.command import default_repository
from mqspn.serving.ports import free_ports
from mqspn_client import Client, MqspnError
from PIL import Image
from posts import SAMPLE_POSTS, LoadPost, read_posts

__all__ = ["app", "repost_stream"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def repost_stream(posts: Sequence[LoadPost], share: float, *, seed: int) -> Iterator[LoadPost]:
    """Make posts without end; each is a repost with probability ``share`` (0 to 1).

    Every text is a new one. A new picture is one of ``posts`` with a small patch drawn on it; a
    repost has the very file of an earlier one, each with the same chance.
    """
    rng = random.Random(seed)
    pictures = [post for post in posts if post.image]
    if not pictures:
        raise ValueError("there are no posts with an image")
    sent: list[bytes] = []
    number = 0
    while True:
        source = rng.choice(pictures)
        if sent and rng.random() < share:
            image = rng.choice(sent)
        else:
            assert source.image is not None
            image = _patched(source.image, rng)
            sent.append(image)
        yield LoadPost(f"{seed}-{number}", f"{source.text} {number}", image)
        number += 1


def _patched(image: bytes, rng: random.Random) -> bytes:
    with Image.open(io.BytesIO(image)) as opened:
        drawn = opened.convert("RGB")
    patch = Image.frombytes("RGB", (4, 4), rng.randbytes(4 * 4 * 3)).resize((32, 32), 0)
    drawn.paste(patch, (rng.randrange(drawn.width), rng.randrange(drawn.height)))
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def rate(client: Client, posts: Sequence[LoadPost], callers: int) -> float:
    """Send ``posts``, ``callers`` at once; posts a second."""
    with ThreadPoolExecutor(callers) as pool:
        start = time.perf_counter()
        list(pool.map(lambda post: client.predict(post.text, post.image), posts))
        return len(posts) / (time.perf_counter() - start)


@app.command()
def reposts(
    repository: Annotated[
        Path | None, typer.Option(help="Model repository. Default: the one of `mqspn serve`.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Posts: a folder or a .jsonl file.")] = SAMPLE_POSTS,
    split: Annotated[str, typer.Option(help="Split of the folder.")] = "test",
    share: Annotated[list[float], typer.Option(min=0, max=1, help="Shares of reposts.")] = [  # noqa: B006 - typer's way
        0.0,
        0.5,
        0.9,
    ],
    callers: Annotated[list[int], typer.Option(min=1, help="Callers at once.")] = [1, 16],  # noqa: B006
    posts: Annotated[int, typer.Option(min=1, help="Posts of a server in a round.")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each share.")] = 7,
    cache_mb: Annotated[int, typer.Option(min=1, help="As of `mqspn serve`.")] = 256,
) -> None:
    """Compare a server that remembers pictures to one that does not; print one JSON object."""
    try:
        found = read_posts(data, split=split)
        rows = list(
            _compare(
                repository or default_repository(),
                found,
                [(s, c) for s in share for c in callers],
                posts=posts,
                rounds=rounds,
                cache_mb=cache_mb,
            )
        )
    except (MqspnError, ServerError, OSError, ValueError) as error:
        typer.echo(f"reposts: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps({"machine": describe_machine(), "rows": rows}, indent=2))


def _compare(
    repository: Path,
    found: Sequence[LoadPost],
    cases: Sequence[tuple[float, int]],
    *,
    posts: int,
    rounds: int,
    cache_mb: int,
) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        servers, clients = [], []
        for size in (0, cache_mb):
            grpc, http, metrics = free_ports(3)
            settings = ServerSettings(
                repository=repository,
                grpc_port=grpc,
                http_port=http,
                metrics_port=metrics,
                cache_mb=size,
            )
            servers.append(stack.enter_context(TritonServer(settings)))
            clients.append(stack.enter_context(Client(servers[-1].url)))
        for number, (share, callers) in enumerate(cases):
            stream = repost_stream(found, share, seed=number)
            rates: list[list[float]] = [[], []]
            before = _hits(servers[1])
            for turn in range(rounds + 1):  # the first warms up, and sends what is to be reposted
                batch = [next(stream) for _ in range(posts)]
                for i in (0, 1) if turn % 2 else (1, 0):
                    rates[i].append(rate(clients[i], batch, callers))
            ratios = [on / off for off, on in zip(*rates, strict=True)][1:]
            yield {
                "reposts": share,
                "callers": callers,
                "not_remembering_per_second": round(statistics.median(rates[0][1:]), 2),
                "remembering_per_second": round(statistics.median(rates[1][1:]), 2),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
                "hits": (_hits(servers[1]) - before) / (posts * (rounds + 1)),
            }


def _hits(server: TritonServer) -> int:
    """How many posts' region states came from memory."""
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        text = page.read().decode()
    found = re.search(r'^mqspn_cache_hits_total\{model="region_encoder"\} (\d+)', text, re.M)
    if found is None:
        raise ValueError(
            "the server counts no hits; is the repository an older one? Build it again"
        )
    return int(found[1])


if __name__ == "__main__":
    app()
