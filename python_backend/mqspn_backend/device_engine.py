"""Run one ONNX graph on the device that holds its tensors: no copy to the host in between.

Tensors are ONNX Runtime's `OrtValue`, taken over from and handed on to others by DLPack without a
copy. Inputs are bound where they are, whether on the host or the device; outputs are made on the
device.

Order of work. A tensor that is handed to us, by Triton or by `gather`, is complete: no work on it
is pending on any stream. `run` keeps that promise for its outputs: it returns after the device has
done everything that this process has asked of it. So nobody needs anybody else's stream.

`gather` and `scatter` copy on the device, once, row blocks of every request of a batch: for 16
posts of 64 tokens and D = 768, 3 MB of text states. A request that is alone and whole is not
copied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from mqspn_backend.device_memory import CudaMemory, HostMemory, Memory, allocate
from mqspn_backend.engine import is_open, missing_inputs, session_options
from mqspn_backend.providers import Provider, open_session
from mqspn_backend.selection import Rows

__all__ = ["DeviceEngine", "from_dlpack", "to_dlpack"]


#: ONNX's number of float32.
_FLOAT = 1


class DeviceEngine:
    """Runs the ONNX graph ``path`` on the device of ``provider``.

    ``threads``: threads in an operator that runs on the host. ``host_outputs``: the outputs that
    are wanted on the host. Raises FileNotFoundError or ValueError naming the file, ProviderError
    where ``provider`` does not run here.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int,
        provider: Provider,
        host_outputs: Collection[str] = (),
    ) -> None:
        path = Path(path)
        self._session = open_session(path, session_options(path, threads), provider)
        self._host = HostMemory()
        self._memory: Memory = (
            self._host if provider.name == "cpu" else CudaMemory(provider.device_id)
        )
        self._host_outputs = frozenset(host_outputs)
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())
        #: Rows that the graph has run on since it was loaded.
        self.rows_run = 0

    def run(
        self, feeds: Mapping[str, ort.OrtValue], outputs: Sequence[str] | None = None
    ) -> dict[str, ort.OrtValue]:
        """Run the graph on ``feeds`` by input name; returns ``outputs`` (default: all) by name.

        Feeds that the graph does not have are left out. Raises ValueError for one it lacks.
        """
        missing_inputs(self.inputs, feeds)
        names = list(self.outputs if outputs is None else outputs)
        binding = self._session.io_binding()
        for name in self.inputs:
            binding.bind_ortvalue_input(name, feeds[name])
        for name in names:
            memory = self._host if name in self._host_outputs else self._memory
            binding.bind_output(name, memory.device, memory.device_id)
        # What lies on the host is copied while it is bound.
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        self._memory.synchronize()
        self.rows_run += self.shape(feeds[self.inputs[0]])[0]
        return dict(zip(names, binding.get_outputs(), strict=True))

    def shape(self, value: ort.OrtValue) -> tuple[int, ...]:
        """Read the shape of one input or output, B first."""
        return tuple(value.shape())

    def is_open(self, name: str, axis: int) -> bool:
        """Whether the graph takes any size of that axis of input ``name``."""
        return is_open(self._session, name, axis)

    def array(self, value: ort.OrtValue) -> NDArray[Any]:
        """Read an input's numbers; what lies on the device is copied to the host."""
        return np.asarray(value.numpy())

    def zeros(self, shape: Sequence[int]) -> ort.OrtValue:
        """Make an output of zeros, float32 as every engine's; it lies on the host."""
        zeros = np.zeros(shape, np.float32)
        # ONNX Runtime's own memory: a capsule would not keep an array's.
        made = allocate(self._host, shape, _FLOAT)
        self._host.copy(made.data_ptr(), zeros.ctypes.data, zeros.nbytes)
        return made

    def gather(
        self, values: Sequence[ort.OrtValue], rows: Rows, regions: int | None = None
    ) -> ort.OrtValue:
        """Put ``rows`` of ``values`` one after another, on the device.

        As `mqspn_backend.selection.gather`. All have the shape (b, ...) and the element type of
        the first, but for b.
        """
        first, shape = values[0], values[0].shape()
        cut = regions is not None and regions < shape[1]
        if len(values) == 1 and len(rows[0]) == shape[0] and not cut:
            return first
        row_bytes = first.tensor_size_in_bytes() // shape[0]
        kept_bytes = row_bytes
        if cut:
            kept_bytes, shape = row_bytes // shape[1] * regions, [shape[0], regions, *shape[2:]]
        joint = allocate(self._memory, [sum(map(len, rows)), *shape[1:]], first.element_type())
        target = joint.data_ptr()
        for value, chosen in zip(values, rows, strict=True):
            for start, count in _blocks(chosen, whole=not cut):
                source = value.data_ptr() + start * row_bytes
                self._memory.copy(target, source, count * kept_bytes)
                target += count * kept_bytes
        self._memory.synchronize()
        return joint

    def scatter(
        self, value: ort.OrtValue, rows: Rows, shapes: Sequence[tuple[int, ...]]
    ) -> list[ort.OrtValue]:
        """Undo `gather`, where ``value`` lies; as `mqspn_backend.selection.scatter`."""
        have = tuple(value.shape())
        if shapes == [have]:
            return [value]
        memory = self._host if value.device_name() == "cpu" else self._memory
        # A row is copied in pieces where an axis is shorter in it: those behind that axis.
        shorter = [axis for axis in range(1, len(have)) if have[axis] != shapes[0][axis]]
        axis = max(shorter, default=1)
        item = value.tensor_size_in_bytes() // prod(have)
        piece = item * prod(have[axis:])
        source, parts = value.data_ptr(), []
        for chosen, shape in zip(rows, shapes, strict=True):
            part = allocate(memory, shape, value.element_type())
            if len(chosen) < shape[0] or shorter:
                zeros = np.zeros(item * prod(shape), np.uint8)
                memory.copy(part.data_ptr(), zeros.ctypes.data, zeros.nbytes)
            for start, count in _blocks(chosen, whole=not shorter):
                for place in np.ndindex(have[1:axis]):
                    index = int(np.ravel_multi_index((start, *place), shape[:axis]))
                    target = part.data_ptr() + index * item * prod(shape[axis:])
                    memory.copy(target, source, count * piece)
                    source += count * piece
            parts.append(part)
        memory.synchronize()
        return parts


def _blocks(rows: NDArray[np.intp], *, whole: bool) -> list[tuple[int, int]]:
    """(first row, count) of what can be copied at once: neighbours, where rows are ``whole``."""
    if not len(rows):
        return []
    if not whole:
        return [(int(row), 1) for row in rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return [(int(run[0]), len(run)) for run in runs]


def from_dlpack(capsule: Any) -> ort.OrtValue:
    """Read the tensor in a DLPack capsule, shared and not copied; it must be contiguous."""
    if hasattr(ort.OrtValue, "from_dlpack"):
        return ort.OrtValue.from_dlpack(capsule)
    # Until 1.25 the protocol is on the inner object only.
    return ort.OrtValue(ort.capi._pybind_state.OrtValue.from_dlpack(capsule))


def to_dlpack(value: ort.OrtValue) -> Any:
    """Wrap ``value`` in a DLPack capsule that shares its memory and keeps it."""
    return (value if hasattr(value, "__dlpack__") else value._ortvalue).__dlpack__()
