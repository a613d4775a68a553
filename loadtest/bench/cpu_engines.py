"""What can run a graph on a CPU: ONNX Runtime in FP32 or INT8, OpenVINO in several precisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mqspn.engines.precision import Precision
from mqspn.engines.quantisation import Batch
from mqspn.parity import Runner
from mqspn_backend.engine import OnnxEngine
from numpy.typing import NDArray

__all__ = [
    "REFERENCE",
    "RUNTIMES",
    "CpuRuntime",
    "OpenVinoEngine",
    "PrecisionMissingError",
    "RuntimeMissingError",
    "quantise_dynamically",
    "quantise_statically",
]

Array = NDArray[Any]


#: OpenVINO's name for what a CPU must have, by the precision that is asked for.
_CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


class RuntimeMissingError(Exception):
    """A runtime's package is not installed; the message names it."""


class PrecisionMissingError(Exception):
    """This CPU does not compute in the precision that was asked for."""


class OpenVinoEngine:
    """Runs the ONNX graph ``path`` in OpenVINO on the CPU, as `OnnxEngine` does.

    ``hint``: the precision asked for, "f32", "bf16" or "f16". OpenVINO takes another one in silence
    where the CPU has not got it; here that raises PrecisionMissingError. ``layers`` counts the
    layers by the precision they really run in.
    """

    def __init__(self, path: Path, *, threads: int, hint: str) -> None:
        try:
            import openvino  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise RuntimeMissingError("OpenVINO is not here: pip install openvino") from error
        core = openvino.Core()
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITY[hint] not in able:
            raise PrecisionMissingError(f"no {hint} here: the CPU has {', '.join(able)}")
        compiled = core.compile_model(
            str(path),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != hint:
            raise PrecisionMissingError(f"no {hint} here: OpenVINO computes in {used}")
        # A port has the name that it has in ONNX, and others that OpenVINO found for it.
        self._inputs = [(port, port.get_names()) for port in compiled.inputs]
        self._outputs = {name: port for port in compiled.outputs for name in port.get_names()}
        self._request = compiled.create_infer_request()
        self.layers = _layers_by_precision(compiled.get_runtime_model())

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Run the graph on ``feeds`` by input name; returns ``outputs`` (default: all) by name."""
        fed = {
            port: np.ascontiguousarray(feeds[name])
            for port, names in self._inputs
            for name in names.intersection(feeds)
        }
        found = self._request.infer(fed, share_inputs=True)
        return {name: found[self._outputs[name]] for name in outputs or self._outputs}


def _layers_by_precision(model: Any) -> dict[str, int]:
    """Count the layers of a compiled graph by precision; what computes nothing is left out."""
    counts: dict[str, int] = {}
    for node in model.get_ordered_ops():
        facts = node.get_rt_info()
        kind, precision = (
            str(facts[key].astype(str)) if key in facts else ""
            for key in ("layerType", "runtimePrecision")
        )
        if precision and kind not in ("Const", "Input", "Output", "Reorder"):
            counts[precision] = counts.get(precision, 0) + 1
    return counts


def quantise_dynamically(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Write ``source`` with INT8 weights in its matrix products; the scales of states vary by call.

    Weights have 7 bits, one scale a column: without VNNI, sums of 8-bit products overflow.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(source),
        str(target),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )


def quantise_statically(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Write ``source`` with INT8 matrix products and convolutions, scales from ``batches``."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> Batch | None:
            return next(self._left, None)

    quantize_static(
        str(source),
        str(target),
        Reader(),
        # Not pairs of Q and DQ: `OnnxEngine` computes those as they are written.
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


@dataclass(frozen=True, kw_only=True)
class CpuRuntime:
    """A way to run a graph, by name. ``precision``: whose tolerance of the tensor gate it keeps.

    ``prepare`` writes its own graph from the FP32 one and sample batches; None runs that one.
    ``load``: from a graph and a number of threads. It raises RuntimeMissingError or
    PrecisionMissingError where this cannot be had here.
    """

    name: str
    precision: Precision
    load: Callable[[Path, int], Runner]
    prepare: Callable[[Path, Path, Sequence[Batch]], None] | None = None


def _onnx(path: Path, threads: int) -> Runner:
    return OnnxEngine(path, threads=threads)


def _openvino(hint: str) -> Callable[[Path, int], Runner]:
    return lambda path, threads: OpenVinoEngine(path, threads=threads, hint=hint)


REFERENCE = CpuRuntime(name="ONNX Runtime FP32", precision="fp32", load=_onnx)
RUNTIMES = (
    REFERENCE,
    CpuRuntime(
        name="ONNX Runtime INT8, dynamic",
        precision="int8",
        load=_onnx,
        prepare=quantise_dynamically,
    ),
    CpuRuntime(
        name="ONNX Runtime INT8, static",
        precision="int8",
        load=_onnx,
        prepare=quantise_statically,
    ),
    CpuRuntime(name="OpenVINO f32", precision="fp32", load=_openvino("f32")),
    CpuRuntime(name="OpenVINO bf16", precision="bf16", load=_openvino("bf16")),
    CpuRuntime(name="OpenVINO f16", precision="fp16", load=_openvino("f16")),
)
