"""A real server is started and stopped, in order and by force, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from mqspn.serving import (
    PortInUseError,
    RepositoryMissingError,
    ServerError,
    ServerSettings,
    ServerStartError,
    TritonServer,
)
from mqspn.serving.backend_directory import link_backends, server_environment
from mqspn.serving.find_server import find_server
from mqspn.serving.ports import free_ports, is_listening
from mqspn.serving.python_library import find_python_library
from tritonclient.utils import InferenceServerException

Settings = Callable[..., ServerSettings]
Eventually = Callable[..., bool]


def echo(url: str, values: list[int], timeout_s: float = 10.0) -> list[int]:
    x = np.array([values], np.int32)
    tensor = triton.InferInput("X", x.shape, "INT32")
    tensor.set_data_from_numpy(x)
    with triton.InferenceServerClient(url) as client:
        answer = client.infer("echo", [tensor], client_timeout=timeout_s)
    return answer.as_numpy("Y")[0].tolist()


def processes(mark: str) -> list[int]:
    """The processes that have ``mark`` in their command line, this one left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@dataclass(frozen=True)
class Marks:
    """What one server's processes, shared memory and folder are known by."""

    shm_prefix: str
    folder: str

    def processes(self) -> list[int]:
        return processes(self.shm_prefix)

    def shared_memory(self) -> list[str]:
        return [str(p) for p in Path("/dev/shm").glob(f"{self.shm_prefix}*")]

    def left(self) -> list[str]:
        folder = [self.folder] if Path(self.folder).exists() else []
        return [*(f"process {pid}" for pid in self.processes()), *self.shared_memory(), *folder]


def marks_of(server: TritonServer) -> Marks:
    return Marks(server._shm_prefix, str(server._folder))


def test_a_server_answers_and_leaves_nothing_behind(
    echo_repository: Path, settings: Settings, tmp_path: Path
) -> None:
    before = sorted(str(p) for p in echo_repository.rglob("*"))
    log_file = tmp_path / "logs" / "server.log"
    with TritonServer(settings(echo_repository, log_file=log_file)) as server:
        assert echo(server.url, [0, 7]) == [0, 7]
        assert urllib.request.urlopen(server.http_url + "/v2/health/ready").status == 200
        assert b"nv_inference_count" in urllib.request.urlopen(server.metrics_url).read()
        assert server.running
        marks = marks_of(server)
        # The server, its supervisor and the model's process: the marks would be found.
        assert len(marks.processes()) >= 3
        assert marks.shared_memory()
        assert marks.folder in marks.left()
    assert marks.left() == []
    assert not server.running
    assert not any(is_listening("127.0.0.1", p) for p in server.settings.ports.values())
    assert sorted(str(p) for p in echo_repository.rglob("*")) == before
    assert "Started GRPCInferenceService" in log_file.read_text(encoding="utf-8")


def test_stopping_twice_or_before_the_start_is_harmless(
    echo_repository: Path, settings: Settings
) -> None:
    server = TritonServer(settings(echo_repository))
    assert server.stop()
    server.start()
    with pytest.raises(TimeoutError):
        server.wait(timeout_s=0.01)
    with pytest.raises(ServerError, match="started already"):
        server.start()
    assert server.stop()
    assert server.stop()
    assert server.wait() == 0


def test_a_request_in_flight_is_answered_before_the_server_ends(
    echo_repository: Path, settings: Settings
) -> None:
    answers: list[list[int]] = []
    with TritonServer(settings(echo_repository)) as server:
        caller = threading.Thread(target=lambda: answers.append(echo(server.url, [1000, 5])))
        caller.start()
        time.sleep(0.4)
        assert server.stop()
        caller.join()
    assert answers == [[1000, 5]]


