"""Check, while the image `plans` is built, that TensorRT's builder has all that a plan takes.

Needs no GPU: the module's libraries are loaded, and those that it loads later must lie beside them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

__all__ = ["find_fault"]

#: What the builder loads when it compiles, for the kind of GPU that it finds.
_BUILDER = "libnvinfer_builder_resource*"
_MEND = (
    "TensorRT's own libraries of the same version have it: add "
    '"tensorrt-cu13-libs==${version}.*" to the packages of stage `plans` in deploy/Dockerfile'
)


def find_fault() -> str | None:
    """Say in one sentence what is missing; None: nothing is."""
    try:
        import_module("tensorrt")  # loads libnvinfer, libnvinfer_plugin and libnvonnxparser
    except (ImportError, OSError) as error:
        return f"TensorRT's Python module does not load ({error}); {_MEND}"
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    loaded = {Path(line.split()[-1]) for line in maps.splitlines() if "/libnvinfer.so" in line}
    if not loaded:
        return f"TensorRT's Python module loads no libnvinfer; {_MEND}"
    if not any(list(library.parent.glob(_BUILDER)) for library in loaded):
        return f"there is no {_BUILDER} beside {min(loaded)}; {_MEND}"
    return None


if __name__ == "__main__":
    sys.exit(find_fault())
