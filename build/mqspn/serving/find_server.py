"""Find a `tritonserver` with the backends that a serving profile needs."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mqspn.serving.errors import PlatformError, ServerNotFoundError

__all__ = ["Installation", "check_platform", "find_server"]

_INSTALL = "pip install 'mqspn-triton[server]'"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An installed `tritonserver`: its ``executable`` and ``root``, the folder with `backends/`.

    ``stubs``: a folder with a Python backend stub for each Python version, or None where the stub
    lies in the Python backend's own folder. ``libraries``: what it needs on the library path.
    """

    executable: Path
    root: Path
    stubs: Path | None
    libraries: tuple[Path, ...]

    @property
    def backends(self) -> Path:
        return self.root / "backends"

    @property
    def caches(self) -> Path:
        return self.root / "caches"

    def lacks(self, profile: str) -> list[str]:
        """List the backends that serving profile ``profile`` needs and this one does not have."""
        needed = ("python", "tensorrt") if profile == "gpu" else ("python",)
        return [name for name in needed if not (self.backends / name).is_dir()]


def check_platform(
    *,
    system: str = sys.platform,
    machine: str = platform.machine(),
    python: tuple[int, int] = sys.version_info[:2],
) -> None:
    """Raise PlatformError where the server in the wheel does not run."""
    if system != "linux" or machine not in ("x86_64", "AMD64"):
        raise PlatformError(
            f"serving needs Linux on x86-64, this is {system} on {machine}; use a Linux machine, "
            "or Docker with NVIDIA's Triton container"
        )
    if not (3, 10) <= python <= (3, 12):
        raise PlatformError(
            f"serving needs Python 3.10, 3.11 or 3.12, this is {python[0]}.{python[1]}; make the "
            "virtual environment with one of those"
        )


def find_server(profile: str, executable: Path | None = None) -> Installation:
    """Find the first `tritonserver` with the backends of serving profile ``profile``.

    ``executable``, where given, is the only one looked at. Otherwise: the one in the wheel, the
    one on PATH, the one of NVIDIA's container. Raises ServerNotFoundError.
    """
    if executable is not None:
        if not executable.is_file():
            raise ServerNotFoundError(f"--tritonserver {executable}: there is no such file")
        candidates = [_installation(executable)]
    else:
        candidates = [_installation(path) for path in _known_places()]
    for candidate in candidates:
        if not candidate.lacks(profile):
            return candidate
    if not candidates:
        raise ServerNotFoundError(
            f"there is no Triton server here; install the one in the wheel: {_INSTALL}"
        )
    lacking = "; ".join(f"{c.executable} lacks {', '.join(c.lacks(profile))}" for c in candidates)
    mend = (
        "run in NVIDIA's Triton container, or use --profile cuda or --profile cpu"
        if profile == "gpu"
        else f"install the one in the wheel: {_INSTALL}"
    )
    raise ServerNotFoundError(f"no Triton server with the needed backends: {lacking}; {mend}")


def _known_places() -> Iterator[Path]:
    # Its import would load far more than the path that is wanted.
    wheel = importlib.util.find_spec("pytriton")
    if wheel is not None and wheel.submodule_search_locations:
        path = Path(wheel.submodule_search_locations[0]) / "tritonserver" / "bin" / "tritonserver"
        if path.is_file():
            yield path
    on_path = shutil.which("tritonserver")
    if on_path is not None:
        yield Path(on_path)
    container = Path("/opt/tritonserver/bin/tritonserver")
    if container.is_file():
        yield container


def _installation(executable: Path) -> Installation:
    executable = executable.absolute()
    # A link to the executable leads to the folder with the backends, if it has none beside it.
    root = executable.parent.parent
    if not (root / "backends").is_dir():
        root = executable.resolve().parent.parent
    stubs = root / "python_backend_stubs"
    libraries = (root.parent.parent / "nvidia_pytriton.libs", root / "lib")
    return Installation(
        executable=executable,
        root=root,
        stubs=stubs if stubs.is_dir() else None,
        libraries=tuple(path for path in libraries if path.is_dir()),
    )
