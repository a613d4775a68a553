"""An ONNX graph must have the names, types and axes that its model's specification says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mqspn_backend.tensors import MODELS, tensor

from mqspn.repository.errors import GraphMismatchError
from mqspn.repository.model_configuration import Shapes

__all__ = ["check_graph"]

#: Names of `onnx.TensorProto.DataType`.
_ONNX_TYPES = {"INT32": "INT32", "FP32": "FLOAT", "UINT8": "UINT8"}


def check_graph(path: Path, model: str, shapes: Shapes) -> None:
    """Compare the graph at ``path`` with the specification of ``model``.

    Raises GraphMismatchError for a missing or unknown tensor, another type, another number of
    axes, a fixed B or L, another fixed size, or weights kept outside the file.
    """
    import onnx  # not where serving is all that is installed

    graph = onnx.load(str(path), load_external_data=False).graph
    spec = MODELS[model]
    # Old exporters list weights among the inputs; those are not fed by anyone.
    weights = {w.name for w in graph.initializer}
    inputs = {v.name: v for v in graph.input if v.name not in weights}
    outputs = {v.name: v for v in graph.output}
    wrong = [
        *_names("input", set(inputs), spec.inputs),
        *_names("output", set(outputs), spec.outputs),
    ]
    for name, value in {**inputs, **outputs}.items():
        if name in (*spec.inputs, *spec.outputs):
            wrong += _tensor(value, name, shapes)
    if any(w.data_location == onnx.TensorProto.EXTERNAL for w in graph.initializer):
        wrong.append("weights are in a second file; export them inside the graph")
    if wrong:
        raise GraphMismatchError(f"{path}: not the graph of {model}: {'; '.join(wrong)}")


def _names(kind: str, found: set[str], expected: tuple[str, ...]) -> list[str]:
    missing = [f"{kind} {name} is missing" for name in expected if name not in found]
    return missing + [f"{kind} {name} is unknown" for name in sorted(found - set(expected))]


def _tensor(value: Any, name: str, shapes: Shapes) -> list[str]:
    from onnx import TensorProto

    wrong = []
    kind = value.type.tensor_type
    dtype = tensor(name).dtype
    found = TensorProto.DataType.Name(kind.elem_type)
    if found != _ONNX_TYPES[dtype]:
        wrong.append(f"{name} is {found}, expected {dtype}")
    # 0 stands for an axis whose size the graph leaves open.
    found_dims = [d.dim_value for d in kind.shape.dim]
    expected = [-1, *shapes.dims(name)]
    if len(found_dims) != len(expected):
        return [*wrong, f"{name} has {len(found_dims)} axes, expected {len(expected)}"]
    for axis, size, want in zip(tensor(name).axes, found_dims, expected, strict=True):
        if want == -1 and size:
            wrong.append(f"axis {axis} of {name} is fixed at {size}, must stay open")
        elif want != -1 and size not in (0, want):
            wrong.append(f"axis {axis} of {name} is {size}, expected {want}")
    return wrong
