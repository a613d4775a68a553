"""Run every part of `gpu.py` in turn; what one measured is on disk before the next begins."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mqspn.data.posts import Post
from mqspn.engines.gates import TOLERANCE, check_tensors
from mqspn.engines.graph_pipeline import GraphPipeline, graph_paths
from mqspn.engines.samples import sample_batches, synthetic_posts
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.evaluation.predictors import ServedPredictor
from mqspn.serving import TritonServer
from mqspn_backend.engine import OnnxEngine
from mqspn_client import Client, RetrySettings
from posts import LoadPost

from bench.answer_check import compare_answers
from bench.comparison import baseline_standings, comparison_rows, server_standings
from bench.interleaved import Standing, run_rounds
from bench.matmul_peak import measure_matmul_peak
from bench.measured_system import MeasuredSystem, make_system, running_server
from bench.memory_use import MemoryPeak
from bench.network_contenders import DTYPES, Inputs
from bench.report import GpuReport, describe_gpu_machine
from bench.run_settings import RunSettings
from bench.served_engine import ServedEngine
from bench.server_figures import measure_level
from bench.time_limit import TimeLimit, TimeOverError
from bench.torch_network import TorchNetwork, flops_by_engine, network_inputs, posts_by_length

__all__ = ["run"]

Answers = list[list[PredictedEntity]]


def run(settings: RunSettings, output: Path | None) -> dict[str, Any]:
    """Measure everything; return the report, whose `failures` name the parts that did not work."""
    report = GpuReport(output, {"machine": describe_gpu_machine(), "settings": settings.to_dict()})
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-gpu-")))
        posts = stack.enter_context(synthetic_posts(settings.posts))
        try:
            with TimeLimit(settings.time_limit_s) as limit:
                _measure(settings, report, posts, limit=limit, work=work, stack=stack)
        except TimeOverError as error:  # between two parts
            report.fail(str(error))
    report.write()
    return report.values


def _measure(
    settings: RunSettings,
    report: GpuReport,
    posts: list[Post],
    *,
    limit: TimeLimit,
    work: Path,
    stack: ExitStack,
) -> None:
    """Measure part by part; ``work``: a temporary folder; ``stack`` ends the server."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sent = [LoadPost(p.id, p.text, p.image.read_bytes() if p.image else None) for p in posts]
    system = None
    with report.part("checkpoint and repository"):
        kept = settings.work or work
        kept.mkdir(parents=True, exist_ok=True)
        texts = [post.text for post in posts]
        system = make_system(settings, texts, kept, timeout_s=limit.left_s)
    if system is None:
        return
    server = client = None
    memory = MemoryPeak()
    with report.part("server"):
        limit.require()
        server = stack.enter_context(
            running_server(
                system.repository,
                settings.profile,
                ready_timeout_s=max(30.0, limit.left_s),
                log_file=work / "server.log",
            )
        )
        client = stack.enter_context(Client(server.url, retry=RetrySettings(attempts=1)))
        _measure_server(settings, report, server, client, sent, memory, limit)
    with report.part("answers"):
        limit.require()
        if server is None or client is None:
            raise RuntimeError("there is nothing to compare")
        expected = _reference(settings, system, posts, work)
        _check_answers(settings, report, server, system, posts, expected)
    with report.part("peak and operations"):
        limit.require()
        _measure_peak(settings, report, system, posts, device)
    with report.part("comparison"):
        limit.require()
        batches = _batches(system, posts, device)
        standings: list[Standing] = []
        if client is not None and report["server"]["levels"]:
            levels = report["server"]["levels"]
            standings = server_standings(client, sent, levels, batches, settings=settings)

        def write() -> None:
            report["comparison"] = comparison_rows(
                standings,
                flops_per_post=report["flops_per_post"],
                peak=report["peak"]["flops_per_second"],
            )
            report.write()

        def time_them(rounds: int) -> None:
            seconds = settings.seconds / 5
            run_rounds(
                standings, rounds=rounds, seconds=seconds, deadline=limit.deadline, timed=write
            )

        # Each baseline is timed as soon as it can be: the next may take minutes to prepare.
        for baseline in baseline_standings(
            settings, system, batches, device=device, limit=limit, work=work, stack=stack
        ):
            standings += baseline
            time_them(1)
        time_them(max(0, settings.rounds - 1))
        write()
        for standing in standings:
            if standing.error and standing.contender.name.startswith("server"):
                report.fail(f"comparison: {standing.contender.name}: {standing.error}")
        limit.require()
        report["complete"] = True


