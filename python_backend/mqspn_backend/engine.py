"""Run one ONNX graph with ONNX Runtime on the CPU, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from mqspn_backend.selection import Rows, gather, scatter

__all__ = ["OnnxEngine", "is_open", "missing_inputs", "session_options"]

Array = npt.NDArray[Any]

#: How long a thread spins for its next piece of work before it sleeps. Waking one takes about as
#: long; a small graph has hundreds of pieces.
_SPIN_MICROSECONDS = 50
#: ONNX Runtime before this release spins for milliseconds or not at all.
_BOUNDED_SPIN_SINCE = (1, 27)
#: Graphs up to this size are loaded twice, for one post and for many; larger ones would need the
#: memory, and gain little: their operators are large enough to be shared by threads.
_LOADED_TWICE_BYTES = 64 * 2**20


def session_options(path: Path, threads: int) -> ort.SessionOptions:
    """Make ONNX Runtime's options for graph ``path`` with ``threads`` threads in an operator.

    Threads spin for a moment between two operators and not at all between two runs: several engines
    share the machine's cores, and a spinning thread would take them from the engine that has work.
    Memory patterns are off because batch sizes and lengths vary from run to run.

    Raises FileNotFoundError or ValueError naming what is wrong.
    """
    if threads < 1:
        raise ValueError(f"an engine needs at least 1 thread, got {threads}")
    if not path.is_file():
        raise FileNotFoundError(
            f"no ONNX graph {path}; build the model repository from a checkpoint first"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    if threads > 1 and _version() >= _BOUNDED_SPIN_SINCE:
        spin = str(_SPIN_MICROSECONDS)
        options.add_session_config_entry("session.intra_op.spin_duration_us", spin)
        options.add_session_config_entry("session.force_spinning_stop", "1")
    else:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # An INT8 graph is computed as it is written: integer kernels for a CPU without VNNI saturate.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def missing_inputs(inputs: Sequence[str], feeds: Mapping[str, Any]) -> None:
    """Raise ValueError where ``feeds`` lacks one of ``inputs``."""
    missing = [name for name in inputs if name not in feeds]
    if missing:
        raise ValueError(f"the graph needs {', '.join(missing)}, got {', '.join(feeds)}")


def is_open(session: ort.InferenceSession, name: str, axis: int) -> bool:
    """Whether the graph of ``session`` takes any size of that axis of input ``name``.

    False for an input that it does not have.
    """
    shapes = {i.name: i.shape for i in session.get_inputs()}
    return name in shapes and not isinstance(shapes[name][axis], int)


class OnnxEngine:
    """Runs the ONNX graph ``path`` on the CPU, with ``threads`` threads.

    They share each operator of a batch smaller than their number. Of a larger one each computes as
    many rows of its own, which takes less: nobody waits at an operator's end. What is left over
    they share again. For that, graphs of up to 64 MiB are loaded twice; larger ones always share
    operators.

    Raises FileNotFoundError or ValueError naming the file.
    """

    def __init__(self, path: str | Path, *, threads: int) -> None:
        path = Path(path)
        self._session = _open(path, threads)
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        #: Rows that the graph has run on since it was loaded.
        self.rows_run = 0
        self._threads = threads
        self._row_session: ort.InferenceSession | None = None
        any_batch = all(self.is_open(name, 0) for name in self.inputs)
        if threads > 1 and any_batch and path.stat().st_size <= _LOADED_TWICE_BYTES:
            self._row_session = _open(path, 1)
            self._others = ThreadPoolExecutor(threads - 1, thread_name_prefix="rows")

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Run the graph on ``feeds`` by input name; returns ``outputs`` (default: all) by name.

        Feeds that the graph does not have are left out. Raises ValueError for one it lacks.
        """
        missing_inputs(self.inputs, feeds)
        names = list(self.outputs if outputs is None else outputs)
        fed = {name: np.ascontiguousarray(feeds[name]) for name in self.inputs}
        rows = len(fed[self.inputs[0]])
        if self._row_session is not None and rows >= self._threads:
            results = self._run_rows_apart(self._row_session, names, fed, rows)
        else:
            results = self._session.run(names, fed)
        self.rows_run += rows
        return dict(zip(names, results, strict=True))

    def _run_rows_apart(
        self, session: ort.InferenceSession, names: list[str], fed: dict[str, Array], rows: int
    ) -> list[Array]:
        """Run an equal share of ``rows`` in each thread, then the few that are left together."""
        share = rows // self._threads
        starts = [i * share for i in range(self._threads + 1)]
        waiting = [
            self._others.submit(session.run, names, _rows(fed, start, start + share))
            for start in starts[1:-1]
        ]
        parts = [session.run(names, _rows(fed, 0, share)), *(part.result() for part in waiting)]
        if starts[-1] < rows:
            parts.append(self._session.run(names, _rows(fed, starts[-1], rows)))
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def shape(self, value: Array) -> tuple[int, ...]:
        """Read the shape of one input or output, B first."""
        return value.shape

    def is_open(self, name: str, axis: int) -> bool:
        """Whether the graph takes any size of that axis of input ``name``."""
        return is_open(self._session, name, axis)

    def array(self, value: Array) -> Array:
        """Read an input's numbers."""
        return value

    def zeros(self, shape: Sequence[int]) -> Array:
        """Make an output of zeros, float32 as every engine's."""
        return np.zeros(shape, np.float32)

    def gather(self, values: Sequence[Array], rows: Rows, regions: int | None = None) -> Array:
        """Put ``rows`` of ``values`` one after another, see `mqspn_backend.selection`."""
        return gather(values, rows, regions)

    def scatter(self, value: Array, rows: Rows, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """Undo `gather`: the rest of ``shapes`` is zeros, see `mqspn_backend.selection`."""
        return scatter(value, rows, shapes)


def _rows(fed: Mapping[str, Array], start: int, end: int) -> dict[str, Array]:
    return {name: array[start:end] for name, array in fed.items()}


def _open(path: Path, threads: int) -> ort.InferenceSession:
    options = session_options(path, threads)
    try:
        return ort.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the library's own exceptions have no common, public root
        raise ValueError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error


def _version() -> tuple[int, ...]:
    return tuple(int(number) for number in ort.__version__.split(".")[:2])
