"""The engine of a batch job: JSON lines in, JSON lines out, in order, whatever single rows hold.

Rows are read as they are needed and written as soon as all rows before them are; only a window of
them is in memory. Output goes to ``OUTPUT.part``, which takes the output's name when the job is
done, so that a file of that name is always whole; what a stopped job wrote can be taken up again.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from tqdm import tqdm

from mqspn_client.batch_rows import (
    InputRow,
    RowError,
    error_row,
    prediction_row,
    read_rows,
    row_line,
)
from mqspn_client.client import Client
from mqspn_client.errors import MqspnError, RequestError
from mqspn_client.types import Prediction

__all__ = ["BatchCounts", "BatchInputError", "BatchSettings", "BatchStoppedError", "run_batch"]

# Errors that are a row's own fault. All others are the server's: a run of them means that it is
# gone for good.
_ROW_FAULTS = (RowError, RequestError)
# Rows held back at most while it is not known whether the server is still there.
_HELD_MOST = 1000
# Time for the server to show itself before a job starts.
_GREETING_S = 3.0

Answer: TypeAlias = Prediction | MqspnError


@dataclass(frozen=True)
class _Call:
    """One row's answer, and when (monotonic seconds) it was asked for and had."""

    row: InputRow
    answer: Answer
    began: float
    ended: float

    @property
    def server_failed(self) -> bool:
        return isinstance(self.answer, MqspnError) and not isinstance(self.answer, _ROW_FAULTS)


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """How a job runs. ``concurrency``: rows with the server at once. ``give_up_after``: the job
    stops when the server fails so many rows in a row. ``image_root``: where relative image paths
    start; None is the input file's folder. ``resume``: go on with what a stopped job wrote.
    """

    concurrency: int = 8
    give_up_after: int = 20
    image_root: Path | None = None
    resume: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.give_up_after < 1:
            raise ValueError("batch: concurrency and give_up_after must be at least 1")

    @property
    def window(self) -> int:
        """Rows in memory at most: enough that one slow row does not stop the others."""
        return 4 * self.concurrency


@dataclass
class BatchCounts:
    """How many rows were answered, how many carry an error, how many an earlier run had done."""

    answered: int = 0
    failed: int = 0
    resumed: int = 0

    def __str__(self) -> str:
        resumed = f", {self.resumed} done before" if self.resumed else ""
        return f"{self.answered + self.failed} rows: {self.answered} answered, " + (
            f"{self.failed} with errors{resumed}"
        )


class BatchInputError(MqspnError):
    """The job cannot start: its files are not what it needs."""

    code = "BATCH_INPUT"


class BatchStoppedError(MqspnError):
    """The server is gone; the rows written so far are kept. ``counts`` says how many."""

    code = "BATCH_STOPPED"

    def __init__(self, message: str, counts: BatchCounts) -> None:
        super().__init__(message)
        self.counts = counts


def run_batch(client: Client, source: str, target: str, settings: BatchSettings) -> BatchCounts:
    """Answer every row of ``source`` into ``target``, file names or "-" for stdin and stdout.

    Every input row has its output row, in the input's order. Raises `BatchInputError` where
    the files are not what it needs, another `MqspnError` where no server is there at first, and
    `BatchStoppedError` where it goes away.
    """
    root = settings.image_root or (Path() if source == "-" else Path(source).parent)
    with _reader(source, target) as reader:
        client.metadata(timeout_s=_GREETING_S)  # before anything is overwritten
        with _writer(target, settings.resume) as writer:
            rows = read_rows(reader, root)
            done = _skip_written(rows, writer) if settings.resume else 0
            counts = BatchCounts(resumed=done)
            bar: tqdm[Any] = tqdm(
                total=_count_lines(Path(source)),
                initial=done,
                unit="row",
                disable=not settings.progress,
            )
            with bar:
                _answer_rows(client, rows, writer, settings, counts, bar)
    if target != "-":
        _part(target).replace(target)
    return counts


