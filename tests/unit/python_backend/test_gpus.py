"""What CUDA's driver tells of the GPUs, with a driver made up; without one there is no GPU."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from mqspn_backend.gpus import Gpu, find_gpus


class Driver:
    """The calls of `libcuda.so.1` that are made, for two GPUs; ``starts``: what cuInit says."""

    def __init__(self, starts: int = 0) -> None:
        self.starts = starts

    def cuInit(self, flags: int) -> int:  # noqa: N802 - CUDA's names
        return self.starts

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        name.value = (b"NVIDIA L4", b"NVIDIA H100")[device.value]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: (8, 9), 76: (9, 0)}[attribute][device.value]
        return 0


def test_every_gpu_has_its_name_and_compute_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert find_gpus() == (
        Gpu(name="NVIDIA L4", compute_capability="8.9"),
        Gpu(name="NVIDIA H100", compute_capability="9.0"),
    )


def test_a_driver_that_does_not_start_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(starts=100))
    assert find_gpus() == ()


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert find_gpus() == ()
