"""Run the load scenarios without a page, write reports, end with a code that says how it went.

    python loadtest/run.py --users 16 --run-time 60s --slo p99=2s,errors=0
    python loadtest/run.py --rate 10 --run-time 60s --slo p99=200ms,errors=0

Reports go to ``loadtest/reports/``: ``<name>.html``, ``<name>_stats.csv`` and the other CSV files
of Locust, and ``<name>.json`` with the figures and the machine. Exit code 0: the objective is kept;
1: it is broken; 2: wrong usage. Ctrl-C ends the run early: the calls in flight are waited for, and
what was measured is reported and judged. A second Ctrl-C does not wait.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from addresses import check_address
from arrivals import ARRIVALS, SHAPES
from limits import check_load, parse_run_time
from mix import Mix
from posts import read_posts
from slo import Slo

__all__ = ["app", "locust_command"]

FOLDER = Path(__file__).resolve().parent

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def locust_command(*, url: str, reports: Path, name: str, options: dict[str, object]) -> list[str]:
    """Make Locust's command line for one headless run; ``options`` are by name, None left out."""
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary"]
    command += ["-f", str(FOLDER / "locustfile.py"), "--host", url]
    command += ["--html", str(reports / f"{name}.html"), "--csv", str(reports / name)]
    command += ["--summary", str(reports / f"{name}.json")]
    for option, value in options.items():
        if value is True:
            command.append(f"--{option.replace('_', '-')}")
        elif value is not None and value is not False:
            command.append(f"--{option.replace('_', '-')}={value}")
    return command


@app.command()
def run(
    url: Annotated[str, typer.Option(help="HOST:PORT of the server.")] = "127.0.0.1:8001",
    users: Annotated[int, typer.Option(min=1, help="Closed loop: users at once.")] = 16,
    spawn_rate: Annotated[float, typer.Option(help="Users started a second.")] = 16.0,
    rate: Annotated[
        float | None, typer.Option(help="Open loop: posts a second, answered or not.")
    ] = None,
    arrivals: Annotated[str, typer.Option(help="Open loop: poisson or constant.")] = "poisson",
    max_in_flight: Annotated[
        int, typer.Option(min=1, help="Open loop: calls at once; a post past them fails, not sent.")
    ] = 256,
    shape: Annotated[
        str, typer.Option(help="steady, ramp, spike or soak: of the rate, or the users.")
    ] = "steady",
    run_time: Annotated[
        str | None, typer.Option(help="How long, as 60s or 5m. Default: 60s; a soak 1h.")
    ] = None,
    warm_up: Annotated[float, typer.Option(help="Seconds that do not count.")] = 0.0,
    slo: Annotated[
        str, typer.Option(help="Objective: p50 to p99.9, mean, max in ms or s; errors.")
    ] = "p99=2s,errors=0",
    mix: Annotated[
        str | None, typer.Option(help="Draw posts by a law, as zipf=1,text_only=0.2,12mp=0.02.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the mix and the arrivals.")] = 0,
    data: Annotated[
        str | None, typer.Option(help="Posts: a folder or .jsonl; else demo/posts.jsonl.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the folder.")] = "test",
    metrics_url: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the server's metrics. Default: 8002 where --url is 8001."),
    ] = None,
    operator_key: Annotated[
        str | None,
        typer.Option(envvar="MQSPN_OPERATOR_KEY", help="Columns from statistics, not metrics."),
    ] = None,
    reports: Annotated[Path, typer.Option(help="Where reports go.")] = FOLDER / "reports",
    name: Annotated[str, typer.Option(help="First part of the reports' names.")] = "latest",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow another machine's address.")
    ] = False,
) -> None:
    """Send posts as many users do, or as they arrive; judge times and failures."""
    try:
        check_address(url, allow_remote=allow_remote)
        Slo.parse(slo)
        Mix.parse(mix or "")
        for option, value, known in (
            ("--shape", shape, SHAPES),
            ("--arrivals", arrivals, ARRIVALS),
        ):
            if value not in known:
                raise ValueError(f"{option} {value!r} is not one of {', '.join(known)}")
        run_time = run_time or ("1h" if shape == "soak" else "60s")
        check_load(rate=rate, run_time_s=parse_run_time(run_time), warm_up_s=warm_up)
        if not 0 < spawn_rate < math.inf:
            raise ValueError(f"--spawn-rate {spawn_rate:g} is no rate: give users a second")
        if data is not None:
            read_posts(Path(data), split=split, limit=1)
    except (OSError, ValueError) as error:
        typer.echo(f"loadtest: {error}", err=True)
        raise typer.Exit(2) from None
    reports.mkdir(parents=True, exist_ok=True)
    options: dict[str, object] = {
        "users": users,
        "spawn_rate": spawn_rate,
        "rate": rate,
        "arrivals": arrivals,
        "max_in_flight": max_in_flight,
        "shape": shape,
        "run_time": run_time,
        "warm_up": warm_up,
        "slo": slo,
        "mix": mix,
        "seed": seed,
        "data": data,
        "split": split,
        "metrics_url": metrics_url,
        "allow_remote": allow_remote,
    }
    if operator_key:
        os.environ["MQSPN_OPERATOR_KEY"] = operator_key  # not on a command line, where all see it
    command = locust_command(url=url, reports=reports, name=name, options=options)
    typer.echo(f"reports: {reports / name}.html, {name}.json and the CSV files beside them")
    sys.stdout.flush()
    # Locust takes this process's place: Ctrl-C has one process to reach, which ends in order.
    os.execv(command[0], command)


if __name__ == "__main__":
    app()
