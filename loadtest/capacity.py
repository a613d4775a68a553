"""Find the capacity: the most posts a second that a server takes within an objective.

    python loadtest/capacity.py --url 127.0.0.1:8001 --slo p99=200ms,errors=0

Posts arrive at a rate (open loop) for some seconds: a probe. The rate doubles until the objective
breaks, then the step between what was kept and what was not is halved. A probe in which this
program used more than 0.8 of a core says nothing of the server, and is not quoted.

Prints the probes and, last, one JSON object. Exit code 0: a capacity was found; 1: none, and
`reason` says why; 2: wrong usage, or no server that is ready.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from addresses import check_address
from arrivals import ARRIVALS
from generator import MOST_CORES
from limits import MOST_POSTS_PER_SECOND
from machine import describe_machine
from mix import Mix
from mqspn_client import Client, MqspnError
from posts import read_posts
from run import locust_command
from slo import Slo

__all__ = ["Capacity", "Probe", "app", "find_capacity"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_READY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Posts at ``rate`` a second: what came of them, and the cores that sending took."""

    rate: float
    kept: bool
    broken: tuple[str, ...]
    p50_ms: float | None
    p99_ms: float | None
    failed: int
    count: int
    generator_cores: float

    @property
    def usable(self) -> bool:
        return self.generator_cores <= MOST_CORES


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The highest rate that was kept and the lowest that was not; None where there is none.

    ``reason`` says why there is no capacity to quote.
    """

    posts_per_second: float | None
    too_much: float | None
    reason: str | None
    probes: tuple[Probe, ...]


def find_capacity(
    probe: Callable[[float], Probe],
    *,
    first: float,
    most: float,
    precision: float,
    lowest: float = 0.1,
    show: Callable[[Probe], None] = lambda _: None,
) -> Capacity:
    """Search the highest rate that ``probe`` keeps, to a share of ``precision`` of it.

    Begins at ``first`` posts a second and never asks for more than ``most``. A rate that breaks is
    tried a second time: a moment's noise on the machine is not the server's limit.
    """
    probes: list[Probe] = []

    def kept(rate: float) -> bool | None:
        """Whether the rate is kept; None where the generator was too busy to say."""
        for _ in range(2):
            found = probe(rate)
            probes.append(found)
            show(found)
            if not found.usable:
                return None
            if found.kept:
                return True
        return False

    def answer(low: float | None, high: float | None, reason: str | None) -> Capacity:
        quoted = low if reason is None else None
        return Capacity(posts_per_second=quoted, too_much=high, reason=reason, probes=tuple(probes))

    low: float | None = None
    high: float | None = None
    rate = first
    while low is None or high is None or high - low > precision * low:
        verdict = kept(rate)
        if verdict is None:
            return answer(
                low,
                high,
                f"at {rate:g} posts a second the load generator used more than {MOST_CORES} of a "
                "core: it is the limit, or may be. Send from another machine",
            )
        if verdict:
            low = rate
            if low >= most:
                return answer(low, high, f"{most:g} posts a second are kept: raise --most")
        else:
            high = rate
            if high <= lowest:
                return answer(low, high, f"{high:g} posts a second are too many already")
        if low is None:
            rate = max(lowest, rate / 2)
        elif high is None:
            rate = min(most, rate * 2)
        else:
            rate = (low + high) / 2
    return answer(low, high, None)


def _run_probe(
    rate: float, *, url: str, folder: Path, seconds: float, options: dict[str, object]
) -> Probe:
    """Send posts at ``rate`` with Locust in a process of its own, and read its report."""
    command = locust_command(
        url=url,
        reports=folder,
        name="probe",
        options={**options, "rate": rate, "run_time": f"{max(1, round(seconds))}s"},
    )
    report = folder / "probe.json"
    report.unlink(missing_ok=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            _, written = process.communicate()
        except KeyboardInterrupt:
            # It has a terminal of its own: tell it, once, and let its calls end.
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    if not report.is_file():
        raise ValueError(f"the probe at {rate:g} posts a second failed:\n{written}")
    found = json.loads(report.read_text(encoding="utf-8"))
    figures = found["all"]
    return Probe(
        rate=rate,
        kept=not found["broken"],
        broken=tuple(found["broken"]),
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        failed=figures["failed"],
        count=figures["count"],
        generator_cores=found["generator"]["cores"],
    )


def _row(probe: Probe) -> str:
    times = "".join(
        f"{'not sent':>10}" if time is None else f"{time:10.1f}"
        for time in (probe.p50_ms, probe.p99_ms)
    )
    verdict = "kept" if probe.kept else "broken"
    return (
        f"{probe.rate:10.2f}{probe.count:8d}{probe.failed:8d}{times}{probe.generator_cores:11.2f}"
        f"  {verdict if probe.usable else 'generator too busy'}"
    )


@app.command()
def capacity(
    url: Annotated[str, typer.Option(help="HOST:PORT of the server.")] = "127.0.0.1:8001",
    slo: Annotated[str, typer.Option(help="Objective to keep.")] = "p99=200ms,errors=0",
    first: Annotated[float, typer.Option(min=0.1, help="Posts a second to begin with.")] = 4.0,
    most: Annotated[float, typer.Option(min=0.1, help="Posts a second never passed.")] = 1000.0,
    precision: Annotated[
        float, typer.Option(min=0.001, max=1, help="Stop at a step of this share.")
    ] = 0.05,
    posts: Annotated[int, typer.Option(min=1, help="Posts of a probe, at least.")] = 300,
    seconds: Annotated[float, typer.Option(min=1.0, help="Seconds of a probe, at least.")] = 15.0,
    warm_up: Annotated[
        float, typer.Option(min=0.0, help="Seconds before, that do not count.")
    ] = 3.0,
    max_in_flight: Annotated[int, typer.Option(min=1, help="Calls at once.")] = 256,
    arrivals: Annotated[str, typer.Option(help="poisson or constant.")] = "poisson",
    mix: Annotated[
        str | None, typer.Option(help="What is sent, as zipf=1,text_only=0.2,12mp=0.02.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Posts: a folder or .jsonl.")] = None,
    split: Annotated[str, typer.Option(help="Split of the folder.")] = "test",
    output: Annotated[Path | None, typer.Option(help="Write the JSON object here too.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow another machine's address.")
    ] = False,
) -> None:
    """Search the most posts a second that keep the objective."""
    try:
        check_address(url, allow_remote=allow_remote)
        objective = Slo.parse(slo)
        Mix.parse(mix or "")
        if arrivals not in ARRIVALS:
            raise ValueError(f"--arrivals {arrivals!r} is not one of {', '.join(ARRIVALS)}")
        _check_times(first=first, most=most, seconds=seconds, warm_up=warm_up)
        if data is not None:
            read_posts(Path(data), split=split, limit=1)
        _check_ready(url)
    except (MqspnError, OSError, ValueError) as error:
        typer.echo(f"capacity: {error}", err=True)
        raise typer.Exit(2) from None
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.pop("MQSPN_OPERATOR_KEY", None)  # the columns are not asked for here
    options: dict[str, object] = {
        "slo": slo,
        "warm_up": warm_up,
        "max_in_flight": max_in_flight,
        "arrivals": arrivals,
        "mix": mix,
        "data": data,
        "split": split,
        "allow_remote": allow_remote,
    }
    typer.echo("    posts/s   count  failed    p50 ms    p99 ms  generator")
    with tempfile.TemporaryDirectory(prefix="mqspn-capacity-") as folder:

        def probe(rate: float) -> Probe:
            length = warm_up + max(seconds, posts / rate)
            return _run_probe(rate, url=url, folder=Path(folder), seconds=length, options=options)

        try:
            found = find_capacity(
                probe,
                first=first,
                most=most,
                precision=precision,
                show=lambda probe: typer.echo(_row(probe)),
            )
        except ValueError as error:
            typer.echo(f"capacity: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("capacity: stopped; the probes above are what was measured", err=True)
            raise typer.Exit(1) from None
    text = json.dumps(_report(found, objective, mix), indent=2)
    typer.echo(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")
    raise typer.Exit(0 if found.reason is None else 1)


def _check_times(*, first: float, most: float, seconds: float, warm_up: float) -> None:
    for option, value in (("--first", first), ("--most", most)):
        if not 0 < value <= MOST_POSTS_PER_SECOND:
            raise ValueError(
                f"{option} {value:g} is no rate: give posts a second, at most "
                f"{MOST_POSTS_PER_SECOND}"
            )
    if first > most:
        raise ValueError(f"--first {first:g} is more than --most {most:g}")
    if not math.isfinite(seconds) or not math.isfinite(warm_up):
        raise ValueError("--seconds and --warm-up are seconds, and end")


def _check_ready(url: str) -> None:
    """Raise OSError where no server takes posts: probes would only measure refusals."""
    with Client(url) as client:
        if not client.ready(timeout_s=_READY_S):
            raise OSError(f"no server takes posts at {url}; start one with `mqspn serve`")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Have SIGTERM end the search as Ctrl-C does: the probe first, then the temporary folder."""
    raise KeyboardInterrupt


def _report(found: Capacity, objective: Slo, mix: str | None) -> dict[str, Any]:
    return {
        "machine": describe_machine(),
        "slo": str(objective),
        "mix": mix,
        **asdict(found),
    }


if __name__ == "__main__":
    app()
