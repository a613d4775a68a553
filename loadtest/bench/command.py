"""The command line of `gpu.py`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, cast, get_args

import torch
import typer
from mqspn.engines.precision import PRECISIONS, Precision
from mqspn.repository.cuda_profile import CudaProvider
from mqspn.repository.serving_profiles import SERVING_PROFILES, ServingProfile
from mqspn_backend.providers import check_installed

from bench.report import print_report
from bench.run import run
from bench.run_settings import BASELINES, RunSettings, Size

__all__ = ["app"]

_CALLERS = (1, 8, 32)
#: A GPU is not filled by few callers that wait for each answer.
_CALLERS_ON_GPU = (*_CALLERS, 128, 256)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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
        list[int] | None,
        typer.Option(
            min=1,
            help="Callers at once; several times for several levels. Default: 1, 8, 32, and on a "
            "GPU 128 and 256.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each level of load.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the comparison.")] = 5,
    baseline: Annotated[
        list[str], typer.Option(help=f"{', '.join(BASELINES)}; several times for several.")
    ] = list(BASELINES),  # noqa: B006 - typer copies it
    differing_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of posts that may be answered differently."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which it ends, with the figures so far.")
    ] = 540.0,
    work: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Keep checkpoint and repository here for the next run."),
    ] = None,
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
            callers=tuple(sorted(set(callers or (_CALLERS_ON_GPU if on_gpu else _CALLERS)))),
            seconds=seconds,
            rounds=rounds,
            baselines=tuple(baseline),
            differing_share=differing_share,
            time_limit_s=time_limit,
            work=work,
        )
        if settings.profile == "cuda":
            check_installed(settings.provider)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    logging.getLogger("mqspn.data.reader").setLevel(logging.ERROR)
    found = run(settings, output)
    print_report(found)
    raise typer.Exit(1 if found["failures"] else 0)
