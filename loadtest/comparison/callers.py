"""Run callers in a closed loop: each sends its next post when its last is answered.

All systems are called by threads of this one process, which keeps what it got and judges it when
the time is over, so that checking answers takes nothing from the systems.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mqspn.evaluation.metrics import PredictedEntity
from mqspn_client import Client, MqspnError
from posts import LoadPost

__all__ = ["Call", "Load", "entities_of", "grpc_call", "http_call", "run_callers"]

#: Sends one post and returns its entities, as JSON has them; raises CallError.
Call = Callable[[LoadPost], list[dict[str, Any]]]


class CallError(Exception):
    """A call that was not answered."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What callers saw. ``seconds``: from the first call to the last answer.

    ``latencies_s`` and ``answers``, as (number of the post, entities), are of answered calls in the
    same order. ``failures`` says why the others were not. ``cpu_s``: processor seconds of this
    process meanwhile. ``batch``: posts in a batch of the system, where it tells.
    """

    callers: int
    seconds: float
    latencies_s: tuple[float, ...]
    answers: tuple[tuple[int, list[dict[str, Any]]], ...]
    failures: tuple[str, ...]
    cpu_s: float
    batch: float | None = None


def grpc_call(client: Client) -> Call:
    """Call a Triton server with this project's client, which threads share."""

    def call(post: LoadPost) -> list[dict[str, Any]]:
        try:
            found = client.predict(post.text, post.image).entities
        except MqspnError as error:
            raise CallError(str(error)) from error
        return [
            {
                "start": entity.start,
                "end": entity.end,
                "type": entity.type,
                "score": entity.score,
                "box": None if entity.box is None else entity.box.to_list(),
            }
            for entity in found
        ]

    return call


def http_call(port: int) -> Call:
    """Call a server of `baselines` on loopback, over one connection a thread."""
    local = threading.local()

    def call(post: LoadPost) -> list[dict[str, Any]]:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        image = base64.b64encode(post.image).decode() if post.image is not None else None
        body = json.dumps({"text": post.text, "image": image})
        try:
            local.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = local.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            local.connection.close()
            raise CallError(f"{type(error).__name__}: {error}") from error
        if response.status != 200:
            raise CallError(f"HTTP {response.status}: {content[:200].decode(errors='replace')}")
        entities: list[dict[str, Any]] = json.loads(content)["entities"]
        return entities

    return call


def run_callers(
    call: Call, posts: Sequence[LoadPost], *, callers: int, first: int, seconds: float
) -> Load:
    """Send ``posts`` in turn from number ``first`` on; every caller makes one call at least."""
    order = itertools.count(first)  # its next() is one operation of the interpreter
    barrier = threading.Barrier(callers)
    answers: list[tuple[int, list[dict[str, Any]]]] = []
    latencies: list[float] = []
    failures: list[str] = []
    lock = threading.Lock()

    def work(_: int) -> None:
        barrier.wait()
        end = time.perf_counter() + seconds
        while True:
            place = next(order) % len(posts)
            begun = time.perf_counter()
            try:
                entities = call(posts[place])
            except CallError as error:
                with lock:
                    failures.append(str(error))
                time.sleep(0.05)  # a dead server refuses thousands of calls a second
            else:
                took = time.perf_counter() - begun
                with lock:
                    latencies.append(took)
                    answers.append((place, entities))
            if time.perf_counter() >= end:
                return

    with ThreadPoolExecutor(callers) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        for done in [pool.submit(work, i) for i in range(callers)]:
            done.result()
        elapsed, used = time.perf_counter() - start, time.process_time() - cpu
    return Load(
        callers=callers,
        seconds=elapsed,
        latencies_s=tuple(latencies),
        answers=tuple(answers),
        failures=tuple(failures),
        cpu_s=used,
    )


def entities_of(answer: Sequence[dict[str, Any]]) -> list[PredictedEntity]:
    """Read the entities of an answer's JSON."""
    return [
        PredictedEntity(
            entity["start"],
            entity["end"],
            entity["type"],
            None if entity["box"] is None else tuple(entity["box"]),
            entity["score"],
        )
        for entity in answer
    ]
