"""Run one ONNX graph with ONNX Runtime on the CPU, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from mqspn_backend.selection import Rows, gather, scatter

__all__ = ["OnnxEngine", "is_open", "missing_inputs", "session_options"]

Array = npt.NDArray[Any]


def session_options(path: Path, threads: int) -> ort.SessionOptions:
    """Make ONNX Runtime's options for graph ``path`` with ``threads`` threads in an operator.

    Threads wait without spinning: several engines share the machine's cores, and a spinning
    thread would take them from the engine that has work. Memory patterns are off because batch
    sizes and lengths vary from run to run.

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
    """Runs the ONNX graph ``path`` on the CPU, with ``threads`` threads in an operator.

    Raises FileNotFoundError or ValueError naming the file.
    """

    def __init__(self, path: str | Path, *, threads: int) -> None:
        path = Path(path)
        options = session_options(path, threads)
        try:
            self._session = ort.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's own exceptions have no common, public root
            raise ValueError(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        #: Rows that the graph has run on since it was loaded.
        self.rows_run = 0

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Run the graph on ``feeds`` by input name; returns ``outputs`` (default: all) by name.

        Feeds that the graph does not have are left out. Raises ValueError for one it lacks.
        """
        missing_inputs(self.inputs, feeds)
        names = list(self.outputs if outputs is None else outputs)
        fed = {name: np.ascontiguousarray(feeds[name]) for name in self.inputs}
        results = self._session.run(names, fed)
        self.rows_run += len(fed[self.inputs[0]])
        return dict(zip(names, results, strict=True))

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
