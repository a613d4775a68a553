"""What the CUDA profile's configurations tell the engine models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from mqspn.repository import ENGINES, CudaProfile, build_repository
from mqspn.repository.shape_profiles import shape_profile
from mqspn_backend.tensors import MODELS
from tritonclient.grpc import model_config_pb2 as pb


def configurations(export: Any, folder: Path, cuda: CudaProfile | None = None) -> dict[str, Any]:
    build_repository(**vars(export), output=folder, cuda=cuda)
    return {
        path.parents[1].name: text_format.Parse(path.read_text(), pb.ModelConfig())
        for path in folder.glob("*/configs/cuda.pbtxt")
    }


def parameters(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def test_engines_are_on_the_gpu_and_take_tensors_there(tiny_export: Any, tmp_path: Path) -> None:
    found = configurations(tiny_export, tmp_path / "r")
    for name, config in found.items():
        engine = name in ENGINES
        kinds = {group.kind for group in config.instance_group}
        gpu, cpu = pb.ModelInstanceGroup.KIND_GPU, pb.ModelInstanceGroup.KIND_CPU
        assert kinds <= ({gpu} if engine else {cpu}), name
        if engine:
            assert config.backend == "python"
            assert parameters(config)["provider"] == "cuda"
            assert parameters(config)["FORCE_CPU_ONLY_INPUT_TENSORS"] == "no"
        else:  # preprocess and postprocess are NumPy
            assert not set(parameters(config)) - {"threads", "pad_together"}


def test_only_what_no_engine_reads_and_the_scores_leave_the_gpu(
    tiny_export: Any, tmp_path: Path
) -> None:
    found = configurations(tiny_export, tmp_path / "r")
    host = {name: parameters(found[name]).get("host_outputs", "").split(",") for name in ENGINES}
    assert host.pop("query_decoder") == list(MODELS["query_decoder"].outputs)
    assert host.pop("region_proposer") == ["REGION_SCORES"]
    assert set(map(tuple, host.values())) == {("",)}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "cpu"])
def test_regions_are_cut_off_where_no_shape_profile_fixes_their_number(
    provider: Any, tiny_export: Any, tmp_path: Path
) -> None:
    found = configurations(tiny_export, tmp_path / "r", CudaProfile(provider=provider))
    cut = {name for name, config in found.items() if "regions_with" in parameters(config)}
    assert cut == (set() if provider == "tensorrt" else {"region_encoder", "query_decoder"})
    rows = {name for name, config in found.items() if "rows_with" in parameters(config)}
    assert rows == {"region_proposer", "region_encoder"}


def test_tensorrts_shapes_are_those_that_plans_are_compiled_for(
    tiny_export: Any, tmp_path: Path
) -> None:
    cuda = CudaProfile(provider="tensorrt", fp16=True)
    found = configurations(tiny_export, tmp_path / "r", cuda)
    for name in ENGINES:
        given = parameters(found[name])
        assert given["provider"] == "tensorrt"
        assert given["fp16"] == "true"
        for key in ("min", "opt", "max"):
            shapes = {
                tensor: tuple(map(int, dims.split("x")))
                for tensor, dims in (
                    item.split(":") for item in given[f"trt_profile_{key}_shapes"].split(",")
                )
            }
            plans = shape_profile(tmp_path / "r", name)
            assert shapes == {tensor: getattr(r, key) for tensor, r in plans.items()}
    assert parameters(found["text_encoder"])["trt_profile_max_shapes"] == (
        "INPUT_IDS:4x16,ATTENTION_MASK:4x16"
    )


def test_the_provider_cpu_needs_no_gpu(tiny_export: Any, tmp_path: Path) -> None:
    found = configurations(tiny_export, tmp_path / "r", CudaProfile(provider="cpu"))
    kinds = {group.kind for config in found.values() for group in config.instance_group}
    assert kinds == {pb.ModelInstanceGroup.KIND_CPU}


@pytest.mark.parametrize(
    ("values", "message"),
    [({"provider": "rocm"}, "there are cpu, cuda, tensorrt"), ({"fp16": True}, "for tensorrt")],
)
def test_what_onnx_runtime_cannot_do_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CudaProfile(**values)
