"""The generated configurations against the tensor specification, for sizes that all differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from mqspn.repository.model_configuration import (
    ENSEMBLES,
    Shapes,
    model_configuration,
    model_configurations,
    warmup_files,
)
from mqspn.repository.serving_profiles import SERVING_PROFILES
from mqspn.repository.write import configuration_text
from mqspn_backend.tensors import ENGINES, MODELS, tensor
from tritonclient.grpc import model_config_pb2 as pb

SHAPES = Shapes(
    queries=60, types=4, regions=16, width=768, image_side=640, buckets=(32, 64), max_batch_size=8
)
SIZES = {"L": -1, "Q": 60, "T+1": 5, "K": 16, "R": 17, "D": 768, "S": 640}
TYPES = {"BYTES": "STRING", "INT32": "INT32", "FP32": "FP32", "UINT8": "UINT8", "BOOL": "BOOL"}
SPECS = {**MODELS, **{name: spec for name, (spec, _) in ENSEMBLES.items()}}


def expected(name: str) -> tuple[str, list[int]]:
    if name == "REGIONS":  # callers may send fewer than K
        return "TYPE_FP32", [-1, 4]
    axes = tensor(name).axes[1:]
    return f"TYPE_{TYPES[tensor(name).dtype]}", [
        SIZES[a] if isinstance(a, str) else a for a in axes
    ]


def declared(tensors: Any) -> dict[str, tuple[str, list[int]]]:
    return {t.name: (pb.DataType.Name(t.data_type), list(t.dims)) for t in tensors}


@pytest.mark.parametrize("profile", SERVING_PROFILES)
@pytest.mark.parametrize("name", SPECS)
def test_tensors_are_those_of_the_specification(name: str, profile: str) -> None:
    config = model_configuration(name, SHAPES, profile)
    spec = SPECS[name]
    # The step of ONNX Runtime sees from the scores what it need not run.
    step = {"REGION_SCORES"} if name == "region_encoder" and profile != "gpu" else set()
    assert declared(config.input) == {t: expected(t) for t in {*spec.inputs, *step}}
    assert declared(config.output) == {t: expected(t) for t in spec.outputs}
    assert {t.name for t in config.input if t.optional} == {*spec.optional, *step}
    assert config.max_batch_size == 8


@pytest.mark.parametrize("profile", SERVING_PROFILES)
@pytest.mark.parametrize("name", SPECS)
def test_the_text_reads_back_as_the_same_configuration(name: str, profile: str) -> None:
    config = model_configuration(name, SHAPES, profile)
    text = configuration_text(config, profile, "version\n1")
    assert text.startswith("#")
    assert "from checkpoint version 1;" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text_format.Parse(text, pb.ModelConfig()) == config


@pytest.mark.parametrize("name", ENSEMBLES)
def test_every_step_is_fed_by_the_caller_or_an_earlier_step(name: str) -> None:
    spec, _ = ENSEMBLES[name]
    made = set(spec.inputs)
    for step in model_configuration(name, SHAPES, "gpu").ensemble_scheduling.step:
        model = MODELS[step.model_name]
        required = set(model.inputs) - set(model.optional)
        assert required <= set(step.input_map) <= set(model.inputs)
        assert set(step.input_map.values()) <= made
        assert set(step.output_map) <= set(model.outputs)
        assert made.isdisjoint(step.output_map.values()), "a tensor is made twice"
        made |= set(step.output_map.values())
    assert set(spec.outputs) <= made


@pytest.mark.parametrize("name", ENSEMBLES)
def test_no_step_makes_a_tensor_that_nobody_reads(name: str) -> None:
    spec, _ = ENSEMBLES[name]
    steps = model_configuration(name, SHAPES, "gpu").ensemble_scheduling.step
    read = {t for step in steps for t in step.input_map.values()} | set(spec.outputs)
    assert {t for step in steps for t in step.output_map.values()} <= read


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize("profile", SERVING_PROFILES)
def test_steps_name_inputs_that_their_models_have(name: str, profile: str) -> None:
    for step in model_configuration(name, SHAPES, profile).ensemble_scheduling.step:
        inputs = model_configuration(step.model_name, SHAPES, profile).input
        required = {t.name for t in inputs if not t.optional}
        assert required <= set(step.input_map) <= {t.name for t in inputs}


def test_the_ensemble_for_text_has_no_visual_step() -> None:
    steps = model_configuration("mqspn_text", SHAPES, "gpu").ensemble_scheduling.step
    assert [step.model_name for step in steps] == [
        "preprocess",
        "text_encoder",
        "query_decoder",
        "postprocess",
    ]
    made = set(steps[0].output_map)
    assert {"REGION_BOXES", "REGION_SCORES", "REGION_STATES"} <= made
    assert "PIXELS" not in made


def test_an_engine_step_is_told_what_to_leave_out_and_a_plan_is_not() -> None:
    def parameters(name: str, profile: str) -> dict[str, str]:
        found = model_configuration(name, SHAPES, profile).parameters
        return {k: v.string_value for k, v in found.items() if k.endswith("_with")}

    assert parameters("text_encoder", "cpu") == {}
    assert parameters("region_proposer", "cpu") == {"rows_with": "IMAGE_SIZE"}
    both = {"rows_with": "REGION_SCORES", "regions_with": "REGION_SCORES"}
    assert parameters("region_encoder", "cpu") == both
    assert parameters("query_decoder", "cpu") == {"regions_with": "REGION_SCORES"}
    assert not any(parameters(name, "gpu") for name in ENGINES)


@pytest.mark.parametrize("profile", ["cpu", "cuda"])
def test_warm_up_runs_what_the_steps_would_leave_out(profile: str) -> None:
    for name, content in (
        ("region_proposer", np.ones(2, np.int32)),
        ("query_decoder", np.ones(16, np.float32)),
    ):
        files = warmup_files(model_configuration(name, SHAPES, profile))
        assert list(files.values()) == [content.tobytes()]
        assert not warmup_files(model_configuration(name, SHAPES, "gpu"))
    # Without its optional scores the region encoder runs all.
    (warmup, *_) = model_configuration("region_encoder", SHAPES, profile).model_warmup
    assert set(warmup.inputs) == {"PIXELS", "REGION_BOXES"}


def test_only_the_regions_ensemble_takes_boxes_from_preprocess() -> None:
    def maker(name: str) -> dict[str, str]:
        steps = model_configuration(name, SHAPES, "cpu").ensemble_scheduling.step
        return {t: step.model_name for step in steps for t in step.output_map.values()}

    assert maker("mqspn")["REGION_BOXES"] == "region_proposer"
    assert maker("mqspn_regions")["REGION_BOXES"] == "preprocess"
    regions = model_configuration("mqspn_regions", SHAPES, "cpu").ensemble_scheduling.step
    assert regions[0].input_map["REGIONS"] == "REGIONS"
    assert "region_proposer" not in {step.model_name for step in regions}


def test_engines_are_plans_on_the_gpu_and_python_on_the_cpu() -> None:
    for name in ENGINES:
        gpu = model_configuration(name, SHAPES, "gpu")
        cpu = model_configuration(name, SHAPES, "cpu")
        assert (gpu.backend, gpu.default_model_filename) == ("tensorrt", "model.plan")
        assert gpu.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
        assert (cpu.backend, cpu.default_model_filename) == ("python", "")
        assert cpu.parameters["threads"].string_value == "0"
    for profile in SERVING_PROFILES:
        for name in ("preprocess", "postprocess"):
            assert model_configuration(name, SHAPES, profile).backend == "python"
    for config in model_configurations(SHAPES, "cpu").values():
        kinds = {group.kind for group in config.instance_group}
        assert kinds <= {pb.ModelInstanceGroup.KIND_CPU}


@pytest.mark.parametrize("profile", SERVING_PROFILES)
def test_only_what_an_image_alone_decides_is_kept_and_only_on_the_cpu(profile: str) -> None:
    configs = model_configurations(SHAPES, profile)
    cached = {name for name, config in configs.items() if "cache_percent" in config.parameters}
    assert cached == ({"region_proposer", "region_encoder"} if profile == "cpu" else set())
    shares = [int(configs[name].parameters["cache_percent"].string_value) for name in cached]
    assert sum(shares) == (100 if cached else 0)
    # Triton's own cache keeps errors, and answers without the outputs that nobody asked for.
    assert not any(config.response_cache.enable for config in configs.values())
    for name in cached:
        made = set(MODELS["preprocess"].outputs) | set(MODELS["region_proposer"].outputs)
        assert set(MODELS[name].inputs) <= made & {"PIXELS", "IMAGE_SIZE", "REGION_BOXES"}


@pytest.mark.parametrize("profile", SERVING_PROFILES)
def test_every_composing_model_batches_and_only_the_first_queue_is_bounded(profile: str) -> None:
    for name in MODELS:
        config = model_configuration(name, SHAPES, profile)
        assert config.HasField("dynamic_batching"), name
        bound = config.dynamic_batching.default_queue_policy.max_queue_size
        assert (bound > 0) == (name == "preprocess")


@pytest.mark.parametrize("profile", ["gpu", "cuda"])
def test_every_core_of_a_gpu_machine_prepares_images(profile: str) -> None:
    """Sixteen cores: eight processes of two threads, none of which waits or takes all there is."""
    config = model_configuration("preprocess", SHAPES, profile)
    (group,) = config.instance_group
    assert (group.count, config.parameters["threads"].string_value) == (8, "2")
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    # Triton refuses a preferred size above the largest.
    small = model_configuration("preprocess", replace(SHAPES, max_batch_size=2), profile)
    assert list(small.dynamic_batching.preferred_batch_size) == [2]
    assert not model_configuration(
        "preprocess", SHAPES, "cpu"
    ).dynamic_batching.preferred_batch_size


def test_lengths_are_evened_out_where_batches_pay_for_it() -> None:
    found = {
        profile: model_configuration("preprocess", SHAPES, profile)
        .parameters["pad_together"]
        .string_value
        for profile in SERVING_PROFILES
    }
    assert found == {"gpu": "true", "cuda": "true", "cpu": ""}


@pytest.mark.parametrize("profile", SERVING_PROFILES)
def test_only_the_costliest_engine_waits_for_company(profile: str) -> None:
    waits = {name: model_configuration(name, SHAPES, profile).dynamic_batching for name in MODELS}
    found = {
        name: batching.max_queue_delay_microseconds
        for name, batching in waits.items()
        if batching.max_queue_delay_microseconds
    }
    assert found == ({} if profile == "cpu" else {"region_proposer": 500})


@pytest.mark.parametrize("profile", SERVING_PROFILES)
def test_warmup_requests_fit_their_model_and_cover_every_bucket(profile: str) -> None:
    batch_sizes = {"gpu": {1, 8}, "cpu": {1}, "cuda": {1, 8}}[profile]
    for name, spec in MODELS.items():
        config = model_configuration(name, SHAPES, profile)
        lengths = set()
        for warmup in config.model_warmup:
            assert set(warmup.inputs) == set(spec.inputs) - set(spec.optional)
            for t, value in warmup.inputs.items():
                data_type, dims = expected(t)
                assert pb.DataType.Name(value.data_type) == data_type
                assert all(w in (-1, d) for w, d in zip(dims, value.dims, strict=True))
                assert min(value.dims) > 0, f"{name}: {t} has an open axis"
                lengths |= {d for w, d in zip(dims, value.dims, strict=True) if w == -1}
        assert {w.batch_size for w in config.model_warmup} == batch_sizes
        if name in ("text_encoder", "query_decoder", "postprocess"):
            assert lengths == {32, 64}
    for name in ENSEMBLES:  # Triton refuses warm-up there
        assert not model_configuration(name, SHAPES, profile).model_warmup


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": 0}, "queries must be at least 1"),
        ({"max_batch_size": 0}, "max_batch_size must be at least 1"),
        ({"buckets": (64, 32)}, "buckets must increase"),
        ({"buckets": ()}, "buckets must increase"),
    ],
)
def test_sizes_that_make_no_model_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shapes(**{**vars(SHAPES), **change})


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="cpu, cuda, gpu"):
        model_configuration("preprocess", SHAPES, "tpu")
