"""What engines run on here: the GPUs, and the TensorRT library that a Triton server would load."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Gpu", "Runtime", "find_gpus", "find_runtime", "tensorrt_version"]

#: The library that Triton's TensorRT backend loads, newest first.
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU that CUDA shows: its name and compute capability, as in "9.0"."""

    name: str
    compute_capability: str


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where plans are to be served: TensorRT's version ("10.12.0"; None: not found), the GPUs."""

    tensorrt: str | None
    gpus: tuple[Gpu, ...]


def find_runtime() -> Runtime:
    """The TensorRT library and the GPUs that a server started here would see."""
    return Runtime(tensorrt=tensorrt_version(), gpus=find_gpus())


def tensorrt_version(libraries: Sequence[str] = _LIBRARIES) -> str | None:
    """Version of the first of ``libraries`` that loads; None where none does."""
    for name in libraries:
        try:
            library = ctypes.CDLL(name)
            parts = [getattr(library, f"getInferLib{part}Version")() for part in _VERSION_PARTS]
        except (OSError, AttributeError):
            continue
        return ".".join(map(str, parts))
    return None


_VERSION_PARTS = ("Major", "Minor", "Patch")


def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA's driver shows to this process (CUDA_VISIBLE_DEVICES counts)."""
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
