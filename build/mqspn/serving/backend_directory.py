"""Make the private folder of links that a server runs from, and the server's environment.

Triton's Python backend wants the stub of the right Python in its own folder; the wheel keeps one
for each version elsewhere, and site-packages is not ours to write to. The stub is a Python
interpreter of its own: it must find the same standard library and the same packages as the one
that runs now. The wheel's stubs ignore PYTHONPATH and go by the `python3` on PATH, so the folder is
also a virtual environment whose only content is the list of folders to import from.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from mqspn.serving.cuda_driver import DRIVER
from mqspn.serving.errors import ServerNotFoundError
from mqspn.serving.find_server import Installation

__all__ = ["link_backends", "server_environment"]

_STUB = "triton_python_backend_stub"


def link_backends(
    installation: Installation,
    folder: Path,
    python: tuple[int, int] = sys.version_info[:2],
) -> Path:
    """Link every backend, and the stub for ``python``, in ``folder``/backends; return its path.

    An installation that carries one stub, inside the backend's own folder, is used as it is.
    Raises ServerNotFoundError where there is no stub for this Python.
    """
    version = f"{python[0]}.{python[1]}"
    if installation.stubs is None:
        if not (installation.backends / "python" / _STUB).is_file():
            raise ServerNotFoundError(
                f"the Python backend of {installation.executable} has no {_STUB}; install the "
                "server in the wheel: pip install 'mqspn-triton[server]'"
            )
        return installation.backends
    stub = installation.stubs / version / _STUB
    if not stub.is_file():
        found = sorted(p.name for p in installation.stubs.iterdir())
        raise ServerNotFoundError(
            f"{installation.executable} has no Python backend for Python {version}, only for "
            f"{', '.join(found)}"
        )
    backends = folder / "backends"
    (backends / "python").mkdir(parents=True)
    for backend in installation.backends.iterdir():
        if backend.name != "python":
            (backends / backend.name).symlink_to(backend)
    for file in (installation.backends / "python").iterdir():
        if file.name not in (_STUB, "__pycache__"):
            (backends / "python" / file.name).symlink_to(file)
    (backends / "python" / _STUB).symlink_to(stub)
    return backends


def server_environment(
    installation: Installation,
    folder: Path,
    python_library: Path | None,
    environment: Mapping[str, str] = os.environ,
    search_path: Sequence[str] | None = None,
    cuda_driver: Path | None = None,
) -> dict[str, str]:
    """Add to ``environment`` what a server and its stubs need, made in ``folder``.

    ``python_library`` comes from `find_python_library`; its folder may hold other libraries, so
    only a link to it goes on the library path. ``search_path``: where the stubs import from, by
    default this interpreter's packages and the folder of `mqspn_backend`. ``cuda_driver`` comes
    from `find_cuda_driver`.
    """
    env = dict(environment)
    libraries = [str(path) for path in installation.libraries]
    links = {} if python_library is None else {python_library.name: python_library}
    if cuda_driver is not None:
        links[DRIVER] = cuda_driver
    if links:
        lib = folder / "lib"
        lib.mkdir(exist_ok=True)
        for name, target in links.items():
            (lib / name).symlink_to(target)
        libraries.append(str(lib))
    env["LD_LIBRARY_PATH"] = _joined(libraries, env.get("LD_LIBRARY_PATH"))
    packages = _packages() if search_path is None else list(search_path)
    _make_environment(folder, packages)
    env["PATH"] = _joined([str(folder / "bin")], env.get("PATH"))
    env["PYTHONPATH"] = _joined(packages, None)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    for name in ("PYTHONHOME", "PYTHONSTARTUP"):
        env.pop(name, None)
    return env


def _make_environment(folder: Path, packages: Sequence[str]) -> None:
    """Make ``folder`` a virtual environment of this interpreter that imports from ``packages``."""
    interpreter = Path(sys.executable).resolve()
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(interpreter)
    (folder / "pyvenv.cfg").write_text(
        f"home = {interpreter.parent}\ninclude-system-site-packages = false\n", encoding="utf-8"
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    # Triton would otherwise write __pycache__ into the model repository.
    lines = ["import sys; sys.dont_write_bytecode = True", *packages]
    (site / "mqspn.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _packages() -> list[str]:
    """The folders the running interpreter imports from, its standard library left out.

    An editable install may be known to an import hook only, which PYTHONPATH cannot carry: the
    folder that holds `mqspn_backend` comes first. The folder of the running script and the current
    folder are left out: what lies there by chance must not hide a package.
    """
    folders: list[str] = []
    spec = find_spec("mqspn_backend")
    if spec is not None and spec.submodule_search_locations:
        folders.append(str(Path(spec.submodule_search_locations[0]).absolute().parent))
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    left_out = {os.path.join(path, "lib-dynload") for path in standard} | standard | {os.getcwd()}
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is not None:
        left_out.add(os.path.dirname(os.path.abspath(script)))
    for entry in sys.path:
        path = os.path.abspath(entry)
        if path not in left_out and path not in folders and os.path.isdir(path):
            folders.append(path)
    return folders


def _joined(first: Sequence[str], rest: str | None) -> str:
    return os.pathsep.join([*first, *([rest] if rest else [])])
