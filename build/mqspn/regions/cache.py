"""Region states on disk: written a chunk at a time, so that a kill loses one chunk; then mapped.

A folder of `.npy` files, one an array, and `progress.json`, which says what they were made of and
how many posts are done. It is written after the rows it speaks of, in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mqspn.files.replace import named_in_errors, replace_text

__all__ = ["RegionCache", "weights_digest"]

_PROGRESS = "progress.json"


class RegionCache:
    """Arrays of N rows, one a post, that are filled from the first row on.

    ``arrays`` gives each one's shape, N first, and type. ``fingerprint`` is a digest of what the
    rows depend on: a folder of another one, or a damaged one, is begun again (and not refused, see
    `mqspn.files.fingerprint`: nothing is lost that cannot be computed). ``done`` rows are there.
    """

    def __init__(
        self, folder: Path, arrays: Mapping[str, tuple[tuple[int, ...], Any]], *, fingerprint: str
    ) -> None:
        self.folder = folder
        self.done = 0
        self._fingerprint = fingerprint
        self._names = list(arrays)
        folder.mkdir(parents=True, exist_ok=True)
        progress = folder / _PROGRESS
        done = _read_progress(progress, fingerprint)
        if done and all(self._is_whole(name, *arrays[name]) for name in arrays):
            self.done = done
            return
        progress.unlink(missing_ok=True)
        for name, (shape, dtype) in arrays.items():
            # Sparse, of full size from the start.
            np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                self._path(name), "w+", dtype=dtype, shape=shape
            )

    def append(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Write the next rows of every array, and then that they are there."""
        count = {len(values) for values in rows.values()}
        if set(rows) != set(self._names) or len(count) != 1:
            raise ValueError(f"rows must be of equal number for each of {self._names}")
        for name, values in rows.items():
            if not values.any():  # posts without image: the file holds zeros from the start
                continue
            mapped = np.load(self._path(name), mmap_mode="r")
            # Plain writes: a full disk is then an OSError, where through a map it would be fatal.
            path = self._path(name)
            with named_in_errors(path), path.open("r+b") as file:
                file.seek(mapped.offset + self.done * mapped.strides[0])
                file.write(np.ascontiguousarray(values, mapped.dtype).tobytes())
                file.flush()
                os.fsync(file.fileno())
        self.done += count.pop()
        progress = {"made_of": self._fingerprint, "done": self.done}
        replace_text(self.folder / _PROGRESS, json.dumps(progress))

    def load(self) -> dict[str, NDArray[Any]]:
        """The arrays, mapped: what is written to them does not reach the files."""
        return {name: np.asarray(np.load(self._path(name), mmap_mode="c")) for name in self._names}

    def _is_whole(self, name: str, shape: tuple[int, ...], dtype: Any) -> bool:
        try:
            array = np.load(self._path(name), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return bool(array.shape == shape and array.dtype == dtype)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def _read_progress(path: Path, fingerprint: str) -> int:
    """How many rows ``path`` says are there of ``fingerprint``; 0 where it says nothing of it."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return int(state["done"]) if state["made_of"] == fingerprint else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def weights_digest(*modules: nn.Module) -> str:
    """SHA-256 of the modules' parameters and buffers, names included."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
