"""Settings that make a server's command line, and those that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mqspn.serving import ServerSettings


def arguments(*, gpus: int = 1, **changes: Any) -> list[str]:
    settings = ServerSettings(**{"repository": Path("/models"), **changes})
    folders = {"backends": Path("/b"), "caches": Path("/c")}
    return settings.arguments(**folders, shm_prefix="mine_", gpus=gpus)


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


def test_the_cuda_profile_is_a_configuration_of_that_name() -> None:
    assert "--model-config-name=cuda" in arguments(profile="cuda")


@pytest.mark.parametrize(("profile", "off"), [("cpu", True), ("cuda", True), ("gpu", False)])
def test_the_wheels_library_does_not_look_at_gpus(profile: str, off: bool) -> None:
    assert ("--allow-gpu-metrics=false" in arguments(profile=profile)) == off


@pytest.mark.parametrize("profile", ["cuda", "gpu"])
def test_tensors_leave_a_gpu_by_pinned_memory_that_is_large_enough(profile: str) -> None:
    made = arguments(profile=profile, gpus=2)
    pools = [a for a in made if a.startswith("--cuda-memory-pool-byte-size")]
    assert pools == ["--cuda-memory-pool-byte-size=0:0", "--cuda-memory-pool-byte-size=1:0"]
    assert "--pinned-memory-pool-byte-size=1073741824" in made
    assert "--backend-config=python,shm-default-byte-size=67108864" in made
    assert "--backend-config=python,shm-growth-byte-size=16777216" in made


def test_on_the_cpu_memory_is_tritons_own_choice() -> None:
    assert not any("byte-size" in a for a in arguments())


@pytest.mark.parametrize(
    "own",
    [
        ("--cuda-memory-pool-byte-size=0:67108864",),
        ("--pinned-memory-pool-byte-size", "268435456"),
        ("--backend-config=python,shm-default-byte-size=1048576",),
        ("--backend-config=python,shm-growth-byte-size=1048576",),
    ],
)
def test_a_size_that_the_user_gives_is_the_only_one(own: tuple[str, ...]) -> None:
    without, made = arguments(profile="cuda"), arguments(profile="cuda", extra_args=own)
    name = own[0].rpartition("=")[0] or own[0]
    assert [a for a in made if a.startswith(name)] == [own[0]]
    assert len(made) == len(without) - 1 + len(own)


def test_threads_and_memory_are_told_to_the_models() -> None:
    def variables(**changes: Any) -> dict[str, str]:
        return ServerSettings(repository=Path("/m"), **changes).variables

    assert variables() == {"MQSPN_CACHE_MB": "0"}
    assert variables(cache_mb=64, instances=2) == {"MQSPN_CACHE_MB": "32"}
    assert variables(threads=0, cache_mb=64) == {"MQSPN_CACHE_MB": "64", "MQSPN_THREADS": "0"}


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
        ({"threads": -1}, "threads must be from 0 to 1024, not -1"),
        ({"instances": 0}, "instances must be from 1 to 64, not 0"),
        ({"instances": 2, "profile": "cuda"}, "for profile cpu"),
        ({"cache_mb": -1}, "cache_mb must be from 0 to"),
        ({"operator_key": "a b"}, "operator_key"),
        ({"operator_key": ""}, "operator_key"),
        ({"extra_args": ("--grpc-port=9",)}, "--grpc-port may not"),
        ({"extra_args": ("--metrics-port", "9")}, "--metrics-port may not"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerSettings(**{"repository": Path("/m"), **changes})
