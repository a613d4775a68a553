"""What a BF16 graph holds in BF16 is rounded to it under ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from mqspn.engines.bf16_emulation import emulate_bf16
from mqspn_backend.engine import OnnxEngine
from onnx import TensorProto, helper


def write_graph(path: Path, kind: int) -> None:
    """y = float((kind(x) * kind(x)) + weight)."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["low"], to=kind),
            helper.make_node("Mul", ["low", "low"], ["square"]),
            helper.make_node("Add", ["square", "weight"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["y"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B"])],
        [helper.make_tensor("weight", kind, [1], [1.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    model.ir_version = 10
    onnx.save(model, str(path))


def test_every_result_is_rounded(tmp_path: Path) -> None:
    write_graph(tmp_path / "bf16.onnx", TensorProto.BFLOAT16)
    emulate_bf16(tmp_path / "bf16.onnx", tmp_path / "emulated.onnx")
    engine = OnnxEngine(tmp_path / "emulated.onnx", threads=1)
    x = np.array([1.0, 1.001, 1.02], np.float32)
    # 8 bits: 1.001 -> 1; 1.02 -> 1.0234375, squared 1.0474243 -> 1.046875, plus 1 -> 2.046875.
    assert engine.run({"x": x})["y"].tolist() == [2.0, 2.0, 2.046875]


def test_a_graph_without_bf16_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path / "fp32.onnx", TensorProto.FLOAT)
    with pytest.raises(ValueError, match=r"fp32\.onnx holds no BF16 tensor"):
        emulate_bf16(tmp_path / "fp32.onnx", tmp_path / "emulated.onnx")
