"""Find CUDA's driver under the name that Triton's Python backend loads it by.

The backend asks for `libcuda.so`. A driver without its development files, or one that a container
runtime brought in, is `libcuda.so.1` only; the backend then takes every tensor for one on the host,
and ends with signal 11 at the first one that is not.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from mqspn.serving.errors import ProviderRefusedError

__all__ = ["DRIVER", "find_cuda_driver"]

#: The name that the Python backend asks for.
DRIVER = "libcuda.so"


def find_cuda_driver(name: str = DRIVER) -> Path | None:
    """Find the file to link as ``name``; None where ``name`` loads, or there is no driver at all.

    Raises ProviderRefusedError where ``name``.1 loads and nobody can tell from where.
    """
    if _loads(name) or not _loads(f"{name}.1"):
        return None
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if path.name.startswith(f"{name}.") and path.is_file():
            return path
    raise ProviderRefusedError(
        f"found {name}.1, needed {name} as well, which Triton's Python backend loads; link the one "
        "to the other in a folder on LD_LIBRARY_PATH"
    )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
