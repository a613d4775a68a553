"""A small real graph for the tests of the engines."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """SUM = A + B and TWICE = A + A, over (batch, length) float32."""
    a, b, total, twice = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length"])
        for name in ("A", "B", "SUM", "TWICE")
    )
    nodes = [
        helper.make_node("Add", ["A", "B"], ["SUM"]),
        helper.make_node("Add", ["A", "A"], ["TWICE"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "sums", [a, b], [total, twice]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path
