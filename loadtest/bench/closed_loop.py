"""Run closed-loop load: each of N callers sends its next post once its last is answered."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from mqspn_client import Client, MqspnError
from posts import LoadPost

__all__ = ["Load", "run_load"]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a closed-loop load of ``callers`` measured in ``seconds``, first call to last answer.

    ``latencies_s``: seconds of each answered call. ``failures``: the other calls' errors.
    ``client_cpu_s``: processor seconds of this process, the caller's side; near ``seconds`` or
    above it, the callers were what limited the throughput.
    """

    callers: int
    seconds: float
    latencies_s: tuple[float, ...]
    failures: tuple[str, ...]
    client_cpu_s: float

    @property
    def posts_per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def figures(self) -> dict[str, Any]:
        """Compute posts a second, and percentiles of the latency in ms.

        A percentile that so few answers do not show is None: p50 takes one, p99 takes a hundred.
        """
        found: dict[str, float | None] = {}
        for name, percent, fewest in (("p50_ms", 50, 1), ("p99_ms", 99, 100)):
            enough = len(self.latencies_s) >= fewest
            found[name] = (
                round(1000 * float(np.percentile(self.latencies_s, percent)), 2) if enough else None
            )
        return {
            "callers": self.callers,
            "calls": len(self.latencies_s),
            "failed": len(self.failures),
            "posts_per_second": round(self.posts_per_second, 2),
            **found,
            "client_cpu_share": round(self.client_cpu_s / self.seconds, 3),
        }


def run_load(client: Client, posts: Sequence[LoadPost], *, callers: int, seconds: float) -> Load:
    """Send ``posts`` in turn for ``seconds``; every caller makes one call at least.

    ``client`` should not try again by itself: a failure is to be seen.
    """
    order = itertools.count()  # its next() is one operation of the interpreter
    barrier = threading.Barrier(callers)

    def call(deadline: list[float]) -> tuple[list[float], list[str]]:
        latencies, failures = [], []
        if barrier.wait() == 0:
            deadline.append(time.perf_counter() + seconds)
        barrier.wait()
        while True:
            post = posts[next(order) % len(posts)]
            start = time.perf_counter()
            try:
                client.predict(post.text, post.image)
            except MqspnError as error:
                failures.append(str(error))
                time.sleep(0.05)  # a dead server refuses thousands of calls a second
            else:
                latencies.append(time.perf_counter() - start)
            if time.perf_counter() >= deadline[0]:
                return latencies, failures

    deadline: list[float] = []
    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(callers) as pool:
        try:
            outcomes = list(pool.map(lambda _: call(deadline), range(callers)))
        except BaseException:  # Ctrl-C, or the run's time is over: no caller begins another call
            deadline[:] = [0.0]
            raise
    return Load(
        callers=callers,
        seconds=time.perf_counter() - start,
        latencies_s=tuple(s for latencies, _ in outcomes for s in latencies),
        failures=tuple(f for _, failures in outcomes for f in failures),
        client_cpu_s=time.process_time() - cpu,
    )
