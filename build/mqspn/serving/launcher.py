"""Start a Triton server, wait until it is ready, stop it; nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from mqspn_backend.resources import thread_count

from mqspn.repository.runtime import find_gpus
from mqspn.serving import supervisor
from mqspn.serving.backend_directory import link_backends, server_environment
from mqspn.serving.cuda_check import check_cuda
from mqspn.serving.cuda_driver import find_cuda_driver
from mqspn.serving.errors import (
    PlanRefusedError,
    RepositoryMissingError,
    ServerError,
    ServerStartError,
)
from mqspn.serving.find_server import Installation, check_platform, find_server
from mqspn.serving.instances import link_instances
from mqspn.serving.ports import check_port, format_address, is_listening
from mqspn.serving.python_library import find_python_library
from mqspn.serving.server_log import failure_lines
from mqspn.serving.server_settings import ServerSettings

__all__ = ["TritonServer"]

_POLL_S = 0.05
_WAIT_S = 1.0
#: Triton ends by itself when its exit timeout is over; this much later it is killed.
_EXIT_GRACE_S = 2.0


class TritonServer:
    """A Triton server on one model repository, as a context manager.

    >>> with TritonServer(ServerSettings(repository=Path("model_repository"))) as server:
    ...     client = tritonclient.grpc.InferenceServerClient(server.url)

    `start` returns when every model is loaded and warmed up and every port answers. The server ends
    with `stop`, at the end of the ``with`` block, or when this process ends in whatever way.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._folder = Path()
        self._shm_prefix = ""
        self._was_ready = False

    @property
    def url(self) -> str:
        """The gRPC address, "host:port", as a client on this machine writes it."""
        return format_address(self.settings.host, self.settings.grpc_port)

    @property
    def http_url(self) -> str:
        """The root of the HTTP API, without a slash at the end."""
        return f"http://{format_address(self.settings.host, self.settings.http_port)}"

    @property
    def metrics_url(self) -> str:
        """The page that Prometheus reads."""
        address = format_address(self.settings.host, self.settings.metrics_port)
        return f"http://{address}/metrics"

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises a ServerError (see `mqspn.serving.errors`); the server is stopped then.
        """
        if self._process is not None:
            raise ServerError("this server was started already; make a new one")
        _check_repository(self.settings.repository)
        try:
            thread_count("0", os.environ | self.settings.variables)
        except ValueError as error:  # the backend's; every model would say it
            raise ServerError(str(error)) from error
        if self.settings.profile == "cuda":
            check_cuda(self.settings.repository)
        installation = _find_installation(self.settings)
        if self.settings.profile == "gpu":
            _check_plans(self.settings.repository)
        python_library = find_python_library()
        for option, port in self.settings.ports.items():
            check_port(self.settings.host, port, option)
        self._log = _open_log(self.settings.log_file)
        self._folder = Path(tempfile.mkdtemp(prefix="mqspn-server-"))
        self._shm_prefix = f"mqspn_{os.getpid()}_{secrets.token_hex(4)}_"
        repository = self.settings.repository
        try:
            if (instances := self.settings.instances) > 1:
                models = self._folder / "models"
                repository = link_instances(
                    repository, models, profile=self.settings.profile, instances=instances
                )
            arguments = self.settings.arguments(
                repository=repository,
                backends=link_backends(installation, self._folder),
                caches=installation.caches,
                shm_prefix=self._shm_prefix,
                gpus=0 if self.settings.profile == "cpu" else len(find_gpus()),
            )
            environment = server_environment(
                installation,
                self._folder,
                python_library,
                cuda_driver=None if self.settings.profile == "cpu" else find_cuda_driver(),
            )
            environment |= self.settings.variables
            self._process = self._launch([str(installation.executable), *arguments], environment)
            self._wait_ready()
            self._was_ready = True
        except BaseException:
            self.stop()
            raise

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until the server ends; return its exit code.

        Raises TimeoutError after ``timeout_s`` seconds.
        """
        if self._process is None:
            raise ServerError("this server was not started")
        if timeout_s is None:
            return _wait(self._process)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the server still runs after {timeout_s} s") from None

    def stop(self) -> bool:
        """Stop the server and wait until nothing of it is left; True where it ended well.

        It gets `exit_timeout_s` to answer what it has begun, then it is killed. Interrupted by
        Ctrl-C, this method kills the server at once and raises KeyboardInterrupt afterwards. A
        server that was not started, or has ended, is left alone.
        """
        process = self._process
        if process is None:
            self._clean_up()
            return True
        try:
            self._order_stop()
            code = _wait(process)
        except BaseException:
            self._order_stop()
            process.wait()
            raise
        finally:
            self._clean_up()
        # Stopped while it loads its models, Triton ends with an error: nobody has lost anything.
        return code == 0 or (not self._was_ready and code != supervisor.KILLED)

    def kill(self) -> None:
        """Kill the server at once and wait until nothing of it is left."""
        self._order_stop()
        self._order_stop()
        self.stop()

    def failure(self) -> str:
        """Read from the log why the server ended; empty where it does not say."""
        return "\n".join(failure_lines(self._read_log(), was_ready=self._was_ready))

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._log is not None:
            self._log.close()

    def _launch(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        script = [sys.executable, "-I", "-S", supervisor.__file__]
        exit_timeout_s = self.settings.exit_timeout_s + _EXIT_GRACE_S
        options = [str(os.getpid()), str(exit_timeout_s), str(self._folder), self._shm_prefix]
        return subprocess.Popen(
            [*script, *options, *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            # Ctrl-C in a terminal must reach us only: the server is told by us.
            start_new_session=True,
        )

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self.settings.ready_timeout_s
        while not self._is_ready():
            if self._process.poll() is not None:
                raise ServerStartError(
                    f"the server ended before it was ready (exit code {self._process.returncode})"
                    f"{self._reason()}"
                )
            if time.monotonic() > deadline:
                raise ServerStartError(
                    f"the server was not ready after {self.settings.ready_timeout_s:g} s; allow "
                    f"it more time, or see what it waits for{self._reason()}"
                )
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        """Whether gRPC says ready and the other ports, opened after it, answer."""
        host = self.settings.host
        if not all(is_listening(host, port) for port in self.settings.ports.values()):
            return False
        # With TLS a check would need the caller's key. The ports open only after every model is
        # loaded and warmed up, because a failed load ends the server.
        return self.settings.tls or _grpc_ready(self.url)

    def _reason(self) -> str:
        lines = failure_lines(self._read_log(), was_ready=False)
        where = f"\nthe whole log: {self.settings.log_file}" if self.settings.log_file else ""
        return (":\n" + "\n".join(f"  {line}" for line in lines) if lines else "") + where

    def _read_log(self) -> str:
        if self._log is None or self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        # The server writes through the same file offset; reading must not move it.
        return os.pread(self._log.fileno(), size, 0).decode("utf-8", errors="replace")

    def _order_stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(self._process.stdin.fileno(), b".")

    def _clean_up(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        # The supervisor has done this already, unless it was killed or never began.
        if self._shm_prefix:
            supervisor.remove_traces(self._folder, self._shm_prefix)


def _check_repository(repository: Path) -> None:
    if not repository.is_dir():
        raise RepositoryMissingError(
            f"there is no model repository {repository}; name one with --repository, or make one "
            "with `mqspn build`"
        )
    if not any(repository.glob("*/config.pbtxt")):
        raise RepositoryMissingError(
            f"{repository} holds no model (a folder with a config.pbtxt); name a model repository "
            "with --repository, or make one with `mqspn build`"
        )


def _check_plans(repository: Path) -> None:
    from mqspn.repository.errors import RepositoryError
    from mqspn.repository.manifest import check_plans
    from mqspn.repository.runtime import find_runtime

    try:
        check_plans(repository, find_runtime())
    except RepositoryError as error:
        raise PlanRefusedError(str(error)) from error


def _find_installation(settings: ServerSettings) -> Installation:
    try:
        installation = find_server(settings.profile, settings.tritonserver)
    except ServerError:
        # Where the wheel cannot be installed, that is the better thing to say.
        check_platform()
        raise
    if installation.stubs is not None:
        check_platform()
    return installation


def _open_log(path: Path | None) -> BinaryIO:
    if path is None:
        return tempfile.TemporaryFile()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w+b")
    except OSError as error:
        raise ServerError(f"cannot write the log file {path}: {error.strerror}") from error


def _grpc_ready(url: str) -> bool:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    # A proxy from the environment is for the world outside, not for a server we started.
    client = InferenceServerClient(url, channel_args=[("grpc.enable_http_proxy", 0)])
    try:
        return bool(client.is_server_ready(client_timeout=2.0))
    except InferenceServerException:
        return False
    finally:
        client.close()


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code of ``process``, waited for in pieces: a signal that arrives right before a wait
    begins is only seen when that wait is over.
    """
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_WAIT_S)
