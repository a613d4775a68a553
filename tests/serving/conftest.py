"""Real Triton servers for the tests: one of the committed repository, one of a tiny one."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mqspn.serving import ServerSettings, TritonServer
from mqspn.serving.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("serving")


def _settings(repository: Path, **changes: Any) -> ServerSettings:
    grpc_port, http_port, metrics_port = free_ports(3)
    values: dict[str, Any] = {
        "repository": repository,
        "grpc_port": grpc_port,
        "http_port": http_port,
        "metrics_port": metrics_port,
        "ready_timeout_s": 120.0,
        "operator_key": "test-key",
    }
    return ServerSettings(**{**values, **changes})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The committed model repository, served on free ports for the whole session."""
    log_file = tmp_path_factory.mktemp("server") / "server.log"
    with TritonServer(_settings(ROOT / "model_repository", log_file=log_file)) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_server(
    tiny_export: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """A repository of graphs that answer by rule (see `tiny_export`), served for the session."""
    from mqspn.repository import build_repository

    folder = tmp_path_factory.mktemp("tiny_server")
    build_repository(**vars(tiny_export), output=folder / "model_repository")
    settings = _settings(folder / "model_repository", log_file=folder / "server.log")
    with TritonServer(settings) as running:
        yield running


@pytest.fixture(scope="session")
def settings() -> Callable[..., ServerSettings]:
    """Makes settings on free ports: ``settings(repository, **changes)``."""
    return _settings


@pytest.fixture
def echo_repository(tmp_path: Path) -> Path:
    """One Python model, `echo`: Y is X, after X[0, 0] milliseconds of sleep."""
    folder = tmp_path / "model_repository" / "echo"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        textwrap.dedent(
            """
            name: "echo"
            backend: "python"
            max_batch_size: 4
            input { name: "X" data_type: TYPE_INT32 dims: [-1] }
            output { name: "Y" data_type: TYPE_INT32 dims: [-1] }
            instance_group { count: 1 kind: KIND_CPU }
            """
        )
    )
    (folder / "1" / "model.py").write_text(
        textwrap.dedent(
            """
            import time
            import triton_python_backend_utils as pb_utils

            class TritonPythonModel:
                def execute(self, requests):
                    responses = []
                    for request in requests:
                        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
                        time.sleep(x[0, 0] / 1000)
                        y = pb_utils.Tensor("Y", x)
                        responses.append(pb_utils.InferenceResponse(output_tensors=[y]))
                    return responses
            """
        )
    )
    return folder.parent


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Whether a condition comes true within ``timeout_s``."""

    def wait(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return wait
