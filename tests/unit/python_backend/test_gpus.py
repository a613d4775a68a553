"""What the driver shows; a machine without one has no GPU, and says so without an error."""

from __future__ import annotations

import ctypes

import pytest
from mqspn_backend.gpus import find_gpus


def test_every_gpu_has_a_name_and_a_compute_capability() -> None:
    assert all(gpu.name and "." in gpu.compute_capability for gpu in find_gpus())


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert find_gpus() == ()
