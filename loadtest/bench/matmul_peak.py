"""Measure PyTorch's fastest matrix product here, to hold a network's speed against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

__all__ = ["MatmulPeak", "measure_matmul_peak", "wait_for"]

#: Sides of the square matrices that are tried.
SIDES = {"cuda": (2048, 4096, 8192, 16384), "cpu": (256, 512, 1024, 2048)}


@dataclass(frozen=True, kw_only=True)
class MatmulPeak:
    """The best rate, ``flops_per_second``, at ``side``; ``by_side``: of each, in TFLOP/s.

    A product of two n x n matrices counts as 2 n^3 operations.
    """

    device: str
    dtype: str
    flops_per_second: float
    side: int
    by_side: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "tflops": round(self.flops_per_second / 1e12, 4)}


def measure_matmul_peak(
    device: torch.device,
    dtype: torch.dtype,
    *,
    sides: Sequence[int] | None = None,
    seconds: float = 0.5,
) -> MatmulPeak:
    """Multiply square matrices of each side for ``seconds``; the best run of each side counts.

    A run is as many products as take a few milliseconds, so that waiting for the GPU is not timed.
    Where a single product takes longer than ``seconds`` it counts by itself, and larger sides are
    left out.
    """
    rates = {}
    for side in sides or SIDES[device.type]:
        a = torch.randn(side, side, device=device).to(dtype)
        b = torch.randn(side, side, device=device).to(dtype)
        out = torch.empty_like(a)

        def run(count: int, a=a, b=b, out=out) -> float:  # type: ignore[no-untyped-def]
            start = time.perf_counter()
            for _ in range(count):
                torch.matmul(a, b, out=out)
            wait_for(device)
            return time.perf_counter() - start

        once = run(1)
        if once > seconds:
            rates[side] = 2 * side**3 / once
            break
        run(1)
        count = max(1, round(0.02 / run(1)))
        end = time.perf_counter() + seconds
        best = run(count)
        while time.perf_counter() < end:
            best = min(best, run(count))
        rates[side] = 2 * side**3 * count / best
    side = max(rates, key=lambda s: rates[s])
    return MatmulPeak(
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        flops_per_second=rates[side],
        side=side,
        by_side={s: round(rate / 1e12, 4) for s, rate in rates.items()},
    )


def wait_for(device: torch.device) -> None:
    """Wait until everything that was given to ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
