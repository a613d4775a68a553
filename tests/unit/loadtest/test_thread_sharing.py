"""The benchmark of ways to share work, on a small real graph."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from thread_sharing import app, time_in_turns
from typer.testing import CliRunner


def test_the_ratio_is_of_the_first_way_over_each() -> None:
    found = time_in_turns(
        {"slow": lambda: time.sleep(0.02), "fast": lambda: time.sleep(0.002)}, runs=3
    )
    assert found["slow"][2] == 1
    assert found["fast"][0] < found["slow"][0]
    assert found["fast"][2] > 2


def test_every_graph_has_a_row_for_each_way_and_batch(tmp_path: Path) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 4]) for name in ("A", "C")
    ]
    weights = helper.make_tensor("W", TensorProto.FLOAT, [4, 4], np.eye(4).ravel().tolist())
    node = helper.make_node("MatMul", ["A", "W"], ["C"])
    graph = helper.make_graph([node], "product", values[:1], values[1:], [weights])
    path = tmp_path / "text_encoder" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    result = CliRunner().invoke(app, ["--repository", str(tmp_path), "--runs", "3"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| text_encoder")]
    assert len(rows) == 2 * 4


@pytest.mark.parametrize("arguments", [["--threads", "1"], ["--repository", "nowhere"]])
def test_what_cannot_be_timed_is_said(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
