"""A repository's engines: built once, written down, built again only where something changed."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.cli import app
from mqspn.engines import gates
from mqspn.engines.build_progress import Progress
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.choices import Precision
from mqspn.engines.compile import CompiledEngine, compile_repository
from mqspn.engines.errors import CompileSettingsError, GateError, GraphError
from mqspn.engines.job import CompileSettings, plan_jobs
from mqspn.engines.kept_layers import KEPT, find_layers
from mqspn.repository import ENGINES
from mqspn.repository.errors import PlanError
from mqspn.repository.manifest import (
    NO_GPU,
    check_plans,
    manifest_path,
    plan_path,
    read_manifest,
)
from mqspn.repository.runtime import Gpu, Runtime
from mqspn.repository.shape_profiles import shape_profile
from mqspn_backend.engine import OnnxEngine
from typer.testing import CliRunner

FP32 = CompileSettings(precision="fp32")


def built(repository: Path, builder: EngineBuilder, settings: CompileSettings = FP32) -> list[str]:
    """Which engines a compile builds; the others are kept."""
    engines = list(compile_repository(repository, builder, settings))
    assert [e.model for e in engines if isinstance(e, CompiledEngine)] == list(ENGINES)
    return [e.model for e in engines if isinstance(e, CompiledEngine) and e.seconds is not None]


def test_a_matching_plan_is_never_rebuilt(tiny_repository: Path, rtx: EngineBuilder) -> None:
    assert built(tiny_repository, rtx) == list(ENGINES)
    before = {m: plan_path(tiny_repository, m).stat().st_mtime_ns for m in ENGINES}
    assert built(tiny_repository, rtx) == []
    assert before == {m: plan_path(tiny_repository, m).stat().st_mtime_ns for m in ENGINES}

    # Damaged, cut off before its manifest, of another graph, of other shapes: rebuilt.
    plan_path(tiny_repository, "text_encoder").write_bytes(b"damaged")
    manifest_path(plan_path(tiny_repository, "region_encoder")).unlink()
    graph = tiny_repository / "query_decoder" / "1" / "model.onnx"
    model = onnx.load(str(graph))
    model.doc_string = "changed"
    onnx.save(model, str(graph))
    assert built(tiny_repository, rtx) == ["text_encoder", "region_encoder", "query_decoder"]
    config = tiny_repository / "region_proposer" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 4", "max_batch_size: 2"))
    assert built(tiny_repository, rtx) == ["region_proposer"]
    assert built(tiny_repository, rtx, replace(FP32, force=True)) == list(ENGINES)


def test_the_manifest_says_what_was_built(tiny_repository: Path, rtx: EngineBuilder) -> None:
    list(compile_repository(tiny_repository, rtx, FP32))
    manifest = read_manifest(plan_path(tiny_repository, "text_encoder"))
    assert manifest is not None
    assert manifest.engine == "tensorrt-rtx"
    assert manifest.engine_version == rtx.version
    assert manifest.gpu == manifest.compute_capability == NO_GPU
    assert manifest.precision == "fp32"
    assert manifest.converter is None
    assert manifest.calibration is None
    # INT8's scales are of the posts: others make another plan.
    assert not manifest.builds_the_same(replace(manifest, calibration="0" * 64))
    assert manifest.builder_flags == rtx.flags
    assert manifest.profile == shape_profile(tiny_repository, "text_encoder")
    # Triton serves TensorRT's plans only.
    runtime = Runtime(tensorrt="10.16.1", gpus=(Gpu(name="GPU", compute_capability="8.9"),))
    with pytest.raises(PlanError, match="found a plan of tensorrt-rtx"):
        check_plans(tiny_repository, runtime)


def kept_names(
    settings: CompileSettings, repository: Path, builder: EngineBuilder
) -> dict[str, tuple[str, ...]]:
    jobs = plan_jobs(settings, repository, builder)
    return {job.model: job.manifest.kept_in_fp32 for job in jobs}


def test_more_layers_may_stay_in_fp32(tiny_repository: Path, rtx: EngineBuilder) -> None:
    softmaxes = find_layers("text_encoder:softmaxes")
    settings = replace(FP32, precision="fp16", kept=(*KEPT, softmaxes, softmaxes))
    assert kept_names(settings, tiny_repository, rtx)["text_encoder"] == ("softmaxes",)
    assert kept_names(settings, tiny_repository, rtx)["region_encoder"] == ("crops",)
    with pytest.raises(ValueError, match="all layers are in FP32 already"):
        replace(settings, precision="fp32")
    assert kept_names(FP32, tiny_repository, rtx)["region_encoder"] == ()


def interrupt(phase: str, done: int, steps: int) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def fail(phase: str, done: int, steps: int) -> None:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("meanwhile", "ends"), [(interrupt, KeyboardInterrupt), (fail, BrokenPipeError)]
)
def test_a_build_ends_at_a_ctrl_c_and_at_a_failure_to_show_progress(
    meanwhile: Progress, ends: type[BaseException], tiny_repository: Path, rtx: EngineBuilder
) -> None:
    """The builder's C++ would print the exception and go on."""
    with pytest.raises(ends):
        list(compile_repository(tiny_repository, rtx, FP32, progress=meanwhile))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not list(tiny_repository.rglob("*.plan"))
    assert not list(tiny_repository.rglob("*.partial"))


