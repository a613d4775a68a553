"""Measure the service on a GPU: its speed, its answers, and the network alone beside it.

    python loadtest/gpu.py --output loadtest/reports/gpu.json

Starts the real server with the paper's sizes on this machine's GPU (without one: the demo's sizes
on the CPU), compares its answers with those of serving profile cpu, loads it at several numbers of
callers, and times the same network in PyTorch (eager, `torch.compile`) and in TensorRT-RTX's
engines, in turns with the server. Prints tables, and writes a JSON file after every part.

Exit code 0: all parts done, answers within their bounds, no call failed; 1: not so, the report's
`failures` say why; 2: wrong usage. A baseline that does not run here is a row with its reason, and
no failure.
"""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import torch
import typer
from bench.answer_check import compare_answers
from bench.comparison import baseline_standings, comparison_rows, server_standings
from bench.interleaved import run_rounds
from bench.matmul_peak import measure_matmul_peak
from bench.measured_system import MeasuredSystem, make_system, running_server
from bench.memory_use import MemoryPeak
from bench.network_contenders import DTYPES, Inputs
from bench.report import GpuReport, describe_gpu_machine, print_report
from bench.run_settings import BASELINES, RunSettings, Size
from bench.served_engine import ServedEngine
from bench.server_figures import measure_level
from bench.torch_network import TorchNetwork, flops_by_engine, network_inputs, posts_by_length
from mqspn.data.posts import Post
from mqspn.engines.gates import TOLERANCE, check_tensors
from mqspn.engines.graph_pipeline import GraphPipeline, graph_paths
from mqspn.engines.precision import PRECISIONS, Precision
from mqspn.engines.samples import sample_batches, synthetic_posts
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.evaluation.predictors import ServedPredictor
from mqspn.repository.cuda_profile import CudaProvider
from mqspn.repository.serving_profiles import SERVING_PROFILES, ServingProfile
from mqspn.serving import TritonServer
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.providers import check_installed
from mqspn_client import Client, RetrySettings
from posts import LoadPost

__all__ = ["app", "run"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Answers = list[list[PredictedEntity]]


def run(settings: RunSettings, output: Path | None) -> dict[str, Any]:
    """Measure everything; return the report, whose `failures` name the parts that did not work."""
    deadline = time.monotonic() + settings.time_limit_s
    report = GpuReport(output, {"machine": describe_gpu_machine(), "settings": settings.to_dict()})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-gpu-")))
        posts = stack.enter_context(synthetic_posts(settings.posts))
        sent = [LoadPost(p.id, p.text, p.image.read_bytes() if p.image else None) for p in posts]
        system = None
        with report.part("checkpoint and repository"):
            left_s = deadline - time.monotonic()
            system = make_system(settings, [p.text for p in posts], work, timeout_s=left_s)
        if system is None:
            return report.values
        expected = None
        with report.part("reference answers"):
            expected = _reference(settings, system, posts, work)
        client = None
        memory = MemoryPeak()
        with report.part("server"):
            server = stack.enter_context(
                running_server(
                    system.repository,
                    settings.profile,
                    ready_timeout_s=max(30.0, deadline - time.monotonic()),
                    log_file=work / "server.log",
                )
            )
            connected = stack.enter_context(Client(server.url, retry=RetrySettings(attempts=1)))
            _measure_server(settings, report, server, connected, sent, memory)
            client = connected
        with report.part("answers"):
            if client is None or expected is None:
                raise RuntimeError("there is nothing to compare")
            _check_answers(settings, report, server, system, posts, expected)
        with report.part("peak and operations"):
            _measure_peak(settings, report, system, posts, device)
        with report.part("comparison"):
            batches = _batches(system, posts, device)
            standings = []
            if client is not None:
                levels = report["server"]["levels"]
                standings = server_standings(client, sent, levels, batches, settings=settings)
            standings += baseline_standings(
                settings, system, batches, device=device, deadline=deadline, work=work, stack=stack
            )
            run_rounds(
                standings, rounds=settings.rounds, seconds=settings.seconds / 5, deadline=deadline
            )
            report["comparison"] = comparison_rows(
                standings,
                flops_per_post=report["flops_per_post"],
                peak=report["peak"]["flops_per_second"],
            )
            for standing in standings:
                if standing.error and standing.contender.name.startswith("server"):
                    report.fail(f"comparison: {standing.contender.name}: {standing.error}")
        report["complete"] = True
    report.write()
    return report.values


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
) -> None:
    found: dict[str, Any] = {"version": client.metadata().server_version, "levels": []}
    with memory:
        for callers in settings.callers:
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


@app.command()
def gpu(
    size: Annotated[
        str, typer.Option(help="base (the paper's sizes), demo; auto: base where there is a GPU.")
    ] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Measure this checkpoint instead.", exists=True)
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Serving profile: cpu, cuda, gpu; auto: cuda where there is a GPU, else cpu."
        ),
    ] = "auto",
    provider: Annotated[
        CudaProvider, typer.Option(help="What runs the graphs under serving profile cuda.")
    ] = "cuda",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or bf16, see README.md; auto: fp16 on a GPU.")
    ] = "auto",
    posts: Annotated[int, typer.Option(min=8, help="Synthetic posts to send and to compare.")] = 64,
    callers: Annotated[
        list[int], typer.Option(min=1, help="Callers at once; several times for several levels.")
    ] = [1, 8, 32],  # noqa: B006 - typer copies it
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each level of load.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the comparison.")] = 5,
    baseline: Annotated[
        list[str], typer.Option(help=f"{', '.join(BASELINES)}; several times for several.")
    ] = list(BASELINES),  # noqa: B006
    differing_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of posts that may be answered differently."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which nothing new is begun.")
    ] = 540.0,
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Measure the service on this machine's GPU, or on its CPU where there is none."""
    on_gpu = torch.cuda.is_available()
    chosen: dict[str, str] = {}
    for option, value, automatic, known in (
        ("--size", size, "base" if on_gpu else "demo", get_args(Size)),
        ("--profile", profile, "cuda" if on_gpu else "cpu", SERVING_PROFILES),
        ("--precision", precision, "fp16" if on_gpu else "fp32", PRECISIONS),
    ):
        chosen[option] = automatic if value == "auto" else value
        if chosen[option] not in known:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(known)}", param_hint=option)
    try:
        settings = RunSettings(
            size=cast(Size, chosen["--size"]),
            profile=cast(ServingProfile, chosen["--profile"]),
            precision=cast(Precision, chosen["--precision"]),
            provider=provider,
            checkpoint=checkpoint,
            posts=posts,
            callers=tuple(sorted(set(callers))),
            seconds=seconds,
            rounds=rounds,
            baselines=tuple(baseline),
            differing_share=differing_share,
            time_limit_s=time_limit,
        )
        if settings.profile == "cuda":
            check_installed(settings.provider)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    logging.getLogger("mqspn.data.reader").setLevel(logging.ERROR)
    found = run(settings, output)
    print_report(found)
    raise typer.Exit(1 if found["failures"] else 0)


if __name__ == "__main__":
    app()