def _answer_rows(
    client: Client,
    rows: Iterator[InputRow],
    writer: BinaryIO,
    settings: BatchSettings,
    counts: BatchCounts,
    bar: tqdm[Any],
) -> None:
    """Keep a window of rows going; write them from its head.

    A row that the server failed is held back, and the rows behind it, until a call that began
    after the failure is answered: the server is still there, so the failure was the row's. If none
    is, the rows are not written, and a resumed job asks for them again.
    """
    window: deque[Future[_Call]] = deque()
    held: deque[_Call] = deque()
    failures = 0  # of the server, in a row
    alive = float("-inf")  # when the last answered call began

    def write(call: _Call) -> None:
        _write(call, writer, counts)
        bar.update()

    def emit() -> None:
        nonlocal failures, alive
        call = window.popleft().result()
        held.append(call)
        if call.server_failed:
            failures += 1
            if failures >= settings.give_up_after:
                raise BatchStoppedError(
                    f"stopped: the server failed {failures} rows in a row, at last: {call.answer}",
                    counts,
                )
        elif isinstance(call.answer, Prediction):
            failures = 0
            alive = max(alive, call.began)
        while held and (
            not held[0].server_failed or held[0].ended < alive or len(held) > _HELD_MOST
        ):
            write(held.popleft())
        writer.flush()

    pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="mqspn-batch")
    try:
        for row in rows:
            window.append(pool.submit(_ask, client, row))
            while window and (len(window) >= settings.window or window[0].done()):
                emit()
        while window:
            emit()
        for call in held:
            write(call)
        writer.flush()
    finally:
        pool.shutdown(cancel_futures=True)


def _ask(client: Client, row: InputRow) -> _Call:
    began = time.monotonic()
    answer = _answer(client, row)
    return _Call(row, answer, began, time.monotonic())


def _answer(client: Client, row: InputRow) -> Answer:
    if isinstance(row.post, MqspnError):
        return row.post
    try:
        return client.predict(row.post.text, row.post.image, regions=row.post.regions)
    except MqspnError as error:
        return error
    except Exception as error:  # a row must never stop the job, nor may a fault go unseen
        name = type(error).__name__
        return RowError(f"line {row.line}: the client failed on it: {name}: {error}")


def _write(call: _Call, writer: BinaryIO, counts: BatchCounts) -> None:
    if isinstance(call.answer, MqspnError):
        counts.failed += 1
        writer.write(row_line(error_row(call.row, call.answer)))
    else:
        counts.answered += 1
        writer.write(row_line(prediction_row(call.row, call.answer)))


@contextmanager
def _reader(source: str, target: str) -> Iterator[BinaryIO]:
    written = {Path(target).resolve(), _part(target).resolve()}
    if "-" not in (source, target) and Path(source).resolve() in written:
        raise BatchInputError("input and output are the same file")
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        reader = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise BatchInputError(f"cannot read input {source}: {error.strerror}") from error
    with reader:
        yield reader


@contextmanager
def _writer(target: str, resume: bool) -> Iterator[BinaryIO]:
    """The output's part file, which can be read too; or stdout."""
    if target == "-":
        yield sys.stdout.buffer
        return
    if Path(target).is_dir():
        raise BatchInputError(f"output {target} is a folder; give a file name")
    if Path(target).exists() and not Path(target).is_file():
        # The finished part file would take a device's place.
        raise BatchInputError(f"output {target} is no regular file; give a file name, or -")
    part = _part(target)
    try:
        writer = part.open("r+b" if resume and part.exists() else "w+b")
    except OSError as error:
        raise BatchInputError(f"cannot write {part}: {error.strerror}") from error
    with writer:
        yield writer


def _part(target: str) -> Path:
    return Path(f"{target}.part")


def _skip_written(rows: Iterator[InputRow], writer: BinaryIO) -> int:
    """Pass over the rows that ``writer`` has; leaves it at the end of its last whole line."""
    done, end = 0, 0
    for line in iter(writer.readline, b""):
        if not line.endswith(b"\n"):
            break
        try:
            written = json.loads(line)["id"]
        except (ValueError, KeyError, TypeError) as error:
            raise BatchInputError(f"line {done + 1} of the part file is no output row") from error
        row = next(islice(rows, 1), None)
        if row is None or row.id != written:
            raise BatchInputError(
                f"row {done + 1} of the part file has id {written!r}, the input "
                f"{'has ended' if row is None else f'has {row.id!r}'}: it belongs to another "
                "input; start again without resuming"
            )
        done, end = done + 1, end + len(line)
    writer.seek(end)
    writer.truncate()
    return done


def _count_lines(path: Path) -> int | None:
    """Rows of a file; None where counting would use the input up (stdin, a pipe)."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())
