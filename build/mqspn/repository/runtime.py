"""What engines run on here: the GPUs, and the TensorRT library that a Triton server would load."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from mqspn_backend.gpus import Gpu, find_gpus

__all__ = ["Gpu", "Runtime", "find_gpus", "find_runtime", "tensorrt_version"]

#: The library that Triton's TensorRT backend loads, newest first.
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10")
_VERSION_PARTS = ("Major", "Minor", "Patch")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where plans are to be served: TensorRT's version ("10.12.0"; None: not found), the GPUs."""

    tensorrt: str | None
    gpus: tuple[Gpu, ...]


def find_runtime() -> Runtime:
    """Find the TensorRT library and the GPUs that a server started here would see."""
    return Runtime(tensorrt=tensorrt_version(), gpus=find_gpus())


def tensorrt_version(libraries: Sequence[str] = _LIBRARIES) -> str | None:
    """Read the version of the first of ``libraries`` that loads; None where none does."""
    for name in libraries:
        try:
            library = ctypes.CDLL(name)
            parts = [getattr(library, f"getInferLib{part}Version")() for part in _VERSION_PARTS]
        except (OSError, AttributeError):
            continue
        return ".".join(map(str, parts))
    return None
