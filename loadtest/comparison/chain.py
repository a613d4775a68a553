"""The system without a server: a process that answers batch after batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from comparison.callers import Load
from comparison.checkout import baseline_environment
from comparison.server_process import SystemEndedError, child_environment
from comparison.systems import System

__all__ = ["Chain"]


class Chain(System):
    """A process of `baselines.offline`, which nobody calls: batches one after the other."""

    def __init__(
        self, post_file: Path, work: Path, *, network: str, name: str, setting: Mapping[str, int]
    ) -> None:
        self.name = name
        self.setting = dict(setting)
        self._log: IO[bytes] = (work / f"{name}.log").open("wb")
        self._command = [sys.executable, "-m", "baselines.offline", "--posts", str(post_file)]
        self._command += ["--network", network]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        # It ends with its standard input, so with us; it computes only when it is told to.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=child_environment(baseline_environment()),
            start_new_session=True,
        )

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.kill()
            process.wait()
            process.stdin.close()
        self._log.close()

    def hold_if_it_spins(self) -> float:
        return 0.0

    def answers(self, kind: str, *, batch: int) -> list[list[dict[str, Any]]]:
        """Answer every post of ``kind``."""
        found: list[list[dict[str, Any]]] = self._ask(
            {"do": "answers", "kind": kind, "batch": batch, **self.setting}
        )["answers"]
        return found

    def load(self, kind: str, *, level: int, first: int, seconds: float) -> Load:
        order = {"do": "time", "kind": kind, "batch": level, "first": first, "seconds": seconds}
        found = self._ask({**order, **self.setting})
        return Load(
            callers=0,
            seconds=found["seconds"],
            latencies_s=tuple(found["latencies_s"]),
            answers=tuple((place, entities) for place, entities in found["answers"]),
            failures=(),
            cpu_s=0.0,
            batch=level,
        )

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
            raise SystemEndedError(f"{self.name} ended: {said.strip()[-600:]}")
        reply: dict[str, Any] = json.loads(line)
        return reply
