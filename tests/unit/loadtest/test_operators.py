"""Operators are counted by their shapes and timed in a graph that really runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from operators import Machine, Node, app, count_flops, measure_machine, profile_graph, table
from typer.testing import CliRunner


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One graph, "tiny": a convolution of uint8 pixels and a product, B left open."""
    weights = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "kernel"),
        numpy_helper.from_array(np.ones((8, 5), np.float32), "matrix"),
    ]
    nodes = [
        helper.make_node("Cast", ["PIXELS"], ["float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "kernel"], ["maps"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("MatMul", ["maps", "matrix"], ["OUT"], "product"),
    ]
    pixels = helper.make_tensor_value_info("PIXELS", TensorProto.UINT8, ["B", 3, 8, 8])
    out = helper.make_tensor_value_info("OUT", TensorProto.FLOAT, ["B", 8, 8, 5])
    graph = helper.make_graph(nodes, "tiny", [pixels], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "tiny" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model, str(path))
    return tmp_path


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "flops"),
    [
        ("Conv", [[2, 3, 8, 8], [4, 3, 3, 3]], [[2, 4, 8, 8]], 2 * 512 * 27),
        ("MatMul", [[7, 6, 5], [5, 4]], [[7, 6, 4]], 2 * 168 * 5),
        ("FusedMatMul", [[2, 5, 6], [5, 4]], [[2, 6, 4]], 2 * 48 * 5),  # the left one transposed
        ("Relu", [[3, 4]], [[3, 4]], 12),
    ],
)
def test_flops(operator: str, inputs: list, outputs: list, flops: float) -> None:
    assert count_flops(operator, inputs, outputs) == flops


def test_a_graphs_nodes_have_times_operations_and_bytes(repository: Path) -> None:
    path = repository / "tiny" / "1" / "model.onnx"
    nodes, whole = profile_graph(path, threads=1, runs=3, axes={"B": 2})
    found = {node.operator: node for node in nodes}
    assert found["Conv"].flops == 2 * (2 * 8 * 8 * 8) * 27
    assert found["MatMul"].flops == 2 * (2 * 8 * 8 * 5) * 8
    assert found["MatMul"].bytes == 4 * (2 * 8 * 8 * 8 + 8 * 5 + 2 * 8 * 8 * 5)
    assert found["Cast"].bytes == 5 * (2 * 3 * 8 * 8)
    assert all(node.ms > 0 for node in found.values())
    assert whole > 0


def test_the_floor_is_the_slower_of_operations_and_bytes() -> None:
    machine = Machine(flops=1e9, bytes=1e9)
    assert Node(operator="A", name="a", ms=4, flops=2e6, bytes=1e6).floor_ms(machine) == 2
    assert Node(operator="A", name="a", ms=4, flops=1e6, bytes=3e6).floor_ms(machine) == 3


def test_the_table_names_the_worst_node_and_sums() -> None:
    nodes = [
        Node(operator="A", name="good", ms=2, flops=2e6, bytes=0),
        Node(operator="A", name="bad", ms=3, flops=1e6, bytes=0),
        Node(operator="B", name="small", ms=1, flops=1e6, bytes=0),
    ]
    lines = table(nodes, Machine(flops=1e9, bytes=1e9), rows=1).splitlines()
    assert lines[2] == "| A | 2 | 5.000 | 3.000 | 1.7 | `bad` 3.000 of 1.000 |"
    assert lines[3].startswith("| the rest | 1 | 1.000 | 1.000 | 1.0 |")
    assert lines[4].startswith("| all | 3 | 6.000 | 4.000 | 1.5 |")


def test_the_machines_rates_are_plausible() -> None:
    machine = measure_machine(1, side=256, megabytes=8)
    assert 1e8 < machine.flops < 1e13
    assert 1e8 < machine.bytes < 1e13


def test_the_command(repository: Path) -> None:
    result = CliRunner().invoke(app, ["--repository", str(repository), "--runs", "3"])
    assert result.exit_code == 0, result.output
    assert "tiny: " in result.output
    assert "| Conv | 1 |" in result.output


def test_sizes_that_a_graph_does_not_take_are_one_line(repository: Path) -> None:
    path = repository / "tiny" / "1" / "model.onnx"
    model = onnx.load(str(path))
    # The graph says L tokens, and has positions for four.
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "L"
    positions = np.ones((4, 1, 1, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(positions, "positions"))
    model.graph.node[1].input[0] = "placed"
    model.graph.node.insert(1, helper.make_node("Add", ["float", "positions"], ["placed"]))
    onnx.save(model, str(path))
    arguments = ["--repository", str(repository), "--runs", "3", "--tokens"]
    assert CliRunner().invoke(app, [*arguments, "4"]).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "5"])
    assert done.exit_code == 1
    assert "tiny does not run with --batch 1 --tokens 5" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    runner, wide = CliRunner(), {"COLUMNS": "200"}
    empty = runner.invoke(app, ["--repository", str(tmp_path / "no")], env=wide)
    assert "make it with `mqspn build`" in empty.output
    other = runner.invoke(app, ["--repository", str(repository), "--graph", "big"], env=wide)
    assert "there is no graph 'big'; there are tiny" in other.output
