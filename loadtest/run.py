"""Run the load scenarios without a page, write reports, end with a code that says how it went.

    python loadtest/run.py --users 16 --run-time 60s --p99-ms 2000

Reports go to ``loadtest/reports/``: ``<name>.html``, ``<name>_stats.csv`` and the other CSV files
of Locust, and ``<name>.json`` with the figures and the machine. Exit code 0: all bounds kept; 1: a
bound broken; 2: wrong usage. Ctrl-C ends the run early: the calls in flight are waited for, and
what was measured is reported and judged. A second Ctrl-C does not wait.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from addresses import check_address

__all__ = ["app", "locust_command"]

FOLDER = Path(__file__).resolve().parent

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def locust_command(
    *,
    url: str,
    users: int,
    spawn_rate: float,
    run_time: str,
    p99_ms: float,
    failure_rate: float,
    reports: Path,
    name: str,
    data: str | None,
    split: str,
    allow_remote: bool,
) -> list[str]:
    """Make Locust's command line for one headless run."""
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary"]
    command += ["-f", str(FOLDER / "locustfile.py"), "--host", url]
    command += ["--users", str(users), "--spawn-rate", str(spawn_rate), "--run-time", run_time]
    command += ["--p99-ms", str(p99_ms)]
    command += ["--failure-rate", str(failure_rate), "--split", split]
    command += ["--html", str(reports / f"{name}.html"), "--csv", str(reports / name)]
    command += ["--summary", str(reports / f"{name}.json")]
    if data is not None:
        command += ["--data", data]
    if allow_remote:
        command += ["--allow-remote"]
    return command


@app.command()
def run(
    url: Annotated[str, typer.Option(help="HOST:PORT of the server.")] = "127.0.0.1:8001",
    users: Annotated[int, typer.Option(min=1, help="Users at once.")] = 16,
    spawn_rate: Annotated[float, typer.Option(help="Users started a second.")] = 16.0,
    run_time: Annotated[str, typer.Option(help="How long, as 60s or 5m.")] = "60s",
    p99_ms: Annotated[float, typer.Option(help="Bound on the p99 of all requests, ms.")] = 2000.0,
    failure_rate: Annotated[float, typer.Option(help="Share that may fail, 0 to 1.")] = 0.0,
    data: Annotated[
        str | None, typer.Option(help="Posts: a folder or .jsonl; else demo/posts.jsonl.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the folder.")] = "test",
    reports: Annotated[Path, typer.Option(help="Where reports go.")] = FOLDER / "reports",
    name: Annotated[str, typer.Option(help="First part of the reports' names.")] = "latest",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow another machine's address.")
    ] = False,
) -> None:
    """Send posts as many users do; judge p99 and failures."""
    try:
        check_address(url, allow_remote=allow_remote)
    except ValueError as error:
        typer.echo(f"loadtest: {error}", err=True)
        raise typer.Exit(2) from None
    reports.mkdir(parents=True, exist_ok=True)
    command = locust_command(
        url=url,
        users=users,
        spawn_rate=spawn_rate,
        run_time=run_time,
        p99_ms=p99_ms,
        failure_rate=failure_rate,
        reports=reports,
        name=name,
        data=data,
        split=split,
        allow_remote=allow_remote,
    )
    typer.echo(f"reports: {reports / name}.html, {name}.json and the CSV files beside them")
    sys.stdout.flush()
    # Locust takes this process's place: Ctrl-C has one process to reach, which ends in order.
    os.execv(command[0], command)


if __name__ == "__main__":
    app()
