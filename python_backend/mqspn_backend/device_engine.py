"""Run one ONNX graph on the device that holds its tensors: no copy to the host in between.

Tensors are ONNX Runtime's `OrtValue`, taken over from and handed on to others by DLPack without a
copy. Inputs are bound where they are, whether on the host or the device; outputs are made on the
device.

Order of work. A tensor that is handed to us, by Triton or by `join`, is complete: no work on it is
pending on any stream. `run` keeps that promise for its outputs: it returns after the device has
done everything that this process has asked of it. So nobody needs anybody else's stream.

`join` and `split` copy on the device, once, row blocks of every request of a batch: for 16 posts
of 64 tokens and D = 768, 3 MB of text states. A request that is alone is not copied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from mqspn_backend.device_memory import CudaMemory, HostMemory, Memory, allocate
from mqspn_backend.engine import missing_inputs, session_options
from mqspn_backend.providers import Provider, open_session

__all__ = ["DeviceEngine", "from_dlpack", "to_dlpack"]


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
        return dict(zip(names, binding.get_outputs(), strict=True))

    def shape(self, value: ort.OrtValue) -> tuple[int, ...]:
        """Read the shape of one input or output, B first."""
        return tuple(value.shape())

    def join(self, values: Sequence[ort.OrtValue]) -> ort.OrtValue:
        """Concatenate ``values`` along the first axis, on the device.

        All have the shape (b, ...) and the element type of the first, but for b.
        """
        rows = sum(value.shape()[0] for value in values)
        first = values[0]
        joint = allocate(self._memory, [rows, *first.shape()[1:]], first.element_type())
        target = joint.data_ptr()
        for value in values:
            size = value.tensor_size_in_bytes()
            self._memory.copy(target, value.data_ptr(), size)
            target += size
        self._memory.synchronize()
        return joint

    def split(self, value: ort.OrtValue, counts: Sequence[int]) -> list[ort.OrtValue]:
        """Split what `join` joined: ``counts`` rows each, where ``value`` lies."""
        memory = self._host if value.device_name() == "cpu" else self._memory
        shape = value.shape()
        row = value.tensor_size_in_bytes() // shape[0]
        source, parts = value.data_ptr(), []
        for count in counts:
            part = allocate(memory, [count, *shape[1:]], value.element_type())
            memory.copy(part.data_ptr(), source, count * row)
            source += count * row
            parts.append(part)
        memory.synchronize()
        return parts


def from_dlpack(capsule: Any) -> ort.OrtValue:
    """Read the tensor in a DLPack capsule, shared and not copied; it must be contiguous."""
    if hasattr(ort.OrtValue, "from_dlpack"):
        return ort.OrtValue.from_dlpack(capsule)
    # Until 1.25 the protocol is on the inner object only.
    return ort.OrtValue(ort.capi._pybind_state.OrtValue.from_dlpack(capsule))


def to_dlpack(value: ort.OrtValue) -> Any:
    """Wrap ``value`` in a DLPack capsule that shares its memory and keeps it."""
    return (value if hasattr(value, "__dlpack__") else value._ortvalue).__dlpack__()
