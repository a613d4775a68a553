"""The command `mqspn serve`: run Triton in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from mqspn_backend.resources import CACHE_VARIABLE, THREADS_VARIABLE

from mqspn.repository.serving_profiles import ServingProfile
from mqspn.serving.errors import ServerError
from mqspn.serving.launcher import TritonServer
from mqspn.serving.ports import format_address
from mqspn.serving.server_settings import (
    MAX_CACHE_MB,
    MAX_INSTANCES,
    MAX_THREADS,
    ServerSettings,
)

__all__ = ["default_repository", "serve"]

#: ONNX Runtime's TensorRT provider builds its engines while the models are loaded.
_READY_TIMEOUT_S: dict[ServingProfile, float] = {"cpu": 300.0, "cuda": 1800.0, "gpu": 300.0}


def serve(
    tritonserver_args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- TRITONSERVER_ARGS...]", help="More arguments for tritonserver, after --."
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(
            help="Model repository. Default: model_repository/ here, else the source checkout's.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        ServingProfile,
        typer.Option(
            help="cpu or cuda (ONNX Runtime), or gpu (TensorRT plans, in NVIDIA's container)."
        ),
    ] = "cpu",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(help="Port for gRPC.", min=1, max=65535)] = 8001,
    http_port: Annotated[int, typer.Option(help="Port for HTTP.", min=1, max=65535)] = 8000,
    metrics_port: Annotated[
        int, typer.Option(help="Port for Prometheus metrics.", min=1, max=65535)
    ] = 8002,
    threads: Annotated[
        int | None,
        typer.Option(
            envvar=THREADS_VARIABLE,
            min=0,
            max=MAX_THREADS,
            help="Threads of each engine, and images decoded at once; 0 is the cores that the "
            "server may use. Default: what each model's configuration says; in profile cpu, 0.",
            show_default=False,
        ),
    ] = None,
    instances: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_INSTANCES,
            help="Instances of each vision engine, in profile cpu: more for many callers.",
        ),
    ] = 1,
    cache_mb: Annotated[
        int,
        typer.Option(
            envvar=CACHE_VARIABLE,
            min=0,
            max=MAX_CACHE_MB,
            help="MiB for the vision steps' results of pictures seen before, in profile cpu; 0 "
            "turns that off.",
        ),
    ] = 256,
    log_file: Annotated[
        Path, typer.Option(help="The server's output goes here; overwritten.")
    ] = Path("mqspn-serve.log"),
    tritonserver: Annotated[
        Path | None,
        typer.Option(help="The tritonserver to run. Default: the wheel's, else one on PATH."),
    ] = None,
    operator_key: Annotated[
        str | None,
        typer.Option(
            envvar="MQSPN_OPERATOR_KEY",
            help="Opens statistics, configuration, tracing and logging to who sends it as "
            "operator-key. Default: closed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a model repository with Triton until Ctrl-C."""
    settings = ServerSettings(
        repository=default_repository() if repository is None else repository,
        profile=profile,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        threads=threads,
        cache_mb=cache_mb,
        instances=instances,
        tritonserver=tritonserver,
        log_file=log_file,
        ready_timeout_s=_READY_TIMEOUT_S[profile],
        operator_key=operator_key,
        extra_args=tuple(tritonserver_args or ()),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell starts background jobs with SIGINT ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    server = TritonServer(settings)
    typer.echo(f"starting Triton on {settings.repository} (serving profile {profile})", err=True)
    try:
        server.start()
        typer.echo(_ready_line(settings))
        code = server.wait()
    except KeyboardInterrupt:
        _stop(server)
        return
    server.stop()
    reason = f":\n{server.failure()}\n" if code else "; "
    raise ServerError(
        f"the server ended by itself (exit code {code}){reason}the whole log: {log_file}"
    )


def default_repository() -> Path:
    """Find `model_repository/` in the current folder, else in the source checkout."""
    here = Path("model_repository")
    checkout = Path(__file__).resolve().parents[3] / "model_repository"
    return checkout if not here.is_dir() and checkout.is_dir() else here


def _stop(server: TritonServer) -> None:
    limit_s = server.settings.exit_timeout_s
    try:
        typer.echo("stopping; Ctrl-C again to kill", err=True)
        clean = server.stop()
    except KeyboardInterrupt:
        server.kill()
        raise ServerError("the server was killed; requests in flight were lost") from None
    if not clean:
        raise ServerError(
            f"the server did not end well within {limit_s:g} s; see {server.settings.log_file}"
        )


def _ready_line(settings: ServerSettings) -> str:
    addresses = [
        f"{option[2:].removesuffix('-port')} {format_address(settings.host, port)}"
        for option, port in settings.ports.items()
    ]
    return f"ready: {', '.join(addresses)}, log {settings.log_file}"


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
