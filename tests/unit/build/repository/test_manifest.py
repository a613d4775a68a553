"""A plan is served only where it belongs; anything else is one sentence with its remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mqspn.files.digest import file_sha256
from mqspn.repository import ENGINES, build_repository
from mqspn.repository.errors import PlanError
from mqspn.repository.manifest import (
    Manifest,
    check_manifest,
    check_plans,
    engine_models,
    manifest_path,
    read_manifest,
)
from mqspn.repository.runtime import Gpu, Runtime, tensorrt_version
from mqspn.repository.shape_profiles import serving_profile
from mqspn.serving.errors import PlanRefusedError
from mqspn.serving.launcher import TritonServer
from mqspn.serving.server_settings import ServerSettings

H100 = Gpu(name="NVIDIA H100 80GB HBM3", compute_capability="9.0")
L4 = Gpu(name="NVIDIA L4", compute_capability="8.9")
HERE = Runtime(tensorrt="10.16.1", gpus=(H100,))


def write_plan(repository: Path, model: str, **changes: Any) -> Path:
    """A plan of made-up bytes with a manifest that fits `HERE`, but for ``changes``."""
    plan = repository / model / "1" / "model.plan"
    plan.write_bytes(b"plan of " + model.encode())
    manifest = Manifest(
        model=model,
        onnx_sha256=file_sha256(plan.with_name("model.onnx")),
        engine="tensorrt",
        engine_version="10.16.1.11",
        compute_capability=H100.compute_capability,
        gpu=H100.name,
        precision="fp16",
        converter="nvidia-modelopt 0.47.0",
        kept_in_fp32=("crops",),
        profile=serving_profile(repository, model),
        builder_flags=("TF32",),
        mqspn_version="0.1.0",
        plan_sha256=file_sha256(plan),
    )
    manifest_path(plan).write_text(replace(manifest, **changes).to_json())
    return plan


def test_the_manifest_comes_back_as_it_was_written(tiny_repository: Path) -> None:
    plan = write_plan(tiny_repository, "text_encoder")
    manifest = read_manifest(plan)
    assert manifest is not None
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert '"max": [ 4, 16 ]' in manifest_path(plan).read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "profile": {}}',
        '{"format": 1, "profile": 3}',
    ],
)
def test_what_is_no_manifest_tells_nothing(text: str, tiny_repository: Path) -> None:
    plan = write_plan(tiny_repository, "text_encoder")
    manifest_path(plan).write_text(text)
    assert read_manifest(plan) is None
    # The plan may be the right one: it is not called another.
    with pytest.raises(PlanError, match=r"found model\.plan\.json unreadable \(.+\), needed it as"):
        check_manifest(tiny_repository, "text_encoder", HERE)


def test_a_version_that_is_a_number_is_no_manifest(tiny_repository: Path) -> None:
    plan = write_plan(tiny_repository, "text_encoder")
    path = manifest_path(plan)
    path.write_text(path.read_text().replace('"10.16.1.11"', "10.16"))
    with pytest.raises(PlanError, match=r"engine_version is 10\.16"):
        check_manifest(tiny_repository, "text_encoder", HERE)


def test_whole_repository_passes_where_it_belongs(tiny_repository: Path) -> None:
    assert sorted(engine_models(tiny_repository)) == sorted(ENGINES)
    for model in ENGINES:
        write_plan(tiny_repository, model)
    check_plans(tiny_repository, HERE)
    (tiny_repository / "query_decoder" / "1" / "model.plan").unlink()
    with pytest.raises(PlanError, match=r"query_decoder.*found no plan"):
        check_plans(tiny_repository, HERE)


@pytest.mark.parametrize(
    ("changes", "runtime", "message"),
    [
        (
            {"engine": "tensorrt-rtx", "engine_version": "1.7.1"},
            HERE,
            "found a plan of tensorrt-rtx 1.7.1, needed one of TensorRT 10.16.1 on NVIDIA H100",
        ),
        (
            {"onnx_sha256": "0" * 64},
            HERE,
            "found a plan of another graph, needed one of the model.onnx beside it",
        ),
        ({"profile": {}}, HERE, "found a plan for other batch sizes or token lengths"),
        (
            {"plan_sha256": "0" * 64},
            HERE,
            "found a plan that is not the one its manifest describes",
        ),
        (
            {},
            replace(HERE, tensorrt="10.12.0"),
            r"found a plan of TensorRT 10.16.1.11, needed one of TensorRT 10.12.0 on",
        ),
        (
            {},
            replace(HERE, gpus=(L4,)),
            r"found a plan for NVIDIA H100 80GB HBM3 \(compute capability 9.0\), needed one for "
            r"NVIDIA L4 \(compute capability 8.9\)",
        ),
        ({}, replace(HERE, gpus=(H100, L4)), "needed one for NVIDIA L4"),
    ],
)
def test_another_plan_is_refused_with_its_remedy(
    changes: dict[str, Any], runtime: Runtime, message: str, tiny_repository: Path
) -> None:
    write_plan(tiny_repository, "text_encoder", **changes)
    with pytest.raises(PlanError, match=message) as caught:
        check_manifest(tiny_repository, "text_encoder", runtime)
    assert f"run `mqspn compile --repository {tiny_repository}`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_gpu_the_remedy_is_another_machine_or_profile(tiny_repository: Path) -> None:
    write_plan(tiny_repository, "text_encoder")
    with pytest.raises(
        PlanError, match=r"found a plan for NVIDIA H100.*no GPU here.*--profile cpu"
    ):
        check_manifest(tiny_repository, "text_encoder", Runtime(tensorrt=None, gpus=()))


def test_without_its_graph_a_plan_cannot_be_checked(tiny_repository: Path) -> None:
    write_plan(tiny_repository, "text_encoder").with_name("model.onnx").unlink()
    with pytest.raises(PlanError, match=r"found no model\.onnx to hold.*again with `mqspn build`"):
        check_manifest(tiny_repository, "text_encoder", HERE)


def test_a_repository_that_lacks_models_or_graphs_is_refused(
    tiny_repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="found no text_encoder of the TensorRT backend"):
        check_plans(tmp_path, HERE)
    (tiny_repository / "region_encoder" / "1" / "model.onnx").unlink()
    with pytest.raises(PlanError, match=r"found no region_encoder/1/model\.onnx, needed"):
        check_plans(tiny_repository, HERE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "query_decoder"}, "found a plan of query_decoder, needed one of text_encoder"),
        ({"precision": "bf16"}, "found a plan in bf16, needed one in fp16"),
        ({"kept_in_fp32": 5}, r"unreadable \(.*kept_in_fp32 is 5\)"),
        ({"kept_in_fp32": (1,)}, r"unreadable \(.*kept_in_fp32 is \(1,\)\)"),
        ({"builder_flags": None}, r"unreadable \(.*builder_flags is None\)"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    changes: dict[str, Any], message: str, tiny_repository: Path
) -> None:
    path = manifest_path(write_plan(tiny_repository, "text_encoder"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(PlanError, match=message):
        check_manifest(tiny_repository, "text_encoder", HERE, precision="fp16")


def test_of_an_int8_repository_most_plans_are_in_fp16(tiny_repository: Path) -> None:
    write_plan(tiny_repository, "query_decoder", precision="fp16")
    check_manifest(tiny_repository, "query_decoder", HERE, precision="int8")
    write_plan(tiny_repository, "text_encoder", precision="fp16")
    with pytest.raises(PlanError, match="found a plan in fp16, needed one in int8"):
        check_manifest(tiny_repository, "text_encoder", HERE, precision="int8")


def test_a_plan_without_manifest_is_refused(tiny_repository: Path) -> None:
    plan = write_plan(tiny_repository, "text_encoder")
    manifest_path(plan).unlink()
    with pytest.raises(PlanError, match=r"without its manifest, needed model\.plan\.json"):
        check_manifest(tiny_repository, "text_encoder", HERE)


def test_plans_may_lie_elsewhere_and_come_from_another_command(
    tiny_repository: Path, tmp_path: Path
) -> None:
    plan = write_plan(tiny_repository, "text_encoder")
    (tmp_path / "plans").mkdir()
    for path in (plan, manifest_path(plan)):
        path.rename(tmp_path / "plans" / path.name.replace("model", "text_encoder"))
    check_manifest(tiny_repository, "text_encoder", HERE, plans=tmp_path / "plans")
    with pytest.raises(PlanError, match=rf"--repository \S+ --output {tmp_path / 'plans'}`"):
        check_manifest(tiny_repository, "region_encoder", HERE, plans=tmp_path / "plans")
    with pytest.raises(PlanError, match=r"/query_decoder\.plan: found no plan.*; make it$"):
        check_plans(tiny_repository, HERE, plans=tmp_path / "plans", mend="make it")


def test_a_tensorrt_that_is_not_found_is_not_compared(tiny_repository: Path) -> None:
    write_plan(tiny_repository, "text_encoder")
    check_manifest(tiny_repository, "text_encoder", replace(HERE, tensorrt=None))


def test_rebuilding_a_repository_keeps_the_plans_of_the_same_graphs(
    tiny_repository: Path, tiny_export: Any
) -> None:
    kept = write_plan(tiny_repository, "text_encoder")
    stale = write_plan(tiny_repository, "region_encoder", onnx_sha256="0" * 64)
    build_repository(**vars(tiny_export), output=tiny_repository, overwrite=True)
    assert read_manifest(kept) is not None
    assert not stale.exists()
    assert not manifest_path(stale).exists()


def test_the_server_does_not_start_on_a_plan_that_is_not_there(
    tiny_repository: Path, tmp_path: Path
) -> None:
    root = tmp_path / "tritonserver"
    for folder in ("bin", "backends/python", "backends/tensorrt"):
        (root / folder).mkdir(parents=True)
    (root / "bin" / "tritonserver").touch()
    settings = ServerSettings(
        repository=tiny_repository, profile="gpu", tritonserver=root / "bin" / "tritonserver"
    )
    with pytest.raises(PlanRefusedError, match=r"found no plan.*mqspn compile"):
        TritonServer(settings).start()


def test_a_library_that_is_not_there_has_no_version() -> None:
    assert tensorrt_version(("libno-such-thing.so.1",)) is None
    assert tensorrt_version(("libc.so.6",)) is None
