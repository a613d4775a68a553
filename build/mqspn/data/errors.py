"""The error for a data set that cannot be read: it lists every fault with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mqspn.errors import BuildError

__all__ = ["DataError", "Problem"]

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One fault of a data set: its file, line (from 1; None: the whole file), what to mend."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        where = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.message}"


class DataError(BuildError):
    """Raised for a data set with faults.

    ``problems`` holds all of them; the message shows the first few.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = [str(problem) for problem in self.problems[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"... and {count - _SHOWN} more")
        if count > 1:
            lines.insert(0, f"{count} problems in the data:")
        super().__init__("\n".join(lines))
