"""Report what `gpu.py` found: a JSON file, written again after each part, and tables."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine
from mqspn.files.replace import replace_text
from rich.console import Console
from rich.table import Table

from bench.interleaved import reason

__all__ = ["GpuReport", "describe_gpu_machine", "print_report"]

_PACKAGES = (
    *("torch", "transformers", "onnxruntime", "onnxruntime-gpu", "nvidia-pytriton"),
    *("tensorrt", "tensorrt-rtx-cu13", "numpy", "mqspn-triton"),
)


class GpuReport:
    """The report, a mapping that grows part by part; it is on disk after each.

    ``path``: the JSON file; None keeps it in memory. ``values["failures"]`` lists, in words, why
    the run is not a success; ``values["complete"]`` is false until the last part is done.
    """

    def __init__(self, path: Path | None, values: dict[str, Any]) -> None:
        self.path = path
        self.values: dict[str, Any] = {**values, "parts_s": {}, "failures": [], "complete": False}
        self.write()

    def __setitem__(self, key: str, value: Any) -> None:
        self.values[key] = value

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def fail(self, message: str) -> None:
        """Make the run a failure that says ``message``."""
        self.values["failures"].append(message)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what stands under it; an exception is a failure, and ends only this part."""
        Console(stderr=True).print(f"{name} ...", highlight=False)
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.fail(f"{name}: {reason(error)}")
        finally:
            self.values["parts_s"][name] = round(time.perf_counter() - start, 1)
            self.write()

    def write(self) -> None:
        """Replace the file as a whole."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self.path, json.dumps(self.values, indent=2) + "\n")


def describe_gpu_machine() -> dict[str, Any]:
    """Describe this machine with its GPU, its driver, and the versions that decide speed.

    The rest is as `machine.describe_machine` tells it.
    ``gpu`` is None where PyTorch finds none.
    """
    gpu: dict[str, Any] | None = None
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        gpu = {
            "name": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "driver": _driver(),
            "cuda": torch.version.cuda,
        }
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        **describe_machine(),
        "gpu": gpu,
        "torch_threads": torch.get_num_threads(),
        "versions": versions,
    }


def _driver() -> str:
    try:
        import pynvml  # type: ignore[import-untyped]

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:  # no package, or a library without a driver
        return f"unknown ({reason(error)})"


def print_report(values: dict[str, Any]) -> None:
    """Print the figures as tables; what was not measured has its reason."""
    console = Console(width=max(100, Console().width))
    machine, settings = values["machine"], values["settings"]
    gpu = machine["gpu"]
    name = f"{gpu['name']}, driver {gpu['driver']}" if gpu else "no GPU"
    console.print(
        f"{machine['processor']}, {machine['cores']} cores; {name}\n"
        f"{settings['size']} size; server: serving profile {settings['profile']} in "
        f"{settings['served_precision']}; baselines and peak: {settings['precision']}",
        highlight=False,
    )
    if "answers" in values:
        found = values["answers"]
        console.print(
            f"answers against {found['reference']}: {found['equal']} of {found['posts']} posts "
            f"equal, {found['differing']} not; {found['entities']} entities; largest difference "
            f"of a score {found['largest_score_difference']:g}",
            highlight=False,
        )
    if values.get("server", {}).get("levels"):
        _print_levels(console, values["server"]["levels"])
        _print_stages(console, values["server"]["levels"])
        console.print(_memory_line(values["server"]["memory"]), highlight=False)
    if "engines" in values:
        differences = values["engines"]["largest_difference"]
        parts = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
        console.print(f"engines against FP32 on the CPU: {parts}", highlight=False)
    if "peak" in values:
        peak = values["peak"]
        console.print(
            f"matrix-product peak {peak['tflops']:.3g} TFLOP/s ({peak['dtype']}, "
            f"n = {peak['side']}); a post is {values['flops_per_post'] / 1e9:.3g} GFLOP: "
            + ", ".join(f"{k} {v / 1e9:.3g}" for k, v in values["flops_by_engine"].items()),
            highlight=False,
        )
    if "comparison" in values:
        _print_comparison(console, values["comparison"])
    for failure in values["failures"]:
        console.print(f"FAILED {failure}", style="red", highlight=False, markup=False)


def _print_levels(console: Console, levels: list[dict[str, Any]]) -> None:
    table = Table("callers", "posts/s", "p50 ms", "p99 ms", "calls", "failed", title="server")
    for row in levels:
        figures = (row[key] for key in ("posts_per_second", "p50_ms", "p99_ms", "calls", "failed"))
        table.add_row(str(row["callers"]), *map(_text, figures))
    console.print(table)


def _print_stages(console: Console, levels: list[dict[str, Any]]) -> None:
    columns = [f"{row['callers']} at once" for row in levels]
    table = Table("model", *columns, title="a request's ms: compute + queue (posts in a batch)")
    for model in dict.fromkeys(name for row in levels for name in row["stages"]):
        cells = []
        for row in levels:
            stage = row["stages"].get(model)
            cells.append(
                f"{stage['compute_ms']:.1f} + {stage['queue_ms']:.1f} ({stage['batch']:.1f})"
                if stage
                else ""
            )
        table.add_row(model, *cells)
    console.print(table)


def _memory_line(memory: dict[str, Any]) -> str:
    line = f"server memory: {memory['server_rss_mib']:.0f} MiB resident"
    if memory["gpu_server_mib"] is not None:
        line += f", {memory['gpu_server_mib']:.0f} MiB on the GPU"
    return line


def _print_comparison(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table("", "batch", "posts/s", "to eager", "share of peak", "not measured because")
    for row in rows:
        share = row["share_of_peak"]
        table.add_row(
            row["name"],
            str(row["batch"]),
            _text(row["posts_per_second"]),
            _text(row["ratio_to_eager"]),
            "" if share is None else f"{share:.1%}",
            row["not_measured"] or "",
        )
    console.print(table)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