def test_a_signal_while_the_graph_is_read_ends_the_build(
    tiny_repository: Path, rtx: EngineBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser calls Python too, to log; what is raised there is lost."""
    monkeypatch.setattr(
        EngineBuilder, "_check_tensors", lambda *_: os.kill(os.getpid(), signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        list(compile_repository(tiny_repository, rtx, FP32))
    assert not list(tiny_repository.rglob("*.plan"))


def test_where_plans_cannot_go_is_known_before_they_are_made(
    tiny_repository: Path, on_a_gpu: OnThisGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnThisGpu, "build", None)
    (tmp_path / "file").touch()
    refused: list[tuple[Path | None, Path | None, str]] = [
        (tmp_path / "file", None, r"plans cannot be written to \S+/file: File exists"),
        (tmp_path / "file" / "plans", None, "plans cannot be written.*: Not a directory"),
        (None, tmp_path, "is a folder; --timing-cache names a file"),
        (None, tmp_path / "file" / "t", "the timing cache cannot be written"),
    ]
    for output, on_a_gpu.timing_cache, message in refused:
        with pytest.raises(PlanError, match=message):
            built(tiny_repository, on_a_gpu, replace(FP32, output=output))


def test_plans_may_go_elsewhere(tiny_repository: Path, rtx: EngineBuilder, tmp_path: Path) -> None:
    elsewhere = replace(FP32, output=tmp_path / "plans")
    assert built(tiny_repository, rtx, elsewhere) == list(ENGINES)
    assert {p.name for p in (tmp_path / "plans").iterdir()} == {
        name for m in ENGINES for name in (f"{m}.plan", f"{m}.plan.json")
    }
    assert not list(tiny_repository.rglob("*.plan"))


def test_a_lower_precision_is_compared_before_anything_is_built(
    demo_repository: Path, rtx: EngineBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gates.TOLERANCE, "fp16", 1e-6)
    settings = CompileSettings(precision="fp16", output=tmp_path)
    with pytest.raises(GateError, match="text_encoder: largest difference from FP32"):
        list(compile_repository(demo_repository, rtx, settings))
    assert not list(tmp_path.iterdir())


class OnThisGpu(EngineBuilder):
    """Where a GPU would be: a builder whose plan is the graph itself, and what runs it.

    ``noise`` goes on every output. A shape outside the plan's profile fails, as TensorRT's does.
    """

    noise = 0.0
    profile: Any
    graph: Path
    flags = ()

    def __init__(self) -> None:
        self.flavour = "tensorrt"
        self.version = "10.16.1"
        self.timing_cache = None

    def build(self, model: str, graph: Path, profile: Any, **_: Any) -> bytes:
        OnThisGpu.profile, OnThisGpu.graph = profile, graph
        return graph.read_bytes()


class GraphAsPlan:
    def __init__(self, plan: bytes) -> None:
        assert plan == OnThisGpu.graph.read_bytes()
        self.engine = OnnxEngine(OnThisGpu.graph, threads=1)

    def __enter__(self) -> GraphAsPlan:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, feeds: Any, outputs: Any = None) -> dict[str, Any]:
        for name, array in feeds.items():
            shapes = OnThisGpu.profile[name]
            bounds = zip(shapes.min, array.shape, shapes.max, strict=True)
            assert all(low <= size <= high for low, size, high in bounds), (name, array.shape)
        found = self.engine.run(feeds, outputs)
        return {name: array + OnThisGpu.noise for name, array in found.items()}


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> OnThisGpu:
    """TensorRT's half of a compile, with an FP32 plan; no GPU is needed to see what it does."""
    from mqspn.engines import compile as module
    from mqspn.engines import job

    monkeypatch.setattr(module, "PlanRunner", GraphAsPlan)
    monkeypatch.setattr(job, "find_gpus", lambda: (Gpu(name="L4", compute_capability="8.9"),))
    return OnThisGpu()


@pytest.mark.parametrize("largest", [1, 4])
def test_a_plan_is_compared_on_the_gpu_within_its_profile(
    largest: int, tiny_repository: Path, on_a_gpu: OnThisGpu
) -> None:
    for model in ENGINES:
        config = tiny_repository / model / "config.pbtxt"
        text = config.read_text()
        config.write_text(text.replace("max_batch_size: 4", f"max_batch_size: {largest}"))
    engines = [
        engine
        for engine in compile_repository(tiny_repository, on_a_gpu, FP32)
        if isinstance(engine, CompiledEngine)
    ]
    assert [e.engine is not None and e.engine.largest for e in engines] == [0.0] * len(ENGINES)
    runtime = Runtime(tensorrt="10.16.1", gpus=(Gpu(name="L4", compute_capability="8.9"),))
    check_plans(tiny_repository, runtime)


def test_a_plan_that_is_off_on_the_gpu_is_not_written(
    tiny_repository: Path, on_a_gpu: OnThisGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnThisGpu, "noise", 0.01)
    with pytest.raises(GateError, match=r"text_encoder: largest difference.*tolerance of fp32"):
        list(compile_repository(tiny_repository, on_a_gpu, FP32))
    assert not list(tiny_repository.rglob("model.plan*"))


def test_a_repository_without_graphs_is_named(tiny_repository: Path, rtx: EngineBuilder) -> None:
    (tiny_repository / "text_encoder" / "1" / "model.onnx").unlink()
    with pytest.raises(GraphError, match=r"lacks .*text_encoder/1/model\.onnx; .*`mqspn build`"):
        list(compile_repository(tiny_repository, rtx, FP32))


@pytest.mark.parametrize(
    ("precision", "posts", "message"),
    [
        ("fp32", {"annotated": [None]}, "no entities to check"),
        ("int8", {}, "--precision int8 needs --calibrate DATA"),
        ("fp32", {"calibrate": [None]}, "fp32 is not calibrated"),
        ("int8", {"calibrate": [None]}, "1 posts are too few to calibrate on"),
    ],
)
def test_posts_that_contradict_the_precision(
    precision: Precision,
    posts: dict[str, Any],
    message: str,
    tiny_repository: Path,
    rtx: EngineBuilder,
) -> None:
    settings = CompileSettings(precision=precision)
    with pytest.raises(CompileSettingsError, match=message):
        list(compile_repository(tiny_repository, rtx, settings, **posts))


def test_tensorrt_rtx_has_no_timing_cache() -> None:
    with pytest.raises(CompileSettingsError, match="name no timing cache"):
        EngineBuilder("tensorrt-rtx", Path("cache"))


def test_the_command_prints_time_and_size(tiny_repository: Path, tmp_path: Path) -> None:
    arguments = ["compile", "--repository", str(tiny_repository), "--engine", "tensorrt-rtx"]
    arguments += ["--precision", "fp32", "--output", str(tmp_path / "plans")]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert first.exit_code == 0
    assert "seconds" in first.output
    assert all(model in first.output for model in ENGINES)
    assert "built in" in first.output
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert again.output.count("matches, kept") == len(ENGINES)


@pytest.mark.parametrize(("option", "value"), [("--engine", "onnx"), ("--precision", "int4")])
def test_an_unknown_choice_is_refused(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["compile", option, value])
    assert result.exit_code == 2
    assert f"'{value}' is not" in result.output


def test_unknown_layers_are_refused_with_those_there_are() -> None:
    result = CliRunner().invoke(app, ["compile", "--keep", "text_encoder:norms"])
    assert isinstance(result.exception, ValueError)
    assert "no layers 'text_encoder:norms'; there are" in str(result.exception)
    assert "text_encoder:layer norms" in str(result.exception)


def test_building_for_the_gpu_fails_while_plans_are_missing(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path / "tiny")
    arguments = ["build", "--checkpoint", str(tmp_path / "tiny"), "--profile", "gpu"]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "repository")])
    assert isinstance(result.exception, PlanError)
    assert "found no plan" in str(result.exception)
    # The repository is there, for the command that the sentence names.
    assert (tmp_path / "repository" / "text_encoder" / "1" / "model.onnx").is_file()
    assert f"`mqspn compile --repository {tmp_path / 'repository'}`" in str(result.exception)
