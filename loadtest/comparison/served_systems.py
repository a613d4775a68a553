"""The systems with a server: Triton on a checkout's model, and the servers of `baselines`."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from latency import ModelTime, model_times
from mqspn.serving.ports import free_ports, is_listening
from mqspn_client import Client, RetrySettings
from posts import LoadPost

from comparison.callers import Call, CallError, grpc_call, http_call
from comparison.checkout import Checkout, CheckoutError, baseline_environment
from comparison.server_process import ServerProcess, SystemEndedError
from comparison.systems import CalledSystem

__all__ = ["HttpBaseline", "TritonSystem"]

_READY_S = 180.0
_POLL_S = 0.1


class TritonSystem(CalledSystem):
    """A checkout's model repository under its own `mqspn serve`, CPU profile, `--cache-mb 0`."""

    setting: Mapping[str, int] = {}

    def __init__(
        self,
        checkout: Checkout,
        posts: Mapping[str, Sequence[LoadPost]],
        work: Path,
        *,
        name: str,
        repository: Path | None = None,
    ) -> None:
        self.name = name
        self.posts = posts
        self._key = secrets.token_hex(16)
        ports = free_ports(3)
        self.url = f"127.0.0.1:{ports[0]}"
        self._ports = ports
        slug = name.replace(" ", "-")
        options = ["--repository", str(repository or checkout.repository), "--profile", "cpu"]
        for option, port in zip(("grpc", "http", "metrics"), ports, strict=True):
            options += [f"--{option}-port", str(port)]
        options += ["--operator-key", self._key, "--log-file", str(work / f"{slug}-triton.log")]
        serve = [sys.executable, "-m", "mqspn.cli", "serve"]
        options += _cache_off(serve, checkout)
        self.process = ServerProcess(
            [*serve, *options], environment=checkout.environment(), log=work / f"{slug}.log"
        )
        self.client: Client | None = None

    def start(self) -> None:
        self.process.start()
        self.client = Client(self.url, retry=RetrySettings(attempts=1), timeout_s=60.0)
        deadline = time.monotonic() + _READY_S
        while not (
            all(is_listening("127.0.0.1", port) for port in self._ports)
            and self.client.ready(timeout_s=2.0)
        ):
            _wait(self.process, deadline)

    def stop(self) -> None:
        if self.client is not None:
            self.client.close()
        super().stop()

    def _call(self) -> Call:
        assert self.client is not None
        return grpc_call(self.client)

    def _statistics(self) -> dict[str, ModelTime]:
        return model_times(self.url, self._key)


class HttpBaseline(CalledSystem):
    """A server of `baselines`, in ``module``, with ``setting`` as its options."""

    def __init__(
        self,
        module: str,
        posts: Mapping[str, Sequence[LoadPost]],
        work: Path,
        *,
        name: str,
        setting: Mapping[str, int],
    ) -> None:
        self.name = name
        self.posts = posts
        self.setting = setting
        (self._port,) = free_ports(1)
        command = [sys.executable, "-m", module, "--port", str(self._port)]
        for option, value in setting.items():
            command += [f"--{option}", str(value)]
        environment = {**baseline_environment(), "OMP_NUM_THREADS": str(setting["threads"])}
        self.process = ServerProcess(command, environment=environment, log=work / f"{name}.log")

    def start(self) -> None:
        self.process.start()
        deadline = time.monotonic() + _READY_S
        while not is_listening("127.0.0.1", self._port):
            _wait(self.process, deadline)
        try:
            self._call()(self.posts["text"][0])
        except CallError as error:
            raise SystemEndedError(f"{self.name}: {error}{self.process.last_lines()}") from error

    def _call(self) -> Call:
        return http_call(self._port)


def _cache_off(serve: Sequence[str], checkout: Checkout) -> list[str]:
    """Have no pictures remembered (`--cache-mb 0`), where this commit's `mqspn serve` can."""
    done = subprocess.run(
        [*serve, "--help"],
        env={**os.environ, **checkout.environment(), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise CheckoutError(
            f"`mqspn serve` of {checkout.name} does not start here: {said[-1]}; install what it "
            "needs into this environment"
        )
    return ["--cache-mb", "0"] if "--cache-mb" in done.stdout else []


def _wait(process: ServerProcess, deadline: float) -> None:
    """Wait a moment for it to be ready; raise SystemEndedError where that is in vain."""
    process.check()
    if time.monotonic() > deadline:
        raise SystemEndedError(f"not ready after {_READY_S:.0f} s{process.last_lines()}")
    time.sleep(_POLL_S)
