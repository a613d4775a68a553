"""A model repository's graphs to engines, in steps: plan, convert, gate, build, write."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mqspn_backend.engine import OnnxEngine

from mqspn.data.posts import Post
from mqspn.engines.build_progress import Progress
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.choices import Precision
from mqspn.engines.gates import EntityLoss, Reference, check_entities, require_passed
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.engines.job import CompileSettings, EngineJob, check_posts, plan_jobs
from mqspn.engines.plan_runner import PlanRunner
from mqspn.engines.precision import convert_graph
from mqspn.engines.quantisation import choose_posts
from mqspn.parity import Difference
from mqspn.repository.errors import PlanError
from mqspn.repository.manifest import write_plan

__all__ = ["CompiledEngine", "compile_repository"]


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
    repository: Path,
    builder: EngineBuilder,
    settings: CompileSettings,
    *,
    calibrate: Sequence[Post] = (),
    annotated: Sequence[Post] = (),
    progress: Progress | None = None,
) -> Iterator[CompiledEngine | EntityLoss]:
    """Compile what has no matching plan, yielding each engine as it is done.

    ``calibrate``: the posts that INT8 takes its scales from; synthetic ones would be wrong for any
    checkpoint but the demo's. ``annotated``: posts on which the lower precision may not cost F1;
    what the gate says of them comes first, before anything is built. None: the tensors alone are
    compared.

    Raises an EngineError (see `mqspn.engines.errors`); the plans yielded so far stay.
    """
    check_posts(settings.precision, calibrate=calibrate, annotated=annotated)
    calibrate = choose_posts(calibrate) if calibrate else ()
    # The entities are those of all graphs together: then none may be left out.
    jobs = plan_jobs(settings, repository, builder, calibrate, convert_all=bool(annotated))
    _check_writable([job for job in jobs if not job.matches], builder.timing_cache)
    fp32 = Reference(repository, calibrate)
    with tempfile.TemporaryDirectory(prefix="mqspn-compile-") as folder:
        jobs = [_convert(job, fp32, Path(folder)) if job.converts else job for job in jobs]
        if annotated:
            lower = GraphPipeline(repository, {job.model: job.runnable for job in jobs})
            yield require_passed(check_entities(annotated, fp32.pipeline, lower))
        for job in jobs:
            yield _keep(job) if job.matches else _build(job, builder, fp32, progress)


def _check_writable(jobs: Sequence[EngineJob], timing_cache: Path | None) -> None:
    """Make the folders of what will be written; minutes of work must not end in a file's name."""
    folders = {job.plan.parent: "plans" for job in jobs}
    if jobs and timing_cache is not None:
        if timing_cache.is_dir():
            raise PlanError(f"{timing_cache} is a folder; --timing-cache names a file")
        folders[timing_cache.parent] = "the timing cache"
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


def _convert(job: EngineJob, fp32: Reference, folder: Path) -> EngineJob:
    """Take the graph to its precision, in ``folder``; refuse one that is too far from FP32."""
    converted = convert_graph(
        job.model,
        job.graph,
        folder / f"{job.model}.onnx",
        precision=job.precision,
        samples=fp32.batches[job.model][0],
        kept=job.kept,
        calibration=fp32.calibration[job.model] if job.precision == "int8" else (),
    )
    return replace(
        job,
        source=converted.graph,
        runnable=converted.runnable,
        manifest=replace(job.manifest, left_in_fp32=converted.left),
        difference=fp32.hold(job.model, OnnxEngine(converted.runnable, threads=2), job.precision),
    )


def _build(
    job: EngineJob, builder: EngineBuilder, fp32: Reference, progress: Progress | None
) -> CompiledEngine:
    """Build the plan and write it; refuse one that is too far from FP32 on this machine's GPU."""
    if builder.runs_here:
        _ = fp32.batches  # made now: what cannot be read is refused before minutes of building
    start = time.perf_counter()
    plan = builder.build(job.model, job.source, job.manifest.profile, progress=progress)
    seconds = time.perf_counter() - start
    on_gpu = None
    if builder.runs_here:
        with PlanRunner(plan) as candidate:
            on_gpu = fp32.hold(job.model, candidate, job.precision)
    write_plan(job.plan, plan, job.manifest)
    return CompiledEngine(
        model=job.model,
        plan=job.plan,
        precision=job.precision,
        size=len(plan),
        seconds=seconds,
        graph=job.difference,
        engine=on_gpu,
    )


def _keep(job: EngineJob) -> CompiledEngine:
    """The plan that is there already."""
    return CompiledEngine(
        model=job.model,
        plan=job.plan,
        precision=job.precision,
        size=job.plan.stat().st_size,
        seconds=None,
    )
