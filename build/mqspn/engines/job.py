"""One engine's way from a graph to a plan, and the jobs of a whole repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mqspn
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.compile_settings import CompileSettings
from mqspn.engines.kept_layers import KeptLayers
from mqspn.engines.precision import Precision, converter_version
from mqspn.engines.quantisation import Batch, calibration_digest, choose_posts
from mqspn.engines.tensor_gate import TensorResult
from mqspn.files.digest import file_sha256
from mqspn.repository import ENGINES
from mqspn.repository.engine_precision import engine_precision
from mqspn.repository.manifest import NO_GPU, Manifest, read_manifest
from mqspn.repository.runtime import find_gpus
from mqspn.repository.shape_profiles import shape_profile

__all__ = ["EngineJob", "plan_jobs"]


@dataclass(frozen=True, kw_only=True)
class EngineJob:
    """One engine to compile. Every step of `mqspn.engines.compile` returns it with what it made.

    Planned: ``manifest`` is what the plan will be, ``graph`` the repository's FP32 graph, ``kept``
    the layers that stay in FP32, ``plan`` where the plan goes, ``matches`` whether it is there
    already, ``converts`` whether the graph goes to a lower precision. ``timing_cache``: a file, or
    None.

    Sampled: ``samples`` is what the graph is converted and compared on, ``calibration`` what INT8
    takes its scales from.

    Converted: ``source`` is the graph to build from, ``runnable`` the same for ONNX Runtime.

    Built: ``built`` is the plan, made in ``seconds``. ``graph_gate`` and ``engine_gate``: how far
    the converted graph and the plan are from FP32; None where there was nothing to compare.
    """

    manifest: Manifest
    graph: Path
    kept: Sequence[KeptLayers]
    plan: Path
    matches: bool
    converts: bool
    timing_cache: Path | None
    source: Path
    runnable: Path
    samples: Sequence[Batch] = ()
    calibration: Sequence[Batch] = ()
    built: bytes = b""
    seconds: float | None = None
    graph_gate: TensorResult | None = None
    engine_gate: TensorResult | None = None

    @property
    def model(self) -> str:
        return self.manifest.model

    @property
    def precision(self) -> Precision:
        return cast(Precision, self.manifest.precision)

    @property
    def runs_here(self) -> bool:
        """Whether the plan can be run where it is made: TensorRT's needs the GPU, RTX's none."""
        return self.manifest.engine == "tensorrt"

    @property
    def needs_samples(self) -> bool:
        return self.converts or (self.runs_here and not self.matches)


def plan_jobs(
    settings: CompileSettings, graphs: Mapping[str, Path], builder: EngineBuilder
) -> list[EngineJob]:
    """One job for each engine model, in the order of the data's way through ``graphs``."""
    # TensorRT-RTX compiles for every GPU it knows, whatever is in this machine.
    gpus = find_gpus() if settings.flavour == "tensorrt" else ()
    int8 = settings.precision == "int8"
    calibration = calibration_digest(choose_posts(settings.calibrate)) if int8 else None
    flags = builder.flags
    jobs = []
    for model in ENGINES:
        precision = engine_precision(model, settings.precision)
        lower = precision != "fp32"
        kept = [layers for layers in settings.kept if lower and layers.graph == model]
        manifest = Manifest(
            model=model,
            onnx_sha256=file_sha256(graphs[model]),
            engine=settings.flavour,
            engine_version=builder.version,
            compute_capability=gpus[0].compute_capability if gpus else NO_GPU,
            gpu=gpus[0].name if gpus else NO_GPU,
            precision=precision,
            converter=converter_version() if lower else None,
            kept_in_fp32=tuple(sorted({layers.name for layers in kept})),
            profile=shape_profile(settings.repository, model),
            builder_flags=flags,
            mqspn_version=mqspn.__version__,
            calibration=calibration if precision == "int8" else None,
        )
        there = None if settings.force else read_manifest(settings.plan(model))
        matches = there is not None and there.builds_the_same(manifest)
        job = EngineJob(
            manifest=manifest,
            graph=graphs[model],
            kept=kept,
            plan=settings.plan(model),
            matches=matches,
            # The entities are those of all graphs together: then none may be left out.
            converts=lower and (not matches or bool(settings.check_entities)),
            timing_cache=settings.timing_cache,
            source=graphs[model],
            runnable=graphs[model],
        )
        jobs.append(job)
    return jobs