def test_a_server_that_does_not_end_is_killed(echo_repository: Path, settings: Settings) -> None:
    server = TritonServer(settings(echo_repository, exit_timeout_s=1.0))
    server.start()
    marks = marks_of(server)
    caller = threading.Thread(target=lambda: _ignore_failure(server.url, [60_000]))
    caller.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert not server.stop()
    assert time.monotonic() - started < 8
    assert marks.left() == []
    caller.join()


def _ignore_failure(url: str, values: list[int]) -> None:
    with pytest.raises(InferenceServerException):
        echo(url, values, timeout_s=30.0)


def test_kill_does_not_wait(echo_repository: Path, settings: Settings) -> None:
    server = TritonServer(settings(echo_repository))
    server.start()
    marks = marks_of(server)
    started = time.monotonic()
    server.kill()
    assert time.monotonic() - started < 1.5
    assert marks.left() == []


START = """
import sys
from mqspn.serving import ServerSettings, TritonServer
from pathlib import Path
repository, grpc, http, metrics = sys.argv[1:]
server = TritonServer(ServerSettings(repository=Path(repository), grpc_port=int(grpc),
    http_port=int(http), metrics_port=int(metrics)))
server.start()
print(server._shm_prefix, server._folder, flush=True)
server.wait()
"""


def test_the_server_ends_when_the_process_that_started_it_is_killed(
    echo_repository: Path, eventually: Eventually
) -> None:
    ports = [str(port) for port in free_ports(3)]
    with subprocess.Popen(
        [sys.executable, "-c", START, str(echo_repository), *ports],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        try:
            assert parent.stdout is not None
            marks = Marks(*parent.stdout.readline().split())
            assert echo(f"127.0.0.1:{ports[0]}", [0, 3]) == [0, 3]
            assert marks.processes()
        finally:
            parent.kill()
    assert eventually(lambda: marks.left() == []), marks.left()


def test_the_server_ends_when_its_supervisor_is_killed(
    echo_repository: Path, settings: Settings, eventually: Eventually
) -> None:
    server = TritonServer(settings(echo_repository))
    server.start()
    marks = marks_of(server)
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGKILL)
    assert eventually(lambda: not marks.processes()), marks.processes()
    assert not server.stop()
    assert eventually(lambda: marks.left() == []), marks.left()


def test_a_server_that_dies_is_noticed(echo_repository: Path, settings: Settings) -> None:
    server = TritonServer(settings(echo_repository))
    server.start()
    marks = marks_of(server)
    executable = str(find_server("cpu").executable)
    for pid in processes(server._shm_prefix):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(executable.encode()):
            os.kill(pid, signal.SIGKILL)
    assert server.wait(timeout_s=10) == 128 + signal.SIGKILL
    assert marks.left() == []


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port", "--metrics-port"])
def test_a_port_in_use_is_named(option: str, echo_repository: Path, settings: Settings) -> None:
    chosen = settings(echo_repository)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", chosen.ports[option]))
        taken.listen()
        with pytest.raises(PortInUseError, match=f"{chosen.ports[option]} .* in use.*{option}"):
            TritonServer(chosen).start()


def test_a_missing_or_empty_repository_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(RepositoryMissingError, match=r"nowhere.*--repository.*mqspn build"):
        TritonServer(settings(tmp_path / "nowhere")).start()
    with pytest.raises(RepositoryMissingError, match="holds no model"):
        TritonServer(settings(tmp_path)).start()


def test_a_broken_model_gives_its_own_reason(
    echo_repository: Path, settings: Settings, tmp_path: Path
) -> None:
    model = echo_repository / "echo" / "1" / "model.py"
    model.write_text("raise RuntimeError('no weights today')\n")
    server = TritonServer(settings(echo_repository, log_file=tmp_path / "server.log"))
    with pytest.raises(ServerStartError) as caught:
        server.start()
    message = str(caught.value)
    assert "failed to load 'echo'" in message
    assert "no weights today" in message
    assert f"{model}(1)" in message
    assert str(tmp_path / "server.log") in message
    assert "Cuda" not in message
    assert marks_of(server).left() == []


