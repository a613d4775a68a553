"""A BF16 graph for ONNX Runtime on a CPU, which has no BF16 arithmetic.

Every tensor that the graph holds in BF16 becomes FP32 and is rounded to BF16 where it is made. That
is what a GPU's matrix units do: they multiply BF16, add in FP32 and round the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mqspn.engines.choices import Precision
from mqspn.engines.errors import PrecisionError

__all__ = ["emulate_bf16", "runnable_graph"]


def runnable_graph(graph: Path, precision: Precision) -> Path:
    """Return what ONNX Runtime runs of a converted ``graph``: itself, or its BF16 emulation."""
    if precision != "bf16":
        return graph
    emulated = graph.with_suffix(".emulated.onnx")
    emulate_bf16(graph, emulated)
    return emulated


def emulate_bf16(source: Path, target: Path) -> None:
    """Write the BF16 graph ``source`` to ``target`` as FP32 with roundings.

    Raises PrecisionError for a graph without a BF16 tensor.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load(str(source)))
    graph = model.graph
    rounded = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16
    }
    weights = [w for w in graph.initializer if w.data_type == TensorProto.BFLOAT16]
    if not rounded and not weights:
        raise PrecisionError(f"{source} holds no BF16 tensor")
    for weight in weights:
        weight.CopyFrom(_widened(weight))
    nodes = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.t.data_type == TensorProto.BFLOAT16:
                attribute.t.CopyFrom(_widened(attribute.t))
            if attribute.name == "to" and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
        nodes.append(node)
        for i, name in enumerate(node.output):
            if name in rounded:
                node.output[i] = f"{name}.exact"
                nodes += _rounding(f"{name}.exact", name)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    for value in graph.output:
        if value.name in rounded:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, str(target))


def _rounding(exact: str, name: str) -> list[Any]:
    return [
        helper.make_node("Cast", [exact], [f"{name}.bf16"], f"{name}.round", to=16),
        helper.make_node("Cast", [f"{name}.bf16"], [name], f"{name}.widen", to=1),
    ]


def _widened(tensor: Any) -> Any:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
