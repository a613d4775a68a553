"""Compare the served network with the network alone, timed in turns on one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from bench.network_contenders import (
    Inputs,
    Network,
    PlanNetwork,
    call,
    network_contenders,
    torch_network,
)
from bench.run_settings import RunSettings
from bench.time_limit import TimeLimit
from bench.torch_network import TorchNetwork

__all__ = ["RTX_CAPABILITIES", "baseline_standings", "comparison_rows", "server_standings"]

#: A compile is begun only with so many seconds left.
_COMPILE_S = 60.0
#: The compute capabilities that TensorRT-RTX compiles for; an H100 and an H200 are 9.0.
RTX_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")


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
    limit: TimeLimit,
    work: Path,
    stack: ExitStack,
) -> Iterator[list[Standing]]:
    """Make contenders of the network alone, baseline by baseline: warmed up, or why not.

    One that takes long to prepare comes after those that do not. ``work``: a folder for engines;
    ``stack`` frees them.
    """
    reference = TorchNetwork(system.checkpoint, torch.float32, device)
    expected = {size: call(reference, inputs) for size, inputs in batches.items()}
    del reference

    def engines() -> PlanNetwork:
        if device.type != "cuda":
            raise RuntimeError("TensorRT-RTX needs a GPU, PyTorch finds none")
        capability = "{}.{}".format(*torch.cuda.get_device_capability(device))
        if capability not in RTX_CAPABILITIES:
            raise RuntimeError(
                f"TensorRT-RTX has no engines for compute capability {capability}, only for "
                f"{', '.join(RTX_CAPABILITIES)}"
            )
        limit.require(_COMPILE_S)
        compile_plans(
            system.repository,
            "tensorrt-rtx",
            settings.precision,
            output=work / "plans",
            timeout_s=limit.left_s,
        )
        return stack.enter_context(closing(PlanNetwork(work / "plans")))

    def baseline(name: str, make: Callable[[], Network], **options: bool) -> list[Standing]:
        return list(network_contenders(name, make, batches, expected, **options))

    def in_torch(precision: Precision, *, compiled: bool) -> Network:
        limit.require(_COMPILE_S if compiled else 0.0)
        return torch_network(system.checkpoint, precision, device, compiled=compiled)

    own = settings.precision
    if "eager" in settings.baselines:
        for precision in dict.fromkeys((own, "fp32")):
            yield baseline(
                f"PyTorch eager {precision}",
                partial(in_torch, precision, compiled=False),
                is_reference=precision == own,
            )
    if "compile" in settings.baselines:
        yield baseline(f"torch.compile {own}", partial(in_torch, own, compiled=True))
    if "tensorrt-rtx" in settings.baselines:
        yield baseline(f"TensorRT-RTX {own}", engines)


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
