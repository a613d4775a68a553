"""Allocate and copy memory for tensors, on the host or on a GPU through CUDA's driver.

ONNX Runtime allocates it, as an `OrtValue`; what it does not offer in Python in every version is a
copy from one place on the device to another.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Protocol

import onnxruntime as ort

__all__ = ["CudaMemory", "HostMemory", "Memory", "allocate"]


class Memory(Protocol):
    """The memory that holds an engine's tensors: ``device`` ("cpu" or "cuda") and ``device_id``."""

    device: str
    device_id: int

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy ``size`` bytes from address ``source``, on the host or here, to ``target`` here.

        The bytes are there for everybody after `synchronize`.
        """

    def synchronize(self) -> None:
        """Wait until this process has no work left on the device."""


class HostMemory:
    """The host's memory: copies are done when `copy` returns."""

    device = "cpu"
    device_id = 0

    def copy(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(target, source, size)

    def synchronize(self) -> None:
        """Nothing is left to wait for."""


class CudaMemory:
    """The memory of the GPU with index ``device_id`` among those that CUDA shows.

    Works in the device's primary context, which ONNX Runtime and Triton use too, so that
    `synchronize` waits for their streams as well. Raises RuntimeError where the driver is missing
    or refuses.
    """

    device = "cuda"

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise RuntimeError(
                f"CUDA's driver is missing ({error}); start where `nvidia-smi` lists a GPU, or use "
                "serving profile cpu"
            ) from error
        # Addresses and sizes have 64 bits; ctypes would pass 32.
        self._driver.cuMemcpy.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_size_t]
        self._driver.cuCtxSetCurrent.argtypes = [ctypes.c_void_p]
        self._context = ctypes.c_void_p()
        device = ctypes.c_int()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), device_id)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)

    def copy(self, target: int, source: int, size: int) -> None:
        self._call("cuCtxSetCurrent", self._context)
        self._call("cuMemcpy", target, source, size)

    def synchronize(self) -> None:
        # cuMemcpy within the device returns before it is done, on a stream that ONNX Runtime's
        # own streams do not wait for; so the host waits for all of them.
        self._call("cuCtxSetCurrent", self._context)
        self._call("cuCtxSynchronize")

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._driver, function)(*arguments)
        if code:
            raise RuntimeError(f"CUDA's {function} failed with error {code}")


def allocate(memory: Memory, shape: Sequence[int], element_type: int) -> ort.OrtValue:
    """Allocate a tensor in ``memory``, contents undefined; ``element_type`` is ONNX's number."""
    return ort.OrtValue.ortvalue_from_shape_and_type(
        list(shape), element_type, memory.device, memory.device_id
    )
