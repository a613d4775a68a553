"""Compare the server's speed with another commit's, and with other ways to serve the same model.

    python loadtest/compare.py --against COMMIT      # 20 minutes on two cores
    python loadtest/compare.py --quick               # two minutes: `make bench`

Systems are timed in turns on the same synthetic posts, with images and without: this checkout's
server, the commit's, FastAPI and LitServe with PyTorch eager, each at its best setting, and the
bare ONNX Runtime chain. Every answer is held against PyTorch's. What is timed is on disk at once,
so that Ctrl-C, or a kill, loses nothing: `--rows FILE` reports on it again.

Exit code 0: every mark that is judged was reached; 1: one was not, or a call failed, or an answer
was wrong; 2: wrong usage; 130: Ctrl-C.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from comparison.answers import AnswerCheck
from comparison.chain import Chain
from comparison.checkout import (
    Checkout,
    CheckoutError,
    UnknownCommitError,
    commit_name,
    other_checkout,
    this_checkout,
)
from comparison.experiment import Experiment
from comparison.marks import (
    AGAINST,
    CHAIN,
    FASTAPI,
    LITSERVE,
    SERVER,
    Mark,
    MarkSettings,
    has_amx,
    judge,
)
from comparison.plan import FULL, QUICK, Plan
from comparison.post_sets import KINDS, cache_folder, posts_with_image, write_post_file
from comparison.report import markdown, print_report, to_json
from comparison.rows import RowFile, Run, read_run
from comparison.served_systems import HttpBaseline, TritonSystem
from comparison.server_process import SystemEndedError
from comparison.systems import System
from machine import describe_machine
from mqspn.files.replace import replace_text
from posts import LoadPost

__all__ = ["app"]

_REPORTS = Path(__file__).resolve().parent / "reports" / "compare"
_MODULES = {FASTAPI: "baselines.fastapi_server", LITSERVE: "baselines.litserve_server"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def measure(
    plan: Plan,
    output: Path,
    *,
    against: str | None,
    repository: Path | None,
    cache: Path,
    deadline: float,
) -> tuple[Run, AnswerCheck | None, bool]:
    """Measure what ``plan`` says: the run, the check of its answers, and whether Ctrl-C ended it.

    Raises CheckoutError or SystemEndedError where a system cannot be started.
    """
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqspn-compare-")))
        other = other_checkout(against, work) if against is not None else None
        header = {
            "machine": describe_machine(),
            "against": other.name if other is not None else None,
            **plan.to_json(),
        }
        file = RowFile(output / "rows.jsonl", header)
        stack.callback(file.close)
        check = None
        try:
            _say(f"{plan.posts} posts, drawn or read from {cache}")
            posts = posts_with_image(plan.posts, plan.seed, cache)
            check = _reference(posts, work)
            systems = _Systems(posts, work, repository=repository, other=other)
            Experiment(plan, file, check, systems.make, deadline=deadline, say=_say).run()
        except KeyboardInterrupt:
            return file.run, check, True
        except SystemEndedError:
            for log in work.glob("*.log"):
                shutil.copy(log, output)
            raise
        return file.run, check, False


class _Systems:
    """Makes the systems of one run."""

    def __init__(
        self, posts: list[LoadPost], work: Path, *, repository: Path | None, other: Checkout | None
    ) -> None:
        self._posts = {
            "images": posts,
            "text": [LoadPost(post.id, post.text, None) for post in posts],
        }
        self._file = work / "posts.jsonl"
        self._work = work
        self._repository = repository
        self._other = other

    def make(self, name: str, setting: Mapping[str, int]) -> System:
        if name in _MODULES:
            return HttpBaseline(_MODULES[name], self._posts, self._work, name=name, setting=setting)
        if name == CHAIN:
            return Chain(self._file, self._work, network="onnx", name=name, setting=setting)
        checkout = this_checkout() if name == SERVER else self._other
        assert checkout is not None
        repository = self._repository if name == SERVER else None
        return TritonSystem(checkout, self._posts, self._work, name=name, repository=repository)


def _reference(posts: list[LoadPost], work: Path) -> AnswerCheck:
    """Answer every post in PyTorch without a server."""
    write_post_file(posts, work / "posts.jsonl")
    _say("reference answers, in PyTorch")
    setting = {"threads": 1}
    with Chain(work / "posts.jsonl", work, network="eager", name="reference", setting=setting) as c:
        assert isinstance(c, Chain)
        check = AnswerCheck({kind: c.answers(kind, batch=8) for kind in KINDS})
    if not check.entities("images"):
        raise SystemEndedError("the reference found no entity in any post: nothing can be checked")
    return check


def report(run: Run, marks: list[Mark], failures: list[str], output: Path) -> None:
    """Print the tables, and write Markdown, JSON and the plot to ``output``."""
    print_report(run, marks, failures)
    output.mkdir(parents=True, exist_ok=True)
    replace_text(output / "compare.md", markdown(run, marks, failures))
    replace_text(
        output / "compare.json", json.dumps(to_json(run, marks, failures), indent=2) + "\n"
    )
    if run.rows:
        from comparison.plot import draw_run

        draw_run(run, output / "compare.png")
    typer.echo(f"reports: compare.md, compare.json, compare.png and rows.jsonl in {output}")


@app.command()
def compare(
    against: Annotated[
        str | None, typer.Option(help="A commit whose server is measured too, with its own code.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two minutes: fewer rounds, posts and baselines.")
    ] = False,
    repository: Annotated[
        Path | None,
        typer.Option(help="Serve this model repository instead of the committed one.", exists=True),
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds. Default: 7; quick: 3.")] = None,
    posts: Annotated[
        int | None, typer.Option(min=16, help="Distinct posts. Default: 500; quick: 100.")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help=f"Of {FASTAPI}, {LITSERVE}, {CHAIN}, only these. Default: all."),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Threads that baselines are tried with. Default: 1 and 2."),
    ] = None,
    calls: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Calls at once, or posts in a batch, to try. Default: 1, 2, 4, 8, 16."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.5, help="What the run is fitted into. Default: 20.")
    ] = None,
    images_mark: Annotated[
        float, typer.Option(help="Least ratio to --against, posts with images.")
    ] = MarkSettings.images,
    text_mark: Annotated[
        float, typer.Option(help="Least ratio to --against, text-only posts.")
    ] = MarkSettings.text,
    fastapi_mark: Annotated[
        float, typer.Option(help="Least ratio to FastAPI, posts with images.")
    ] = MarkSettings.fastapi,
    litserve_mark: Annotated[
        float, typer.Option(help="Least ratio to LitServe, posts with images.")
    ] = MarkSettings.litserve,
    chain_mark: Annotated[
        float, typer.Option(help="Least ratio to the bare chain at the same batch.")
    ] = MarkSettings.chain,
    all_marks: Annotated[
        bool,
        typer.Option("--all-marks", help="Judge the baselines' marks on a CPU without AMX too."),
    ] = False,
    rows: Annotated[
        Path | None,
        typer.Option(help="Measure nothing: report on this rows.jsonl of an earlier run."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where drawn posts are kept. Default: ~/.cache/mqspn.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for rows and reports.")] = _REPORTS,
) -> None:
    """Time all systems in turns; judge the marks."""
    deadline = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = MarkSettings(
        images=images_mark,
        text=text_mark,
        fastapi=fastapi_mark,
        litserve=litserve_mark,
        chain=chain_mark,
        judge_baselines=all_marks or has_amx(),
    )
    plan = QUICK if quick else FULL
    chosen = plan.systems if system is None else system
    unknown = sorted(set(chosen) - set(FULL.systems))
    if unknown:
        _fail(f"there is no system {unknown[0]!r}: {FASTAPI}, {LITSERVE} or {CHAIN}", 2)
    baselines = [name for name in (FASTAPI, LITSERVE, CHAIN) if name in chosen]
    plan = replace(
        plan,
        systems=(SERVER, *([AGAINST] if against is not None else []), *baselines),
        rounds=rounds or plan.rounds,
        posts=posts or plan.posts,
        threads=tuple(threads or plan.threads),
        calls=tuple(calls or plan.calls),
        time_limit_s=60 * minutes if minutes else plan.time_limit_s,
    )
    interrupted, failures = False, []
    try:
        if rows is not None:
            run = read_run(rows)
            failures = _failures_of_rows(run)
        else:
            if against is not None:
                commit_name(against)  # before anything is drawn or installed
            _check_installed(plan.systems)
            run, check, interrupted = measure(
                plan,
                output,
                against=against,
                repository=repository,
                cache=cache or cache_folder(),
                deadline=deadline + plan.time_limit_s,
            )
            failures = _failures(check)
    except UnknownCommitError as error:
        _fail(f"--against: {error}", 2)
    except (CheckoutError, SystemEndedError, OSError, ValueError) as error:
        _fail(str(error), 1)
    marks = [] if interrupted else judge(run, settings)
    report(run, marks, failures, output)
    if interrupted:
        typer.echo("interrupted: no mark is judged; the figures are of what there is", err=True)
        raise typer.Exit(130)
    if not settings.judge_baselines:
        typer.echo(
            "The marks against FastAPI and LitServe are meant for BF16 on AMX, which this "
            "processor has not: they are told and not judged (--all-marks judges them)."
        )
    if failures or any(mark.broken for mark in marks):
        raise typer.Exit(1)


def _failures(check: AnswerCheck | None) -> list[str]:
    if check is None or not (check.failed or check.wrong):
        return []
    return [
        f"{check.failed} calls failed and {check.wrong} of {check.checked} answers were wrong: "
        + "; ".join(check.examples[:5])
    ]


def _failures_of_rows(run: Run) -> list[str]:
    failed, wrong = (sum(getattr(row, what) for row in run.rows) for what in ("failed", "wrong"))
    told = f"{failed} calls failed and {wrong} answers were wrong in the rounds"
    return [told] if failed or wrong else []


def _check_installed(systems: Sequence[str]) -> None:
    """Raise CheckoutError for a package that would be missed only after minutes."""
    wanted = ("matplotlib", *(name for name in (FASTAPI, LITSERVE) if name in systems))
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise CheckoutError(
            f"{', '.join(missing)} cannot be imported: pip install -e '.[server,build,bench]'"
        )


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    typer.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"compare: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
