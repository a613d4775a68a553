"""Make what `gpu.py` measures: a checkpoint, its model repository, servers on free ports."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mqspn.checkpoint import Checkpoint, load_checkpoint
from mqspn.engines.precision import Precision
from mqspn.export import build_from_checkpoint
from mqspn.files.replace import replace_text
from mqspn.repository import CudaProfile
from mqspn.repository.serving_profiles import ServingProfile
from mqspn.serving import ServerSettings, TritonServer
from mqspn.serving.ports import free_ports
from mqspn_client import __version__

from bench.random_checkpoint import write_random_checkpoint
from bench.run_settings import RunSettings

__all__ = ["MeasuredSystem", "compile_plans", "make_system", "running_server"]

_ROOT = Path(__file__).resolve().parents[2]
_DEMO_CHECKPOINT = _ROOT / "build" / "checkpoints" / "demo"
_DEMO_REPOSITORY = _ROOT / "model_repository"
#: Written last: what the checkpoint and the repository beside it were made of.
_MADE = "made.json"


@dataclass(frozen=True, kw_only=True)
class MeasuredSystem:
    """A checkpoint and the model repository that serves it."""

    checkpoint: Checkpoint
    repository: Path


def make_system(
    settings: RunSettings, texts: Sequence[str], work: Path, *, timeout_s: float
) -> MeasuredSystem:
    """Make the checkpoint and its repository in ``work``, with plans for serving profile gpu.

    What an earlier run of the same checkpoint, size, provider and version has made in ``work`` is
    used again. ``texts``: what a new checkpoint's tokenizer must know. ``timeout_s``: for compiling
    plans. Raises what `mqspn build` and `compile_plans` raise.
    """
    repository, made = work / "model_repository", work / _MADE
    folder = settings.checkpoint
    if folder is None and settings.size == "demo":
        folder = _DEMO_CHECKPOINT
    elif folder is None:
        folder = work / "checkpoint"
    origin = json.dumps(
        {
            "checkpoint": str(settings.checkpoint and settings.checkpoint.resolve()),
            "size": settings.size,
            "cuda": asdict(settings.cuda),
            "version": __version__,
        }
    )
    if not made.is_file() or made.read_text(encoding="utf-8") != origin:
        made.unlink(missing_ok=True)
        shutil.rmtree(repository, ignore_errors=True)
        if folder == work / "checkpoint":
            shutil.rmtree(folder, ignore_errors=True)
            write_random_checkpoint(folder, texts)
        if folder == _DEMO_CHECKPOINT and settings.cuda == CudaProfile():
            shutil.copytree(_DEMO_REPOSITORY, repository)
        else:
            for _ in build_from_checkpoint(folder, repository, cuda=settings.cuda):
                pass
        replace_text(made, origin)
    if settings.profile == "gpu":
        compile_plans(repository, "tensorrt", settings.precision, output=None, timeout_s=timeout_s)
    return MeasuredSystem(checkpoint=load_checkpoint(folder), repository=repository)


def compile_plans(
    repository: Path, engine: str, precision: Precision, *, output: Path | None, timeout_s: float
) -> None:
    """Run `mqspn compile` in a process of its own, which can be ended when its time is over.

    ``output``: the folder for the plans; None puts them where Triton looks. Raises RuntimeError
    with the command's last lines where it fails or is not done in ``timeout_s``.
    """
    command = [sys.executable, "-m", "mqspn.cli", "compile", "--repository", str(repository)]
    command += ["--engine", engine, "--precision", precision]
    if output is not None:
        command += ["--output", str(output)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"`mqspn compile` was not done in {timeout_s:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise RuntimeError(f"`mqspn compile` failed: {' '.join(lines[-3:])}")


@contextmanager
def running_server(
    repository: Path, profile: ServingProfile, *, ready_timeout_s: float, log_file: Path
) -> Iterator[TritonServer]:
    """Start a server on three free ports; its statistics are open to its `operator_key`."""
    grpc_port, http_port, metrics_port = free_ports(3)
    settings = ServerSettings(
        repository=repository,
        profile=profile,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        ready_timeout_s=ready_timeout_s,
        operator_key=secrets.token_hex(16),
        log_file=log_file,
    )
    with TritonServer(settings) as server:
        yield server
