"""Keep what was measured as it is measured: one line of JSON each, on disk before the next.

A run that is interrupted, or killed, leaves every row it had; `read_run` reads them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["RowFile", "Run", "TimedRow", "read_run"]


@dataclass(frozen=True, kw_only=True)
class TimedRow:
    """One measurement of a round.

    ``level``: callers at once, or posts in a batch for the bare chain. ``batch``: posts in a batch
    of the system, on average, where it tells. ``latencies_ms``: of each right answer. ``failed``
    calls and ``wrong`` answers are not among ``answers``. ``client_cpu_share``: of one core, of the
    process that calls.
    """

    round: int
    kind: str
    system: str
    level: int
    seconds: float
    answers: int
    latencies_ms: tuple[float, ...]
    failed: int
    wrong: int
    batch: float | None
    client_cpu_share: float

    @property
    def posts_per_second(self) -> float:
        return self.answers / self.seconds


@dataclass(kw_only=True)
class Run:
    """A run as its rows tell it.

    ``header``: machine, commits, plan. ``notes``: what the run chose and saw before the rounds,
    by name. ``rows``: the rounds.
    """

    header: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    rows: list[TimedRow] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Count the rounds of which there is anything."""
        return len({row.round for row in self.rows})


class RowFile:
    """A run that is written to ``path`` while it grows; ``run`` holds the same."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.run = Run(header=dict(header))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._write("header", self.run.header)

    def note(self, name: str, value: Any) -> None:
        """Keep something that was found before the rounds; a name said again replaces it."""
        self.run.notes[name] = value
        self._write("note", {"name": name, "value": value})

    def add(self, row: TimedRow) -> None:
        """Keep a measurement."""
        self.run.rows.append(row)
        self._write("timed", asdict(row))

    def close(self) -> None:
        self._file.close()

    def _write(self, what: str, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"row": what, **values}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_run(path: Path) -> Run:
    """Read a file of rows; a last line that was cut off by a kill is left out.

    Raises ValueError for another kind of file.
    """
    run = None
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
            what = values.pop("row")
            if what == "header":
                run = Run(header=values)
            elif run is None:
                raise ValueError("it does not begin with a header")
            elif what == "note":
                run.notes[values["name"]] = values["value"]
            else:
                values["latencies_ms"] = tuple(values["latencies_ms"])
                run.rows.append(TimedRow(**values))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines) and run is not None:
                break
            raise ValueError(f"{path}, line {number}, is no row of compare.py: {error}") from error
    if run is None:
        raise ValueError(f"{path} is empty; name the rows.jsonl of a run")
    return run
