"""List the GPUs of this machine with CUDA's driver; no package is needed for it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

__all__ = ["Gpu", "find_gpus"]

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU that CUDA shows: its name and compute capability, as in "9.0"."""

    name: str
    compute_capability: str


def find_gpus() -> tuple[Gpu, ...]:
    """List the GPUs that CUDA's driver shows to this process (CUDA_VISIBLE_DEVICES counts)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_gpu(driver, index) for index in range(count.value))


def _gpu(driver: ctypes.CDLL, index: int) -> Gpu:
    device, value = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(str(value.value))
    return Gpu(name=name.value.decode(errors="replace"), compute_capability=".".join(numbers))
