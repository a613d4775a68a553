"""Execution providers: their options, and refusals where one does not run.

The tests' ONNX Runtime is the one without a GPU: what it refuses here is refused for real.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import onnxruntime as ort
import pytest
from mqspn_backend import providers
from mqspn_backend.engine import session_options
from mqspn_backend.gpus import Gpu
from mqspn_backend.providers import (
    PROVIDERS,
    Provider,
    ProviderError,
    check_installed,
    engine_cache,
    open_session,
)


def test_only_known_providers_and_fp16_only_with_tensorrt() -> None:
    with pytest.raises(ValueError, match="'gpu'; there are cpu, cuda, tensorrt"):
        Provider(name="gpu")
    with pytest.raises(ValueError, match="fp16 is for tensorrt; cuda runs"):
        Provider(name="cuda", fp16=True)


def test_cuda_runs_on_the_instances_gpu_in_full_precision(graph: Path) -> None:
    (name, options), host = Provider(name="cuda", device_id=3).options(graph)
    assert (name, host) == ("CUDAExecutionProvider", ("CPUExecutionProvider", {}))
    assert options["device_id"] == "3"
    assert options["use_tf32"] == "0"


@pytest.mark.parametrize("fp16", [False, True])
def test_tensorrt_has_its_profile_and_a_cache_and_cuda_behind_it(
    fp16: bool, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    profile = {"trt_profile_min_shapes": "A:1x8,B:1x8"}
    made = Provider(name="tensorrt", device_id=1, fp16=fp16, profile=profile).options(graph)
    assert [name for name, _ in made] == [PROVIDERS[n] for n in ("tensorrt", "cuda", "cpu")]
    options = made[0][1]
    assert {made[0][1]["device_id"], made[1][1]["device_id"]} == {"1"}
    assert options["trt_profile_min_shapes"] == "A:1x8,B:1x8"
    assert options["trt_fp16_enable"] == ("1" if fp16 else "0")
    assert options["trt_engine_cache_enable"] == "1"
    cache = Path(options["trt_engine_cache_path"])
    assert cache.parent == tmp_path / "cache" / "mqspn" / "tensorrt"
    graph.write_bytes(graph.read_bytes() + b"\x00")
    assert engine_cache(graph, 1) != cache, "another graph would get this one's engines"


def test_engines_of_two_gpus_lie_apart(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = (
        Gpu(name="NVIDIA A10", compute_capability="8.6"),
        Gpu(name="NVIDIA GeForce RTX 3090", compute_capability="8.6"),
    )
    monkeypatch.setattr(providers, "find_gpus", lambda: gpus)
    first, second = engine_cache(graph, 0), engine_cache(graph, 1)
    assert first.name.endswith("-NVIDIA-A10")
    assert second.name.endswith("-NVIDIA-GeForce-RTX-3090")


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_onnxruntime_without_the_provider_is_refused(name: str, graph: Path) -> None:
    message = (
        rf"found onnxruntime {ort.__version__}, without {PROVIDERS[name]}; needed "
        r"onnxruntime-gpu alone; run `pip uninstall .* && pip install 'mqspn-triton\[cuda\]'`"
    )
    with pytest.raises(ProviderError, match=message):
        check_installed(name)
    with pytest.raises(ProviderError, match=message):
        open_session(graph, session_options(graph, 1), Provider(name=name))
    check_installed("cpu")


def test_both_packages_over_each_other_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "version", {"onnxruntime": "1.2", "onnxruntime-gpu": "1.1"}.get)
    with pytest.raises(ProviderError, match=r"1\.2 and onnxruntime-gpu 1\.1, one installed over"):
        check_installed("cuda")

    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(providers, "version", nothing)
    with pytest.raises(ProviderError, match="found an onnxruntime, without CUDA"):
        check_installed("cuda")


def test_tensorrts_library_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr(providers, "_TENSORRT", "libnvinfer.so.nowhere")
    check_installed("cuda")
    with pytest.raises(ProviderError, match=r"found no libnvinfer\.so\.nowhere.*'tensorrt>="):
        check_installed("tensorrt")


def test_a_session_that_fell_back_to_the_cpu_is_refused(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It says that it could, as onnxruntime-gpu does where a library is missing, and then cannot.
    monkeypatch.setattr(providers, "check_installed", lambda _name: None)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        session = ort.InferenceSession(str(graph), providers=["CUDAExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(
            ProviderError, match=r"CUDAExecutionProvider does not start on GPU 2 \(.+\); needed"
        ),
    ):
        open_session(graph, session_options(graph, 1), Provider(name="cuda", device_id=2))


def test_a_provider_that_runs_is_used(graph: Path, tmp_path: Path) -> None:
    session = open_session(graph, session_options(graph, 1), Provider(name="cpu"))
    assert session.get_providers() == ["CPUExecutionProvider"]
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(ValueError, match=r"broken\.onnx cannot be loaded"):
        open_session(tmp_path / "broken.onnx", session_options(graph, 1), Provider(name="cpu"))
