"""Measure how much of the processor the load generator itself takes."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["MOST_CORES", "GeneratorShare"]

#: Above this, of the one core that Python can use, the generator may be what is measured.
MOST_CORES = 0.8


class GeneratorShare:
    """The cores that this process used between `start` and `stop`."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._cores: float | None = None

    def stop(self) -> None:
        seconds = time.perf_counter() - self._wall
        self._cores = (time.process_time() - self._cpu) / seconds if seconds > 0 else 0.0

    @property
    def cores(self) -> float:
        if self._cores is None:
            self.stop()
        return self._cores or 0.0

    def to_dict(self) -> dict[str, Any]:
        return {"cores": round(self.cores, 3), "busy": self.cores > MOST_CORES}