def test_an_argument_tritonserver_does_not_know_is_named(
    echo_repository: Path, settings: Settings
) -> None:
    server = TritonServer(settings(echo_repository, extra_args=("--no-such-thing=1",)))
    with pytest.raises(ServerStartError, match="unrecognized option '--no-such-thing"):
        server.start()


def test_a_server_that_is_not_ready_in_time_is_stopped(
    echo_repository: Path, settings: Settings
) -> None:
    model = echo_repository / "echo" / "1" / "model.py"
    model.write_text("import time\ntime.sleep(60)\n")
    server = TritonServer(settings(echo_repository, ready_timeout_s=1.0, exit_timeout_s=1.0))
    with pytest.raises(ServerStartError, match="not ready after 1 s"):
        server.start()
    assert marks_of(server).left() == []


def test_operator_calls_need_the_key(echo_repository: Path, settings: Settings) -> None:
    with (
        TritonServer(settings(echo_repository, operator_key="s3cret")) as server,
        triton.InferenceServerClient(server.url) as client,
    ):
        assert client.is_model_ready("echo")
        for call in (client.get_inference_statistics, client.get_model_repository_index):
            with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
                call()
            call(headers={"triton-grpc-protocol-operator-key": "s3cret"})
        url = f"{server.http_url}/v2/models/stats"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url)
        allowed = urllib.request.Request(url, headers={"operator-key": "s3cret"})
        assert b"echo" in urllib.request.urlopen(allowed).read()


def test_tritonserver_started_by_hand_serves_a_built_repository(
    tiny_export: Any, tmp_path: Path, eventually: Eventually
) -> None:
    from mqspn.repository import build_repository

    build_repository(**vars(tiny_export), output=tmp_path / "model_repository")
    installation = find_server("cpu")
    folder = tmp_path / "private"
    folder.mkdir()
    grpc_port, http_port, metrics_port = free_ports(3)
    command = [
        str(installation.executable),
        f"--model-repository={tmp_path / 'model_repository'}",
        "--model-config-name=cpu",
        f"--backend-directory={link_backends(installation, folder)}",
        f"--grpc-port={grpc_port}",
        f"--http-port={http_port}",
        f"--metrics-port={metrics_port}",
    ]
    environment = server_environment(installation, folder, find_python_library())
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            up = eventually(lambda: is_listening("127.0.0.1", grpc_port), 60)
            assert up, (tmp_path / "log").read_text(errors="replace")[-3000:]
            with triton.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client:
                assert client.is_server_ready()
                assert client.is_model_ready("mqspn")
                assert client.is_model_ready("mqspn_regions")
        finally:
            process.terminate()
    assert process.returncode == 0


def test_the_model_processes_see_the_packages_of_this_interpreter(
    echo_repository: Path, settings: Settings, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    (echo_repository / "echo" / "1" / "model.py").write_text(
        "import sys, numpy, mqspn_backend, tokenizers, onnxruntime, PIL\n"
        f"open({str(report)!r}, 'w').write('|'.join([numpy.__file__, mqspn_backend.__file__, "
        "sys.version.split()[0], sys.base_prefix]))\n"
        "class TritonPythonModel:\n"
        "    def execute(self, requests):\n"
        "        return []\n"
    )
    import mqspn_backend

    with TritonServer(settings(echo_repository)):
        pass
    assert report.read_text().split("|") == [
        np.__file__,
        mqspn_backend.__file__,
        sys.version.split()[0],
        sys.base_prefix,
    ]


def test_two_servers_stand_side_by_side(echo_repository: Path, settings: Settings) -> None:
    with TritonServer(settings(echo_repository)) as first:
        with TritonServer(settings(echo_repository)) as second:
            assert echo(second.url, [0, 2]) == [0, 2]
        # The second one's end took nothing from the first.
        assert echo(first.url, [0, 1]) == [0, 1]
        with pytest.raises(PortInUseError):
            TritonServer(replace(first.settings)).start()
