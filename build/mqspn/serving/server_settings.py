"""The settings of a server, and the `tritonserver` command line they make."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from mqspn_backend.resources import CACHE_VARIABLE, THREADS_VARIABLE

from mqspn.repository.serving_profiles import SERVING_PROFILES, ServingProfile
from mqspn.serving.errors import ServerError

__all__ = ["MAX_CACHE_MB", "MAX_INSTANCES", "MAX_THREADS", "ServerSettings"]

MAX_THREADS = 1024
MAX_INSTANCES = 64
MAX_CACHE_MB = 1024 * 1024

_MIB = 1024 * 1024
#: Host memory for copies to and from a GPU: 1.7 MB a post in flight at the paper's size.
_PINNED_MIB = 1024
#: What only an operator may call. `metadata`, `health` and `inference` stay open.
_OPERATOR_APIS = "model-repository,model-config,shared-memory,statistics,trace,logging"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The settings of a server: repository, serving profile, addresses, limits.

    ``profile``: the serving profile, "cpu" or "cuda" (each model's `configs/<profile>.pbtxt`) or
    "gpu" (its `config.pbtxt`).
    ``threads``: of every engine, and images that `preprocess` decodes at once; 0 is the cores that
    the server may use, None what each model's configuration says. ``cache_mb``: mebibytes for
    results of the vision steps, so that profile cpu answers from memory for a picture seen before;
    0 turns that off.
    ``instances``: of each vision engine, in profile cpu.
    ``tritonserver``: the executable; None looks for one. ``log_file``: where the server's output
    goes, overwritten; None keeps it only while the server runs. ``ready_timeout_s`` bounds the
    start, models loaded and warmed up. ``exit_timeout_s`` bounds the stop; then the server is
    killed. ``operator_key``: the secret that opens loading, configuration, statistics, tracing,
    logging and shared memory (gRPC metadata `triton-grpc-protocol-operator-key`, HTTP header
    `operator-key`); None makes a random one, so that nobody has it. ``extra_args`` go to
    `tritonserver` last and so win over the arguments above them.

    Raises ServerError for a port out of range or used twice, an unknown serving profile; threads,
    instances or cache_mb out of range; a port among ``extra_args``; or a key with other characters
    than letters, digits, - and _.
    """

    repository: Path
    profile: ServingProfile = "cpu"
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    threads: int | None = None
    cache_mb: int = 0
    instances: int = 1
    tritonserver: Path | None = None
    log_file: Path | None = None
    log_verbose: int = 0
    ready_timeout_s: float = 300.0
    exit_timeout_s: float = 10.0
    operator_key: str | None = field(default=None, repr=False)
    extra_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.profile not in SERVING_PROFILES:
            raise ServerError(f"unknown serving profile {self.profile!r}: cpu, cuda or gpu")
        for name, port in self.ports.items():
            if not 1 <= port <= 65535:
                raise ServerError(f"{name} must be from 1 to 65535, not {port}")
        for option in self.ports:
            if any(arg.split("=")[0] == option for arg in self.extra_args):
                raise ServerError(f"{option} may not stand among the arguments for tritonserver")
        if len(set(self.ports.values())) < len(self.ports):
            raise ServerError("gRPC, HTTP and metrics need three different ports")
        if self.threads is not None and not 0 <= self.threads <= MAX_THREADS:
            raise ServerError(f"threads must be from 0 to {MAX_THREADS}, not {self.threads}")
        if not 1 <= self.instances <= MAX_INSTANCES:
            raise ServerError(f"instances must be from 1 to {MAX_INSTANCES}, not {self.instances}")
        if self.instances > 1 and self.profile != "cpu":
            raise ServerError("more than one instance of the vision engines is for profile cpu")
        if not 0 <= self.cache_mb <= MAX_CACHE_MB:
            raise ServerError(f"cache_mb must be from 0 to {MAX_CACHE_MB}, not {self.cache_mb}")
        if 0 < self.cache_mb < self.instances:
            raise ServerError(
                f"cache_mb {self.cache_mb} is less than 1 for each of {self.instances} instances; "
                "give more, or 0 for none"
            )
        if self.operator_key is not None and not re.fullmatch("[A-Za-z0-9_-]+", self.operator_key):
            raise ServerError("operator_key may hold letters, digits, - and _ only")

    @property
    def ports(self) -> dict[str, int]:
        """List the ports that are opened, by option name, in the order of their opening."""
        ports = {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}
        return {
            f"--{name}-port": port
            for name, port in ports.items()
            if f"--allow-{name}=false" not in self.extra_args
        }

    @property
    def tls(self) -> bool:
        """Tell whether ``extra_args`` turn on TLS for gRPC."""
        return any(arg.startswith("--grpc-use-ssl") for arg in self.extra_args)

    @property
    def variables(self) -> dict[str, str]:
        """List the environment variables that the settings give the models, by name."""
        # Each instance is a process that remembers for itself.
        variables = {CACHE_VARIABLE: str(self.cache_mb // self.instances)}
        if self.threads is not None:
            variables[THREADS_VARIABLE] = str(self.threads)
        return variables

    def arguments(
        self,
        *,
        backends: Path,
        caches: Path,
        shm_prefix: str,
        gpus: int = 1,
        repository: Path | None = None,
    ) -> list[str]:
        """Make the command-line arguments of `tritonserver`.

        ``backends`` and ``caches`` are its folders of shared libraries; ``shm_prefix`` starts the
        names of the Python backend's shared memory regions in /dev/shm; ``gpus``: how many CUDA
        shows, in the profiles that use one; ``repository``: a copy that stands for the settings'.
        """
        key = self.operator_key or secrets.token_hex(16)
        args = [
            "--id=mqspn",
            f"--model-repository={(repository or self.repository).absolute()}",
            "--model-control-mode=none",
            "--exit-on-error=true",
            "--strict-readiness=true",
            "--disable-auto-complete-config",
            f"--backend-directory={backends}",
            f"--cache-directory={caches}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            # The stub answers only after its imports; those are slow on a loaded machine.
            "--backend-config=python,stub-timeout-seconds=120",
            f"--grpc-address={self.host}",
            f"--grpc-port={self.grpc_port}",
            f"--grpc-restricted-protocol={_OPERATOR_APIS}:operator-key={key}",
            f"--http-address={self.host}",
            f"--http-port={self.http_port}",
            f"--http-restricted-api={_OPERATOR_APIS}:operator-key={key}",
            f"--metrics-address={self.host}",
            f"--metrics-port={self.metrics_port}",
            "--allow-sagemaker=false",
            "--allow-vertex-ai=false",
            f"--exit-timeout-secs={max(1, int(self.exit_timeout_s))}",
            f"--log-verbose={self.log_verbose}",
        ]
        if self.profile != "gpu":
            # cpu has no GPU; the wheel's library that reads one is older than today's drivers.
            args += [f"--model-config-name={self.profile}", "--allow-gpu-metrics=false"]
        return [*args, *self._memory_arguments(gpus), *self.extra_args]

    def _memory_arguments(self, gpus: int) -> list[str]:
        """The sizes of the server's memory pools, but for those that ``extra_args`` set."""
        if self.profile == "cpu":
            return []
        args = {
            # Without Triton's pool on the device, outputs come to pinned memory on the engine's
            # own stream. With it, `postprocess` copies on the default one: a barrier for the GPU.
            "--cuda-memory-pool-byte-size": [f"{gpu}:0" for gpu in range(gpus)],
            "--pinned-memory-pool-byte-size": [str(_PINNED_MIB * _MIB)],
        }
        given = [
            f"{option}={value}"
            for option, values in args.items()
            if not any(arg.split("=")[0] == option for arg in self.extra_args)
            for value in values
        ]
        # Images and pixels of many posts at once; it grows by steps, and never shrinks.
        for name, mib in (("shm-default-byte-size", 64), ("shm-growth-byte-size", 16)):
            if not any(f"python,{name}=" in arg for arg in self.extra_args):
                given.append(f"--backend-config=python,{name}={mib * _MIB}")
        return given
