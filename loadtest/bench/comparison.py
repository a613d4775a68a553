"""Compare the served network with the network alone, timed in turns on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mqspn.engines.precision import Precision
from mqspn_client import Client
from posts import LoadPost

from bench.closed_loop import run_load
from bench.interleaved import Contender, Standing
from bench.measured_system import MeasuredSystem, compile_plans
from bench.network_contenders import Inputs, PlanNetwork, call, network_contenders, torch_contenders
from bench.run_settings import RunSettings
from bench.torch_network import TorchNetwork

__all__ = ["baseline_standings", "comparison_rows", "server_standings"]

#: A compile is begun only with so many seconds left.
_COMPILE_S = 60.0


def server_standings(
    client: Client,
    posts: list[LoadPost],
    levels: list[dict[str, Any]],
    batches: Mapping[int, Inputs],
    *,
    settings: RunSettings,
) -> list[Standing]:
    """Make contenders of the server, to time beside the network alone.

    One caller stands beside batches of one. Beside the largest batches stand as many callers as
    gave the most posts a second in ``levels``.
    """

    served = f"server, {settings.profile} profile in {settings.served_precision}"

    def rate(callers: int, seconds: float) -> float:
        load = run_load(client, posts, callers=callers, seconds=seconds)
        if load.failures:
            raise RuntimeError(f"{len(load.failures)} calls failed: {load.failures[0]}")
        return load.posts_per_second

    best = max(levels, key=lambda level: float(level["posts_per_second"]))["callers"]
    return [
        Standing(
            contender=Contender(
                name=f"{served}, {callers} caller{'s' * (callers > 1)}",
                batch=batch,
                rate=partial(rate, callers),
            )
        )
        for batch, callers in zip(batches, (1, best), strict=False)
    ]


def baseline_standings(
    settings: RunSettings,
    system: MeasuredSystem,
    batches: Mapping[int, Inputs],
    *,
    device: torch.device,
    deadline: float,
    work: Path,
    stack: ExitStack,
) -> list[Standing]:
    """Make contenders of the network alone: each baseline, warmed up, or why it does not run.

    ``deadline`` is of `time.monotonic`; ``work``: a folder for engines; ``stack`` frees them.
    """
    reference = TorchNetwork(system.checkpoint, torch.float32, device)
    expected = {size: call(reference, inputs) for size, inputs in batches.items()}
    del reference

    def in_torch(precision: Precision, *, compiled: bool) -> list[Standing]:
        return list(
            torch_contenders(
                system.checkpoint,
                precision,
                device,
                batches,
                compiled=compiled,
                expected=expected,
                deadline=deadline - _COMPILE_S,
                is_reference=not compiled and precision == settings.precision,
            )
        )

    def engines() -> PlanNetwork:
        if device.type != "cuda":
            raise RuntimeError("TensorRT-RTX needs a GPU, PyTorch finds none")
        if time.monotonic() > deadline - _COMPILE_S:
            raise RuntimeError("the time limit left no time to compile")
        compile_plans(
            system.repository,
            "tensorrt-rtx",
            settings.precision,
            output=work / "plans",
            timeout_s=deadline - _COMPILE_S / 2 - time.monotonic(),
        )
        return stack.enter_context(closing(PlanNetwork(work / "plans")))

    standings: list[Standing] = []
    if "eager" in settings.baselines:
        if settings.precision != "fp32":
            standings += in_torch("fp32", compiled=False)
        standings += in_torch(settings.precision, compiled=False)
    if "compile" in settings.baselines:
        standings += in_torch(settings.precision, compiled=True)
    if "tensorrt-rtx" in settings.baselines:
        name = f"TensorRT-RTX {settings.precision}"
        standings += network_contenders(name, engines, batches, expected)
    return standings


def comparison_rows(
    standings: list[Standing], *, flops_per_post: float, peak: float
) -> list[dict[str, Any]]:
    """List each standing's figures and its ``share_of_peak``: operations a second to ``peak``'s.

    ``peak`` and ``flops_per_post`` as in `matmul_peak` and `torch_network.count_flops`.
    """
    rows = []
    for standing in standings:
        row = standing.figures()
        rate = row["posts_per_second"]
        share = None if rate is None else round(rate * flops_per_post / peak, 6)
        rows.append({**row, "share_of_peak": share})
    return rows
