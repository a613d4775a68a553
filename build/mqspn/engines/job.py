"""What is to be compiled: the settings that say which plans are wanted, and one job a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mqspn
from mqspn.data.posts import Post
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.choices import Precision
from mqspn.engines.errors import CompileSettingsError
from mqspn.engines.graph_pipeline import find_graphs
from mqspn.engines.kept_layers import KEPT, KeptLayers
from mqspn.engines.precision import converter_version
from mqspn.engines.quantisation import calibration_digest
from mqspn.files.digest import file_sha256
from mqspn.parity import Difference
from mqspn.repository.engine_precision import engine_precision
from mqspn.repository.manifest import NO_GPU, Manifest, plan_path, read_manifest
from mqspn.repository.runtime import find_gpus
from mqspn.repository.shape_profiles import shape_profile

__all__ = ["CompileSettings", "EngineJob", "check_posts", "plan_jobs"]


@dataclass(frozen=True, kw_only=True)
class CompileSettings:
    """What plans are wanted, and where.

    ``output``: a folder for `<model>.plan`; None puts each at its model's `1/model.plan`, where
    Triton looks. ``force``: build a plan again though a matching one is there. ``kept``: the layers
    that stay in FP32 in a lower precision; CompileSettingsError for more of them in FP32.
    """

    precision: Precision
    output: Path | None = None
    force: bool = False
    kept: Sequence[KeptLayers] = KEPT

    def __post_init__(self) -> None:
        if self.precision == "fp32" and self.kept != KEPT:
            raise CompileSettingsError(
                "all layers are in FP32 already: drop --keep, or name a --precision"
            )


@dataclass(frozen=True, kw_only=True)
class EngineJob:
    """One engine to compile.

    Planned: ``manifest`` is what the plan will be, ``graph`` the repository's FP32 graph, ``kept``
    the layers that stay in FP32, ``plan`` where the plan goes, ``matches`` whether it is there
    already, ``converts`` whether the graph goes to a lower precision.

    Converted: ``source`` is the graph to build from, ``runnable`` the same for ONNX Runtime,
    ``difference`` how far it is from FP32 (None: it is FP32).
    """

    manifest: Manifest
    graph: Path
    kept: Sequence[KeptLayers]
    plan: Path
    matches: bool
    converts: bool
    source: Path
    runnable: Path
    difference: Difference | None = None

    @property
    def model(self) -> str:
        return self.manifest.model

    @property
    def precision(self) -> Precision:
        return cast(Precision, self.manifest.precision)


def check_posts(
    precision: Precision, *, calibrate: Sequence[Post], annotated: Sequence[Post]
) -> None:
    """Raise CompileSettingsError for posts that ``precision`` lacks or has no use for."""
    if precision == "int8" and not calibrate:
        raise CompileSettingsError(
            "--precision int8 needs --calibrate DATA: posts like those that will be served, "
            "without which there is no telling what values the graphs take"
        )
    if calibrate and precision != "int8":
        raise CompileSettingsError(
            f"{precision} is not calibrated: drop --calibrate, or take --precision int8"
        )
    if annotated and precision == "fp32":
        raise CompileSettingsError(
            "FP32 is what the others are compared with: no entities to check"
        )


def plan_jobs(
    settings: CompileSettings,
    repository: Path,
    builder: EngineBuilder,
    calibrate: Sequence[Post] = (),
    *,
    convert_all: bool = False,
) -> list[EngineJob]:
    """One job for each engine model of ``repository``, in the order of the data's way.

    ``calibrate``: the posts of INT8's scales. ``convert_all``: the graphs of matching plans too.
    Raises GraphError for a repository that lacks a graph.
    """
    graphs = find_graphs(repository)
    # TensorRT-RTX compiles for every GPU it knows, whatever is in this machine.
    gpus = find_gpus() if builder.runs_here else ()
    calibration = calibration_digest(calibrate) if calibrate else None
    flags = builder.flags
    jobs = []
    for model, graph in graphs.items():
        precision = engine_precision(model, settings.precision)
        lower = precision != "fp32"
        kept = [layers for layers in settings.kept if lower and layers.graph == model]
        manifest = Manifest(
            model=model,
            onnx_sha256=file_sha256(graph),
            engine=builder.flavour,
            engine_version=builder.version,
            compute_capability=gpus[0].compute_capability if gpus else NO_GPU,
            gpu=gpus[0].name if gpus else NO_GPU,
            precision=precision,
            converter=converter_version() if lower else None,
            kept_in_fp32=tuple(sorted({layers.name for layers in kept})),
            profile=shape_profile(repository, model),
            builder_flags=flags,
            mqspn_version=mqspn.__version__,
            calibration=calibration if precision == "int8" else None,
        )
        plan = plan_path(repository, model, settings.output)
        there = None if settings.force else read_manifest(plan)
        matches = there is not None and there.builds_the_same(manifest)
        job = EngineJob(
            manifest=manifest,
            graph=graph,
            kept=kept,
            plan=plan,
            matches=matches,
            converts=lower and (convert_all or not matches),
            source=graph,
            runnable=graph,
        )
        jobs.append(job)
    return jobs
