"""Say all that a machine lacks before anything is measured; needs the standard library alone."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

__all__ = ["NEEDED", "choose_profile", "missing_packages", "missing_parts"]

#: What is imported, and the requirement that brings it: those of pyproject.toml.
NEEDED = {
    "PIL": "pillow>=10.3,<14",
    "numpy": "numpy>=1.26,<2",
    "onnx": "onnx>=1.19.1,<2",
    "psutil": "psutil>=5.9,<8",
    "pydantic": "pydantic>=2.11,<3",
    "rich": "rich>=13,<16",
    "safetensors": "safetensors>=0.5,<1",
    "scipy": "scipy>=1.13,<2",
    "tokenizers": "tokenizers>=0.21,<0.24",
    "torch": "torch>=2.6,<2.15",
    "tqdm": "tqdm>=4.66,<5",
    "transformers": "transformers>=5.0,<6",
    "tritonclient.grpc": "tritonclient[grpc]>=2.51,<3",
    "typer": "typer>=0.19.1,<1",
    "yaml": "pyyaml>=6,<7",
}
#: The NumPy that every package must take: the server's Python backend is built for 1.
_NUMPY = "1.26.4"
_ON_CPU = "onnxruntime>=1.20,<2"
_ON_GPU = "onnxruntime-gpu[cuda,cudnn]>=1.23,<2"
#: What runs the graphs, by serving profile: module and requirement.
_ENGINES = {
    "cpu": {"onnxruntime": _ON_CPU},
    "cuda": {"onnxruntime": _ON_GPU},
    "gpu": {
        "onnxruntime": _ON_CPU,
        "modelopt": "nvidia-modelopt>=0.47,<0.50",
        "lief": "lief>=0.17,<2",
        "onnx_graphsurgeon": "onnx-graphsurgeon>=0.6.1,<0.7",
        "onnxscript": "onnxscript>=0.5,<1",
        "onnxslim": "onnxslim>=0.1.76,<0.2",
        "polygraphy": "polygraphy>=0.53.4,<0.54",
        "tensorrt": "tensorrt>=10.12,<12",
    },
}
#: What brings a module as well: the CUDA build of ONNX Runtime also runs on the CPU.
_INSTEAD = {_ON_CPU: _ON_GPU}
_SERVER = {"pytriton": "nvidia-pytriton==0.7.0"}
_LOAD_PROVIDER = """
import ctypes, pathlib, onnxruntime
onnxruntime.preload_dlls()
folder = pathlib.Path(onnxruntime.__file__).parent / "capi"
for name in ("shared", "cuda"):
    ctypes.CDLL(str(folder / f"libonnxruntime_providers_{name}.so"), mode=ctypes.RTLD_GLOBAL)
"""
_OURS = {"mqspn": "build", "mqspn_backend": "python_backend", "mqspn_client": "clients"}
_PLACES = {"gpu": "in NVIDIA's Triton container"}
_WITHOUT_NETWORK = "docs/how-to/load-test.md#a-machine-without-a-network"


def choose_profile(arguments: Sequence[str]) -> str:
    """Read the serving profile from the command line; auto is cuda where CUDA's driver loads."""
    given = "auto"
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = argument.partition("=")
        if name == "--profile":
            given = value or following
    if given in _ENGINES:
        return given
    return "cuda" if _loads("libcuda.so.1") else "cpu"


def missing_parts(profile: str) -> str | None:
    """Say in one message what serving profile ``profile`` is not measured without; None: nothing.

    Packages and their versions, ours among them, a Triton server, Python's own library.
    """
    ours = [folder for module, folder in _OURS.items() if not _found(module)]
    packages = missing_packages(profile)
    library = _missing_python_library()
    provider = None if packages or profile != "cuda" else _provider_error()
    if not (ours or packages or library or provider):
        return None
    lines = [f"gpu.py: for --profile {profile} this machine lacks"]
    lines += [f"  {requirement}{_but_here(requirement)}" for requirement in packages]
    if ours:
        folders = ":".join(ours)
        lines.append(f"  the project's own packages; in its folder: export PYTHONPATH={folders}")
    if library:
        lines.append(f"  {library}: apt-get install lib{Path(library).stem.split('.so')[0][3:]}")
    extras = "cuda,build" if profile == "cuda" else "server,build"
    if profile == "gpu":
        extras = "build,tensorrt"
    if provider:
        lines.append(f"  what ONNX Runtime's CUDA provider loads: {provider}")
    if ours or packages or provider:
        where = f", {_PLACES[profile]}" if profile in _PLACES else ""
        lines.append(f"install: pip install -c constraints.txt -e '.[{extras},loadtest]'{where}")
    lines.append(f"without a network: {_WITHOUT_NETWORK}")
    return "\n".join(lines)


def missing_packages(profile: str) -> list[str]:
    """List the requirements of serving profile ``profile`` that are not met here."""
    needed: dict[str, str] = {**NEEDED, **_ENGINES[profile]}
    if profile != "gpu":  # whose server is the container's
        needed |= {} if shutil.which("tritonserver") else _SERVER
    return [text for module, text in needed.items() if not _is_met(module, text)]


def _is_met(module: str, requirement: str) -> bool:
    if not _found(module):
        return False
    found = _version(requirement)
    if found is None:  # the module is another distribution's
        return requirement in _INSTEAD and _is_met(module, _INSTEAD[requirement])
    try:
        from packaging.requirements import Requirement
    except ImportError:  # then transformers, which brings it, is missing and named
        return True
    wanted = Requirement(requirement).specifier
    return wanted.contains(found, prereleases=True) and not _other_numpy(requirement)


def _other_numpy(requirement: str) -> str | None:
    """What the package that is here wants of NumPy, where the server's NumPy is not that."""
    from packaging.requirements import Requirement

    for text in requires(_name(requirement)) or ():
        theirs = Requirement(text)
        holds = theirs.marker is None or theirs.marker.evaluate({"extra": ""})
        if theirs.name == "numpy" and holds and not theirs.specifier.contains(_NUMPY):
            return text.partition(";")[0].strip()
    return None


def _but_here(requirement: str) -> str:
    found = _version(requirement)
    if found is None:
        return ""
    other = _other_numpy(requirement)
    return f" ({found} is here{f', which needs {other}' if other else ''})"


def _version(requirement: str) -> str | None:
    try:
        return version(_name(requirement))
    except PackageNotFoundError:
        return None


def _name(requirement: str) -> str:
    """The name that a requirement begins with."""
    return re.split(r"[\[<>=]", requirement)[0]


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def _provider_error() -> str | None:
    """What the loader says against the library of ONNX Runtime's CUDA provider, if anything.

    In a process of its own: this one loads PyTorch's libraries, which may be others.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_PROVIDER], capture_output=True, text=True, check=False
    )
    lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    return lines[-1].removeprefix("OSError: ") if done.returncode else None


def _missing_python_library() -> str | None:
    """Name the shared library of this Python where it is not found: Triton's stub loads it."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [sys.base_prefix + "/lib", *map(sysconfig.get_config_var, ("LIBDIR", "LIBPL"))]
    here = any((Path(folder) / name).is_file() for folder in folders if folder)
    return None if here or _loads(name) else name


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
