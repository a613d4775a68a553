"""A model repository's graphs to engines, in steps: plan, convert, gate, build, write.

Each step takes an `EngineJob` and returns it with what it made.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from mqspn_backend.engine import OnnxEngine

from mqspn.data.posts import Post
from mqspn.engines.bf16_emulation import runnable_graph
from mqspn.engines.build_progress import Progress
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.compile_settings import CompileSettings
from mqspn.engines.entity_gate import EntityLoss, check_entities
from mqspn.engines.gate import require_passed
from mqspn.engines.graph_pipeline import GraphPipeline, find_graphs
from mqspn.engines.job import EngineJob, plan_jobs
from mqspn.engines.plan_runner import PlanRunner
from mqspn.engines.precision import Precision, convert_graph
from mqspn.engines.quantisation import Batch, calibration_batches, choose_posts
from mqspn.engines.samples import sample_batches, synthetic_posts
from mqspn.engines.tensor_gate import TensorResult, check_tensors
from mqspn.files.replace import replacing
from mqspn.parity import Difference, Runner
from mqspn.repository.errors import PlanError
from mqspn.repository.manifest import manifest_path

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
    settings: CompileSettings, *, progress: Progress | None = None
) -> Iterator[CompiledEngine | EntityLoss]:
    """Compile what has no matching plan, yielding each engine as it is done.

    With ``check_entities``, what it says of the whole pipeline comes first, before anything is
    built. Raises an EngineError (see `mqspn.engines.errors`); the plans yielded so far stay.
    """
    graphs = find_graphs(settings.repository)
    builder = EngineBuilder(settings.flavour)
    jobs = plan_jobs(settings, graphs, builder)
    _check_targets([job for job in jobs if not job.matches])
    with tempfile.TemporaryDirectory(prefix="mqspn-compile-") as folder:
        if any(job.needs_samples for job in jobs):
            fp32 = GraphPipeline(settings.repository)
            jobs = _sample(jobs, fp32, settings.calibrate)
        jobs = [_convert(job, Path(folder)) if job.converts else job for job in jobs]
        if settings.check_entities:
            lower = GraphPipeline(settings.repository, {job.model: job.runnable for job in jobs})
            yield require_passed(check_entities(settings.check_entities, fp32, lower))
        for job in jobs:
            if not job.matches:
                job = _build(job, builder, progress)
                _write(job)
            yield _result(job)


def _check_targets(jobs: Sequence[EngineJob]) -> None:
    """Make the folders of what will be written; minutes of work must not end in a file's name."""
    folders = {job.plan.parent: "plans" for job in jobs}
    for cache in {job.timing_cache for job in jobs if job.timing_cache is not None}:
        if cache.is_dir():
            raise PlanError(f"{cache} is a folder; --timing-cache names a file")
        folders[cache.parent] = "the timing cache"
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


def _sample(
    jobs: Sequence[EngineJob], fp32: GraphPipeline, calibrate: Sequence[Post]
) -> list[EngineJob]:
    """Give every job the inputs that it is converted, calibrated and compared on."""
    scales: Mapping[str, Sequence[Batch]] = {}
    with ExitStack() as stack:
        posts = choose_posts(calibrate) if calibrate else stack.enter_context(synthetic_posts(8))
        batches = sample_batches(fp32, posts[:8])
        if any(job.converts and job.precision == "int8" for job in jobs):
            # Of the calibration posts the first eight give no scales: they are compared on.
            scales = calibration_batches(fp32, posts[8:])
    return [
        replace(
            job,
            samples=batches[job.model],
            calibration=scales.get(job.model, ()) if job.precision == "int8" else (),
        )
        for job in jobs
    ]


def _convert(job: EngineJob, folder: Path) -> EngineJob:
    """Take the graph to its precision, in ``folder``; refuse one that is too far from FP32."""
    source = folder / f"{job.model}.onnx"
    converted = convert_graph(
        job.model,
        job.graph,
        source,
        precision=job.precision,
        samples=job.samples[0],
        kept=job.kept,
        calibration=job.calibration,
    )
    runnable = runnable_graph(source, job.precision)
    return replace(
        job,
        source=source,
        runnable=runnable,
        manifest=replace(job.manifest, left_in_fp32=converted.left),
        graph_gate=require_passed(_gate(job, OnnxEngine(runnable, threads=2))),
    )


def _gate(job: EngineJob, candidate: Runner) -> TensorResult:
    """Hold ``candidate`` against the FP32 graph of ``job``."""
    reference = OnnxEngine(job.graph, threads=2)
    return check_tensors(job.model, reference, candidate, job.samples, precision=job.precision)


def _build(job: EngineJob, builder: EngineBuilder, progress: Progress | None) -> EngineJob:
    """Build the plan; refuse one that is too far from FP32 on this machine's GPU."""
    start = time.perf_counter()
    built = builder.build(
        job.model,
        job.source,
        job.manifest.profile,
        timing_cache=job.timing_cache,
        progress=progress,
    )
    job = replace(job, built=built, seconds=time.perf_counter() - start)
    if not job.runs_here:
        return job
    with PlanRunner(built) as runner:
        return replace(job, engine_gate=require_passed(_gate(job, runner)))


def _write(job: EngineJob) -> None:
    """Write the plan and its manifest, each of them whole or not at all.

    Cut off between them, the plan counts as unknown and is built again.
    """
    manifest = replace(job.manifest, plan_sha256=hashlib.sha256(job.built).hexdigest())
    with replacing(job.plan, shared=True) as file:
        file.write(job.built)
    with replacing(manifest_path(job.plan), shared=True) as file:
        file.write(manifest.to_json().encode())


def _result(job: EngineJob) -> CompiledEngine:
    built = not job.matches
    return CompiledEngine(
        model=job.model,
        plan=job.plan,
        precision=job.precision,
        size=len(job.built) if built else job.plan.stat().st_size,
        seconds=job.seconds,
        graph=job.graph_gate.difference if built and job.graph_gate else None,
        engine=job.engine_gate.difference if job.engine_gate else None,
    )