def _reference(
    settings: RunSettings, system: MeasuredSystem, posts: list[Post], work: Path
) -> Answers:
    """Make the answers to compare the server's with: those of serving profile cpu.

    A server of that profile is compared with PyTorch without a server.
    """
    if settings.profile == "cpu":
        return CheckpointPredictor(system.checkpoint, batch_size=8, progress=False).predict(posts)
    log_file = work / "reference.log"
    with running_server(system.repository, "cpu", ready_timeout_s=300, log_file=log_file) as server:
        return _served(server, posts)


def _served(server: TritonServer, posts: list[Post]) -> Answers:
    predictor = ServedPredictor(server.url, concurrency=8)
    answers = predictor.predict(posts)
    if predictor.failures:
        raise RuntimeError(
            f"{len(predictor.failures)} of {len(posts)} posts were not answered: "
            f"{predictor.failures[0].message}"
        )
    return answers


def _check_answers(
    settings: RunSettings,
    report: GpuReport,
    server: TritonServer,
    system: MeasuredSystem,
    posts: list[Post],
    expected: Answers,
) -> None:
    """Entities against the reference, and every engine's tensors against FP32 on the CPU."""
    comparison = compare_answers(expected, _served(server, posts), settings.bounds)
    name = "PyTorch without a server" if settings.profile == "cpu" else "the CPU profile"
    report["answers"] = {"reference": name, **comparison.to_dict()}
    if comparison.broken:
        report.fail(f"answers: {comparison.broken}")
    report.write()
    tolerance = TOLERANCE[settings.served_precision]
    differences = {}
    batches = sample_batches(GraphPipeline(system.repository), posts)
    for model, graph in graph_paths(system.repository).items():
        served = ServedEngine(server.url, model)
        result = check_tensors(
            model,
            OnnxEngine(graph, threads=2),
            served,
            batches[model],
            precision=settings.served_precision,
        )
        differences[model] = result.difference.largest
        if result.refusal is not None:
            report.fail(f"answers: {result.difference}; more than {tolerance:g}")
    report["engines"] = {"tolerance": tolerance, "largest_difference": differences}


def _measure_server(
    settings: RunSettings,
    report: GpuReport,
    server: TritonServer,
    client: Client,
    posts: list[LoadPost],
    memory: MemoryPeak,
    limit: TimeLimit,
) -> None:
    found: dict[str, Any] = {"version": client.metadata().server_version, "levels": []}
    with memory:
        for callers in settings.callers:
            limit.require()
            key = server.settings.operator_key or ""
            level = measure_level(
                client, server.url, key, posts, callers=callers, seconds=settings.seconds
            )
            found["levels"].append(level)
            found["memory"] = memory.figures()
            report["server"] = found
            report.write()
            if level["errors"]:
                report.fail(f"server, {callers} callers: {'; '.join(level['errors'])}")
    found["memory"] = memory.figures()


def _batches(system: MeasuredSystem, posts: list[Post], device: torch.device) -> dict[int, Inputs]:
    """The network's inputs, on the device: one post, and as many as the server puts together."""
    largest = min(system.checkpoint.settings.serving.max_batch_size, len(posts))
    sizes = sorted({1, largest})
    return {size: network_inputs(system.checkpoint, posts[:size], device) for size in sizes}


def _measure_peak(
    settings: RunSettings,
    report: GpuReport,
    system: MeasuredSystem,
    posts: list[Post],
    device: torch.device,
) -> None:
    network = TorchNetwork(system.checkpoint, torch.float32, device)
    by_length = posts_by_length(system.checkpoint, posts)
    flops = {
        length: flops_by_engine(network, network_inputs(system.checkpoint, members[:1], device))
        for length, members in by_length.items()
    }
    by_engine = {
        model: sum(flops[length][model] * len(members) for length, members in by_length.items())
        // len(posts)
        for model in network.parts
    }
    report["flops_by_engine"] = by_engine
    report["flops_per_post"] = sum(by_engine.values())
    report["posts_by_tokens"] = {length: len(by_length[length]) for length in sorted(by_length)}
    report["peak"] = measure_matmul_peak(device, DTYPES[settings.precision]).to_dict()
