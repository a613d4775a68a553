"""What is asked of CUDA's driver, and in which order: there is no GPU to ask."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from mqspn_backend.device_memory import CudaMemory, HostMemory, allocate


class Driver:
    """Functions with a C signature, as ctypes finds them in the driver; copies are real."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name, arguments in {
            "cuInit": (ctypes.c_uint,),
            "cuDeviceGet": (ctypes.POINTER(ctypes.c_int), ctypes.c_int),
            "cuDevicePrimaryCtxRetain": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int),
            "cuCtxSetCurrent": (ctypes.c_void_p,),
            "cuMemcpy": (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t),
            "cuCtxSynchronize": (),
        }.items():
            made = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(self._function(name, failing))
            setattr(self, name, made)

    def _function(self, name: str, failing: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append((name, *arguments))
            if name == "cuDeviceGet":
                arguments[0][0] = 10 + arguments[1]
            elif name == "cuDevicePrimaryCtxRetain":
                arguments[0][0] = 0x7F0000000000 + arguments[1]
            elif name == "cuMemcpy":
                ctypes.memmove(*arguments)
            return 700 if name == failing else 0

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr("mqspn_backend.device_memory.ctypes.CDLL", lambda _name: made)
    return made


def test_copies_are_made_in_the_devices_own_context_and_waited_for(driver: Driver) -> None:
    memory = CudaMemory(3)
    assert (memory.device, memory.device_id) == ("cuda", 3)
    source, target = np.arange(4, dtype=np.float32), np.zeros(6, np.float32)
    driver.calls.clear()
    memory.copy(target.ctypes.data + 8, source.ctypes.data, source.nbytes)
    memory.synchronize()
    np.testing.assert_array_equal(target, [0, 0, 0, 1, 2, 3])
    assert driver.calls == [
        ("cuCtxSetCurrent", 0x7F0000000000 + 13),
        ("cuMemcpy", target.ctypes.data + 8, source.ctypes.data, 16),
        ("cuCtxSetCurrent", 0x7F0000000000 + 13),
        ("cuCtxSynchronize",),
    ]


@pytest.mark.parametrize("function", ["cuInit", "cuDevicePrimaryCtxRetain"])
def test_a_driver_that_refuses_is_an_error(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqspn_backend.device_memory.ctypes.CDLL", lambda _: Driver(function))
    with pytest.raises(RuntimeError, match=f"{function} failed with error 700"):
        CudaMemory(0)


def test_a_missing_driver_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("mqspn_backend.device_memory.ctypes.CDLL", missing)
    with pytest.raises(RuntimeError, match=r"libcuda\.so\.1: cannot open.*nvidia-smi"):
        CudaMemory(0)


def test_the_hosts_memory() -> None:
    memory = HostMemory()
    target = allocate(memory, [2, 3], 1)
    source = np.arange(6, dtype=np.float32).reshape(2, 3)
    memory.copy(target.data_ptr(), source.ctypes.data, source.nbytes)
    memory.synchronize()
    np.testing.assert_array_equal(target.numpy(), source)
