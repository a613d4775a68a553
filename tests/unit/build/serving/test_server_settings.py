"""Settings that make a server's command line, and those that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mqspn.serving import ServerSettings


def arguments(**changes: Any) -> list[str]:
    settings = ServerSettings(**{"repository": Path("/models"), **changes})
    return settings.arguments(backends=Path("/b"), caches=Path("/c"), shm_prefix="mine_")


@pytest.mark.parametrize(
    "flag",
    [
        "--model-repository=/models",
        "--model-config-name=cpu",
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        "--grpc-port=8001",
        "--http-port=8000",
        "--metrics-port=8002",
        "--exit-timeout-secs=10",
        "--backend-directory=/b",
        "--cache-directory=/c",
        "--backend-config=python,shm-region-prefix-name=mine_",
    ],
)
def test_the_default_is_hardened_and_on_loopback(flag: str) -> None:
    assert flag in arguments()


def test_the_gpu_profile_is_the_default_configuration() -> None:
    assert not any(a.startswith("--model-config-name") for a in arguments(profile="gpu"))


def test_the_cuda_profile_is_a_configuration_of_that_name_and_measures_the_gpu() -> None:
    assert "--model-config-name=cuda" in arguments(profile="cuda")
    assert "--allow-gpu-metrics=false" not in arguments(profile="cuda")


def test_operator_calls_are_closed_with_another_key_each_time() -> None:
    def keys(args: list[str]) -> set[str]:
        return {a.rpartition("operator-key=")[2] for a in args if "restricted" in a}

    first, second = keys(arguments()), keys(arguments())
    assert len(first) == 1
    assert len(first.pop()) >= 32
    assert first != second
    assert keys(arguments(operator_key="mine")) == {"mine"}


def test_the_key_is_not_shown_with_the_settings() -> None:
    assert "s3cret" not in repr(ServerSettings(repository=Path("/m"), operator_key="s3cret"))


def test_extra_arguments_come_last() -> None:
    assert arguments(extra_args=("--log-verbose=2", "--x"))[-2:] == ["--log-verbose=2", "--x"]


def test_a_service_that_is_off_has_no_port() -> None:
    settings = ServerSettings(repository=Path("/m"), extra_args=("--allow-http=false",))
    assert set(settings.ports) == {"--grpc-port", "--metrics-port"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "tpu"}, "cpu, cuda or gpu"),
        ({"grpc_port": 0}, "--grpc-port must be from 1 to 65535"),
        ({"http_port": 8001}, "three different ports"),
        ({"operator_key": "a b"}, "operator_key"),
        ({"operator_key": ""}, "operator_key"),
        ({"extra_args": ("--grpc-port=9",)}, "--grpc-port may not"),
        ({"extra_args": ("--metrics-port", "9")}, "--metrics-port may not"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerSettings(**{"repository": Path("/m"), **changes})
