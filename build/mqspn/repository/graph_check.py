"""The one check of a graph against its model's specification: names, types and axes.

`mqspn build` checks the ONNX file; the compiler checks what TensorRT made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mqspn_backend.tensors import MODELS, tensor

from mqspn.repository.errors import GraphMismatchError
from mqspn.repository.model_configuration import Shapes

__all__ = ["check_graph", "find_mismatches"]

#: What ONNX (`onnx.TensorProto.DataType`) and TensorRT (`DataType`) both call the types.
_GRAPH_TYPES = {"INT32": "INT32", "FP32": "FLOAT", "UINT8": "UINT8"}


def check_graph(path: Path, model: str, shapes: Shapes) -> None:
    """Compare the graph at ``path`` with the specification of ``model``.

    Raises GraphMismatchError for a missing or unknown tensor, another type, another number of
    axes, a fixed B or L, another fixed size, or weights kept outside the file.
    """
    import onnx  # not where serving is all that is installed

    graph = onnx.load(str(path), load_external_data=False).graph
    # Old exporters list weights among the inputs; those are not fed by anyone.
    weights = {w.name for w in graph.initializer}
    inputs = {v.name: v.type.tensor_type for v in graph.input if v.name not in weights}
    outputs = {v.name: v.type.tensor_type for v in graph.output}
    type_name = onnx.TensorProto.DataType.Name
    wrong = find_mismatches(
        model,
        {name: type_name(kind.elem_type) for name, kind in inputs.items()},
        {name: type_name(kind.elem_type) for name, kind in outputs.items()},
    )
    for name, kind in {**inputs, **outputs}.items():
        if name in (*MODELS[model].inputs, *MODELS[model].outputs):
            wrong += _axes(kind, name, shapes)
    if any(w.data_location == onnx.TensorProto.EXTERNAL for w in graph.initializer):
        wrong.append("weights are in a second file; export them inside the graph")
    if wrong:
        raise GraphMismatchError(f"{path}: not the graph of {model}: {'; '.join(wrong)}")


def find_mismatches(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    """Every difference of a graph's tensors from those of ``model``, one phrase each.

    ``inputs`` and ``outputs``: the name of each tensor's type, in ONNX's words, by tensor name.
    """
    spec = MODELS[model]
    wrong = []
    for kind, found, names in (("input", inputs, spec.inputs), ("output", outputs, spec.outputs)):
        wrong += [f"{kind} {name} is missing" for name in names if name not in found]
        wrong += [f"{kind} {name} is unknown" for name in found if name not in names]
        wrong += [
            f"{name} is {found[name]}, expected {tensor(name).dtype}"
            for name in names
            if name in found and found[name] != _GRAPH_TYPES[tensor(name).dtype]
        ]
    return wrong


def _axes(kind: Any, name: str, shapes: Shapes) -> list[str]:
    # 0 stands for an axis whose size the graph leaves open.
    found_dims = [d.dim_value for d in kind.shape.dim]
    expected = [-1, *shapes.dims(name)]
    if len(found_dims) != len(expected):
        return [f"{name} has {len(found_dims)} axes, expected {len(expected)}"]
    wrong = []
    for axis, size, want in zip(tensor(name).axes, found_dims, expected, strict=True):
        if want == -1 and size:
            wrong.append(f"axis {axis} of {name} is fixed at {size}, must stay open")
        elif want != -1 and size not in (0, want):
            wrong.append(f"axis {axis} of {name} is {size}, expected {want}")
    return wrong
