"""Run an engine only on rows that it has not seen; what it said of the others is kept in memory.

For engines whose answer to a row depends on that row's inputs and nothing else: those that see an
image and no text. A row is known by the SHA-256 of its inputs and a secret of this
process, so no caller can make up a row that is taken for another. Only answers are kept, never
errors, and always with every output.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mqspn_backend.engine import OnnxEngine, missing_inputs

__all__ = ["CachingEngine"]

Array = npt.NDArray[Any]

#: What Python needs for one row beside its outputs: digest, tuple, arrays, place in the dictionary.
_ROW_BYTES = 800


class CachingEngine(OnnxEngine):
    """Runs the ONNX graph ``path`` on rows that are new, keeping ``max_bytes`` of results at most.

    The row that was asked for longest ago goes first. ``report`` is told of every run how many of
    its rows were known and how many were not. ``threads`` and errors as in `OnnxEngine`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int,
        max_bytes: int,
        report: Callable[[int, int], None] = lambda known, new: None,
    ) -> None:
        super().__init__(path, threads=threads)
        self._max_bytes = max_bytes
        self._report = report
        self._secret = os.urandom(32)
        self._rows: OrderedDict[bytes, tuple[Array, ...]] = OrderedDict()
        self._bytes = 0

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Answer as the engine does: ``outputs`` (default: all) by name."""
        missing_inputs(self.inputs, feeds)
        keys = self._keys(feeds)
        answers = {key: self._rows[key] for key in keys if key in self._rows}
        for key in answers:
            self._rows.move_to_end(key)
        new: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            if key not in answers:
                new.setdefault(key, i)
        if new:
            rows = list(new.values())
            fed = feeds if len(rows) == len(keys) else {n: feeds[n][rows] for n in self.inputs}
            results = super().run(fed, self.outputs)
            for j, key in enumerate(new):
                answers[key] = tuple(results[name][j].copy() for name in self.outputs)
                self._keep(key, answers[key])
        self._report(len(keys) - len(new), len(new))
        wanted = self.outputs if outputs is None else outputs
        place = {name: self.outputs.index(name) for name in wanted}
        return {name: np.stack([answers[key][place[name]] for key in keys]) for name in wanted}

    def _keys(self, feeds: Mapping[str, Array]) -> list[bytes]:
        """The digest of each row: every input's element type, shape and content."""
        arrays = [np.ascontiguousarray(feeds[name]) for name in self.inputs]
        keys = []
        for i in range(len(arrays[0])):
            digest = hashlib.sha256(self._secret)
            for array in arrays:
                digest.update(f"{array.dtype.str}{array.shape[1:]}".encode())
                digest.update(array[i].data if array[i].ndim else array[i].tobytes())
            keys.append(digest.digest())
        return keys

    def _keep(self, key: bytes, answer: tuple[Array, ...]) -> None:
        self._rows[key] = answer
        self._bytes += _size(answer)
        while self._bytes > self._max_bytes:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(answer: tuple[Array, ...]) -> int:
    return _ROW_BYTES + sum(array.nbytes for array in answer)
