"""A model repository's graphs to engines: converted, compared with FP32, built, written down."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from mqspn_backend.engine import OnnxEngine

import mqspn
from mqspn.data.posts import Post
from mqspn.engines.bf16_emulation import runnable_graph
from mqspn.engines.builder import EngineBuilder, Flavour, Progress
from mqspn.engines.entity_gate import EntityLoss, check_entities
from mqspn.engines.graph_pipeline import GraphPipeline, find_graphs, graph_paths
from mqspn.engines.kept_layers import KEPT, KeptLayers
from mqspn.engines.plan_runner import PlanRunner
from mqspn.engines.precision import Precision, convert_graph, converter_version
from mqspn.engines.quantisation import (
    Batch,
    calibration_batches,
    calibration_digest,
    choose_posts,
)
from mqspn.engines.samples import drawn_posts, sample_batches
from mqspn.engines.tensor_gate import Difference, check_tensors
from mqspn.files.digest import file_sha256
from mqspn.repository import ENGINES
from mqspn.repository.engine_precision import engine_precision
from mqspn.repository.errors import PlanError
from mqspn.repository.manifest import (
    NO_GPU,
    PLAN,
    Manifest,
    manifest_path,
    read_manifest,
)
from mqspn.repository.runtime import find_gpus
from mqspn.repository.shape_profiles import serving_profile

__all__ = ["CompileSettings", "CompiledEngine", "compile_repository"]


@dataclass(frozen=True, kw_only=True)
class CompileSettings:
    """How a repository's engines are compiled.

    ``output``: a folder for `<model>.plan`; None puts each at its model's `1/model.plan`, where
    Triton looks. ``timing_cache``: a file that makes a second compile faster. ``force``: build a
    plan again though a matching one is there. ``check_entities``: annotated posts on which the
    lower precision may not cost F1; none: the tensors alone are compared. ``calibrate``: the posts
    that INT8 takes its scales from; drawn ones would be wrong for any checkpoint but the demo's.
    ``kept``: the layers that stay in FP32 in a lower precision. Raises ValueError for a timing
    cache, posts or layers that go with nothing, and for INT8 without posts.
    """

    repository: Path
    flavour: Flavour
    precision: Precision
    output: Path | None = None
    timing_cache: Path | None = None
    force: bool = False
    check_entities: Sequence[Post] = ()
    calibrate: Sequence[Post] = ()
    kept: Sequence[KeptLayers] = KEPT

    def __post_init__(self) -> None:
        if self.precision == "int8" and not self.calibrate:
            raise ValueError(
                "--precision int8 needs --calibrate DATA: posts like those that will be served, "
                "without which there is no telling what values the graphs take"
            )
        if self.calibrate and self.precision != "int8":
            raise ValueError(
                f"{self.precision} is not calibrated: drop --calibrate, or take --precision int8"
            )
        if self.calibrate:
            choose_posts(self.calibrate)
        if self.timing_cache is not None and self.flavour == "tensorrt-rtx":
            raise ValueError("TensorRT-RTX times nothing while it compiles: name no timing cache")
        if self.check_entities and self.precision == "fp32":
            raise ValueError("FP32 is what the others are compared with: no entities to check")
        if self.precision == "fp32" and self.kept != KEPT:
            raise ValueError("all layers are in FP32 already: drop --keep, or name a --precision")

    def plan(self, model: str) -> Path:
        """Where the plan of ``model`` goes."""
        if self.output is not None:
            return self.output / f"{model}.plan"
        return self.repository / model / "1" / PLAN

    def precision_of(self, model: str) -> Precision:
        """What the engine of ``model`` is in."""
        return cast(Precision, engine_precision(model, self.precision))

    def kept_names(self, model: str) -> tuple[str, ...]:
        """Names of the layers of ``model`` that stay in FP32."""
        if self.precision == "fp32":
            return ()
        return tuple(sorted({layers.name for layers in self.kept if layers.graph == model}))

    def manifest(self, model: str, builder: EngineBuilder) -> Manifest:
        """What a plan of ``model`` made now by ``builder`` would be."""
        # TensorRT-RTX compiles for every GPU it knows, whatever is in this machine.
        gpus = find_gpus() if self.flavour == "tensorrt" else ()
        precision = self.precision_of(model)
        posts = choose_posts(self.calibrate) if precision == "int8" else []
        return Manifest(
            model=model,
            onnx_sha256=file_sha256(graph_paths(self.repository)[model]),
            engine=self.flavour,
            engine_version=builder.version,
            compute_capability=gpus[0].compute_capability if gpus else NO_GPU,
            gpu=gpus[0].name if gpus else NO_GPU,
            precision=precision,
            converter=None if precision == "fp32" else converter_version(),
            kept_in_fp32=self.kept_names(model),
            profile=serving_profile(self.repository, model),
            builder_flags=builder.flags,
            mqspn_version=mqspn.__version__,
            calibration=calibration_digest(posts) if posts else None,
        )


@dataclass(frozen=True, kw_only=True)
class CompiledEngine:
    """One engine's plan in ``precision``: made in ``seconds``, or kept because it matched (None).

    ``graph`` is the lower-precision graph's difference from FP32 under ONNX Runtime, ``engine``
    the plan's on the GPU; None where there was nothing to compare.
    """

    model: str
    plan: Path
    precision: Precision
    size: int
    seconds: float | None
    graph: Difference | None = None
    engine: Difference | None = None


def compile_repository(
    settings: CompileSettings, *, progress: Progress | None = None
) -> Iterator[CompiledEngine | EntityLoss]:
    """Compile what has no matching plan, yielding each engine as it is done.

    With ``check_entities``, what it says of the whole pipeline comes first, before anything is
    built. Raises an EngineError (see `mqspn.engines.errors`); the plans yielded so far stay.
    """
    graphs = find_graphs(settings.repository)
    builder = EngineBuilder(settings.flavour)
    calibrate = choose_posts(settings.calibrate) if settings.calibrate else []
    manifests = {model: settings.manifest(model, builder) for model in ENGINES}
    waiting = [
        model
        for model in ENGINES
        if settings.force or not _matches(settings.plan(model), manifests[model])
    ]
    if waiting:
        _check_targets(settings)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-compile-")))
        batches = None
        scales: Mapping[str, Sequence[Batch]] = {}
        lower = settings.precision != "fp32" and (waiting or settings.check_entities)
        if lower or (waiting and settings.flavour == "tensorrt"):
            posts = calibrate or stack.enter_context(drawn_posts(8))
            pipeline = GraphPipeline(settings.repository)
            # Of the calibration posts the first eight give no scales: they are compared on.
            batches = sample_batches(pipeline, posts[:8])
            if lower and calibrate:
                scales = calibration_batches(pipeline, posts[8:])
        sources, differences = dict(graphs), dict[str, Difference]()
        runnable = dict(graphs)
        if batches is not None and lower:
            # The entities are those of all graphs together: then none may be left out.
            for model in ENGINES if settings.check_entities else waiting:
                sources[model] = folder / f"{model}.onnx"
                precision = settings.precision_of(model)
                converted = convert_graph(
                    model,
                    graphs[model],
                    sources[model],
                    precision=precision,
                    samples=batches[model][0],
                    kept=settings.kept,
                    calibration=scales[model] if precision == "int8" else (),
                )
                manifests[model] = replace(manifests[model], left_in_fp32=converted.left)
                runnable[model] = runnable_graph(sources[model], precision)
                differences[model] = check_tensors(
                    model,
                    OnnxEngine(graphs[model], threads=2),
                    OnnxEngine(runnable[model], threads=2),
                    batches[model],
                    precision=precision,
                )
            if settings.check_entities:
                yield check_entities(
                    settings.check_entities,
                    pipeline,
                    GraphPipeline(settings.repository, runnable),
                )
        for model in ENGINES:
            plan = settings.plan(model)
            if model not in waiting:
                yield CompiledEngine(
                    model=model,
                    plan=plan,
                    precision=settings.precision_of(model),
                    size=plan.stat().st_size,
                    seconds=None,
                )
                continue
            start = time.perf_counter()
            built = builder.build(
                model,
                sources[model],
                manifests[model].profile,
                timing_cache=settings.timing_cache,
                progress=progress,
            )
            seconds = time.perf_counter() - start
            on_gpu = None
            if batches is not None and settings.flavour == "tensorrt":
                with PlanRunner(built) as runner:
                    on_gpu = check_tensors(
                        model,
                        OnnxEngine(graphs[model], threads=2),
                        runner,
                        batches[model],
                        precision=settings.precision_of(model),
                    )
            _write(plan, built, manifests[model])
            yield CompiledEngine(
                model=model,
                plan=plan,
                precision=settings.precision_of(model),
                size=len(built),
                seconds=seconds,
                graph=differences.get(model),
                engine=on_gpu,
            )


def _check_targets(settings: CompileSettings) -> None:
    """Make the folders of what will be written; minutes of work must not end in a file's name."""
    folders = {settings.plan(model).parent: "plans" for model in ENGINES}
    if settings.timing_cache is not None:
        folders[settings.timing_cache.parent] = "the timing cache"
        if settings.timing_cache.is_dir():
            raise PlanError(f"{settings.timing_cache} is a folder; --timing-cache names a file")
    for folder, what in folders.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise PlanError(
                f"{what} cannot be written to {folder}: {error.strerror}; name another folder "
                "with --output or --timing-cache, or let this user write there"
            ) from error


def _matches(plan: Path, wanted: Manifest) -> bool:
    found = read_manifest(plan)
    return found is not None and found.builds_the_same(wanted)


def _write(plan: Path, built: bytes, manifest: Manifest) -> None:
    """Both files appear whole; cut off between them, the plan counts as unknown and is rebuilt."""
    new = plan.with_name(f".{plan.name}.{os.getpid()}.partial")
    try:
        new.write_bytes(built)
        text = replace(manifest, plan_sha256=file_sha256(new)).to_json()
        os.replace(new, plan)
        new.write_text(text, encoding="utf-8")
        os.replace(new, manifest_path(plan))
    finally:
        new.unlink(missing_ok=True)
