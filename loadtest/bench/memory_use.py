"""Measure the server's memory under load: of its processes, and of the GPU."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import psutil
import torch

__all__ = ["MemoryPeak"]

_EVERY_S = 0.1
_MIB = 2**20


class MemoryPeak:
    """The most memory used between `baseline`, before the server starts, and the last `sample`.

    In a ``with`` block it samples ten times a second. The server is every process below this one
    that was not there at the baseline. GPU memory is what the whole of the current device has in
    use above the baseline: nothing else may use it, this process included.
    """

    def __init__(self) -> None:
        self._before = {p.pid for p in psutil.Process().children(recursive=True)}
        self._gpu_before = _gpu_used()
        self._resident = self._gpu = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def sample(self) -> None:
        resident = 0
        for process in psutil.Process().children(recursive=True):
            if process.pid not in self._before:
                try:
                    resident += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
        self._resident = max(self._resident, resident)
        self._gpu = max(self._gpu, _gpu_used() - self._gpu_before)

    def figures(self) -> dict[str, Any]:
        """Report the peak in MiB; GPU figures are None without one.

        A page that processes share counts in each.
        """
        gpu = torch.cuda.is_available()
        return {
            "server_rss_mib": round(self._resident / _MIB, 1),
            "gpu_before_mib": round(self._gpu_before / _MIB, 1) if gpu else None,
            "gpu_server_mib": round(self._gpu / _MIB, 1) if gpu else None,
        }

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.sample()


def _gpu_used() -> int:
    """Bytes in use on the current device by everyone; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return int(total - free)
