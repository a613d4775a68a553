"""Find the shared library of the running Python, which the Python backend's stub loads."""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from mqspn.serving.errors import PythonLibraryError

__all__ = ["find_python_library"]


def find_python_library(
    version: tuple[int, int] = sys.version_info[:2], directories: Sequence[Path] | None = None
) -> Path | None:
    """Find `libpythonX.Y.so.1.0`; None where the system's loader finds it by itself.

    ``directories``, where given, are the only places looked at. Raises PythonLibraryError with the
    commands that install it.
    """
    name = f"libpython{version[0]}.{version[1]}.so.1.0"
    places = _usual_directories() if directories is None else directories
    for directory in places:
        if (directory / name).is_file():
            return directory / name
    if directories is None and _loader_finds(name):
        return None
    python = f"python{version[0]}.{version[1]}"
    raise PythonLibraryError(
        f"{name} is missing: Triton's Python backend loads it. "
        f"Debian and Ubuntu: apt-get install lib{python}. "
        f"Fedora: dnf install {python}-libs. "
        f"pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force "
        f"{version[0]}.{version[1]}, then make the virtual environment again"
    )


def _usual_directories() -> list[Path]:
    configured = [sysconfig.get_config_var(key) for key in ("LIBDIR", "LIBPL")]
    places = [Path(value) for value in configured if value]
    # The interpreter that runs decides first, then what the system installs beside it.
    places.insert(0, Path(sys.base_prefix) / "lib")
    for directory in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib", "/usr/lib"):
        places.append(Path(directory))
    return places


def _loader_finds(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
