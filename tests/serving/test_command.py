"""`mqspn serve` in a process of its own, as a terminal or a service manager runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from mqspn.serving.ports import free_ports, is_listening

MQSPN = (sys.executable, "-m", "mqspn.cli")


@contextmanager
def serving(
    repository: Path, folder: Path, *more: str
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The command on free ports, run in ``folder``, and its ports; killed at the end."""
    ports = free_ports(3)
    options = ("--grpc-port", "--http-port", "--metrics-port")
    arguments = [f"--repository={repository}"]
    arguments += [f"{o}={p}" for o, p in zip(options, ports, strict=True)]
    with subprocess.Popen(
        [*MQSPN, "serve", *arguments, *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, ports
        finally:
            process.kill()


def ready_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_line_when_ready_and_a_clean_end(
    number: signal.Signals, echo_repository: Path, tmp_path: Path
) -> None:
    with serving(echo_repository, tmp_path) as (process, (grpc, http, metrics)):
        assert ready_line(process) == (
            f"ready: grpc 127.0.0.1:{grpc}, http 127.0.0.1:{http}, "
            f"metrics 127.0.0.1:{metrics}, log mqspn-serve.log\n"
        )
        with triton.InferenceServerClient(f"127.0.0.1:{grpc}") as client:
            assert client.is_model_ready("echo")
        process.send_signal(number)
        out, err = process.communicate(timeout=15)
    assert process.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err
    assert not is_listening("127.0.0.1", grpc)
    assert "Started GRPCInferenceService" in (tmp_path / "mqspn-serve.log").read_text()


def test_a_second_ctrl_c_kills(echo_repository: Path, tmp_path: Path) -> None:
    with serving(echo_repository, tmp_path) as (process, (grpc, _, _)):
        ready_line(process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("Ctrl-C again" in line for line in lines)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert "was killed" in err
    assert "Traceback" not in err
    assert not is_listening("127.0.0.1", grpc)


def test_ctrl_c_while_models_load_ends_it(echo_repository: Path, tmp_path: Path) -> None:
    model = echo_repository / "echo" / "1" / "model.py"
    model.write_text(f"open({str(tmp_path / 'loading')!r}, 'w')\n" + model.read_text())
    with serving(echo_repository, tmp_path) as (process, (grpc, _, _)):
        while not (tmp_path / "loading").exists():
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert not is_listening("127.0.0.1", grpc)
    assert out == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_server_that_dies_ends_the_command(
    number: signal.Signals, echo_repository: Path, tmp_path: Path
) -> None:
    with serving(echo_repository, tmp_path) as (process, _):
        ready_line(process)
        log = (tmp_path / "mqspn-serve.log").read_text()
        pid = re.search(r"^I\d+ \S+ (\d+) grpc_server", log, re.MULTILINE)
        assert pid is not None
        os.kill(int(pid[1]), number)
        _, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert f"ended by itself (exit code {128 + number})" in err
    told = "the server received signal 11 (SIGSEGV)"  # nobody lives to tell of SIGKILL
    assert (f"):\n{told}\nthe whole log" in err) == (number == signal.SIGSEGV)
    assert "mqspn-serve.log" in err


def test_a_failed_start_is_one_plain_message(echo_repository: Path, tmp_path: Path) -> None:
    (echo_repository / "echo" / "1" / "model.py").write_text("raise ValueError('no weights')\n")
    with serving(echo_repository, tmp_path) as (process, _):
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "mqspn: the server ended before it was ready" in err
    assert "no weights" in err
    assert "Traceback" not in err


def test_arguments_after_two_dashes_reach_tritonserver(
    echo_repository: Path, tmp_path: Path
) -> None:
    with serving(echo_repository, tmp_path, "--", "--log-verbose=1", "--allow-metrics=false") as (
        process,
        (_, _, metrics),
    ):
        assert "metrics" not in ready_line(process)
        assert not is_listening("127.0.0.1", metrics)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert process.returncode == 0
