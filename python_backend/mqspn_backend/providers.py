"""Run graphs on a chosen execution provider of ONNX Runtime, or refuse; never on another.

Asked for a provider that it cannot start, ONNX Runtime warns and runs the graph on the CPU. Here
that is an error: a GPU that is not used must not go unnoticed.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import onnxruntime as ort

from mqspn_backend.gpus import find_gpus

__all__ = ["PROVIDERS", "Provider", "ProviderError", "check_installed", "open_session"]

#: ONNX Runtime's name of each provider.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
#: The library that the TensorRT provider is linked with.
_TENSORRT = "libnvinfer.so.10"
_INSTALL = "pip install 'mqspn-triton[cuda]'"
_INSTALL_TENSORRT = "pip install 'tensorrt>=10.9,<11'"


class ProviderError(ValueError):
    """Raised where a provider does not run here: what was found, what is needed, the command."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An execution provider of ONNX Runtime, which runs a graph, and its options.

    ``name``: "cpu", "cuda" or "tensorrt". ``device_id``: the GPU's index among those that CUDA
    shows. Of TensorRT only: ``fp16`` lets it compute in half precision; ``profile`` is the shape
    profile, its options `trt_profile_min_shapes`, `trt_profile_opt_shapes` and
    `trt_profile_max_shapes`. Raises ValueError for another name, or ``fp16`` without TensorRT.
    """

    name: str
    device_id: int = 0
    fp16: bool = False
    profile: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in PROVIDERS:
            raise ValueError(
                f"unknown execution provider {self.name!r}; there are {', '.join(PROVIDERS)}"
            )
        if self.fp16 and self.name != "tensorrt":
            raise ValueError(f"fp16 is for tensorrt; {self.name} runs the graph as it is")

    def options(self, graph: Path) -> list[tuple[str, dict[str, str]]]:
        """Make ONNX Runtime's list of providers with their options, the wanted one first.

        FP32 means FP32: without TF32. cuDNN picks its convolutions by rule: measuring all of them
        would stop the service at every batch size that it has not seen.
        """
        device = {"device_id": str(self.device_id)}
        cuda = {**device, "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
        host: tuple[str, dict[str, str]] = (PROVIDERS["cpu"], {})
        if self.name == "cpu":
            return [host]
        if self.name == "cuda":
            return [(PROVIDERS["cuda"], cuda), host]
        cache = engine_cache(graph, self.device_id)
        tensorrt = {
            **device,
            "trt_fp16_enable": str(int(self.fp16)),
            "trt_layer_norm_fp32_fallback": str(int(self.fp16)),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
            **self.profile,
        }
        return [(PROVIDERS["tensorrt"], tensorrt), (PROVIDERS["cuda"], cuda), host]


def check_installed(name: str) -> None:
    """Raise ProviderError where the packages of provider ``name`` are not installed."""
    needed = PROVIDERS[name]
    if needed not in ort.get_available_providers():
        found = [f"{p} {v}" for p in ("onnxruntime", "onnxruntime-gpu") if (v := _version(p))]
        over = ", one installed over the other" if len(found) > 1 else ""
        raise ProviderError(
            f"found {' and '.join(found) or 'an onnxruntime'}{over}, without {needed}; needed "
            f"onnxruntime-gpu alone; run `pip uninstall -y onnxruntime onnxruntime-gpu && "
            f"{_INSTALL}`, best in a virtual environment of its own"
        )
    if name == "tensorrt" and tensorrt_version() is None:
        raise ProviderError(
            f"found no {_TENSORRT}, needed TensorRT 10; run `{_INSTALL_TENSORRT}`, or build the "
            "repository with `--cuda-provider cuda`"
        )


def open_session(path: Path, options: ort.SessionOptions, provider: Provider) -> Any:
    """Open an `InferenceSession` over the graph ``path`` in which ``provider`` really runs.

    Raises ProviderError where it does not, ValueError naming the file where the graph cannot be
    loaded.
    """
    check_installed(provider.name)
    if provider.name != "cpu":
        # CUDA's and cuDNN's libraries lie in packages that the loader does not look into.
        ort.preload_dlls()
    if provider.name == "tensorrt":
        engine_cache(path, provider.device_id).mkdir(parents=True, exist_ok=True)
    wanted = PROVIDERS[provider.name]
    try:
        session = ort.InferenceSession(
            str(path), options, providers=provider.options(path), enable_fallback=0
        )
    except Exception as error:  # the library's own exceptions have no common, public root
        if provider.name != "cpu" and (reason := _why_not(provider)):
            raise _refusal(provider, reason) from error
        raise ValueError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
    if session.get_providers()[0] != wanted:
        raise _refusal(provider, _why_not(provider) or "ONNX Runtime's log says why")
    return session


def engine_cache(graph: Path, device_id: int = 0) -> Path:
    """The folder of the TensorRT engines of ``graph`` on GPU ``device_id``, in the user's cache.

    Its name holds what an engine depends on and ONNX Runtime does not put into the file's name:
    the graph, both versions and the GPU.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()[:16]
    gpus = find_gpus()
    gpu = gpus[device_id].name if device_id < len(gpus) else "no GPU"
    versions = f"ort{ort.__version__}-trt{tensorrt_version()}"
    folder = f"{digest}-{versions}-{re.sub(r'[^A-Za-z0-9]+', '-', gpu)}"
    return root / "mqspn" / "tensorrt" / folder


def tensorrt_version() -> str | None:
    """The version of TensorRT's library in this process; None where it cannot be loaded."""
    with suppress(Exception):  # its import fails in many ways where a library is missing
        importlib.import_module("tensorrt")  # loads the libraries that its package carries
    try:
        return str(ctypes.CDLL(_TENSORRT).getInferLibVersion())
    except OSError:
        return None


def _refusal(provider: Provider, reason: str) -> ProviderError:
    return ProviderError(
        f"found ONNX Runtime {ort.__version__} whose {PROVIDERS[provider.name]} does not start on "
        f"GPU {provider.device_id} ({reason}); needed an NVIDIA GPU with CUDA {_cuda_version()} "
        f"and cuDNN 9; run `{_INSTALL}` where `nvidia-smi` lists a GPU, or use serving profile cpu"
    )


def _why_not(provider: Provider) -> str | None:
    """What stops the provider's library or CUDA; None where nothing is found."""
    folder = Path(ort.__file__).parent / "capi"
    for library in (
        "libcuda.so.1",
        folder / "libonnxruntime_providers_shared.so",
        folder / f"libonnxruntime_providers_{provider.name}.so",
    ):
        try:
            # The provider's library takes symbols from the shared one.
            loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return str(error)
        if library == "libcuda.so.1" and (code := loaded.cuInit(0)):
            return f"cuInit failed with error {code}"
    return None


def _cuda_version() -> str:
    return str(getattr(ort, "cuda_version", "") or "12 or 13")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
