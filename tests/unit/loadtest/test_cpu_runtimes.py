"""What runs a graph on a CPU: times in turns, distances from FP32, and the verdict over a post."""

import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from bench.cpu_comparison import (
    Holding,
    Row,
    compare_graph,
    compared_boxes,
    sum_over_post,
    verdicts,
)
from bench.cpu_engines import REFERENCE, RUNTIMES, RuntimeMissingError
from cpu_runtimes import app, prepare_graphs
from mqspn_backend.tensors import ENGINES
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

FP32, DYNAMIC, STATIC = RUNTIMES[:3]
BF16 = RUNTIMES[4].name


class Answers:
    """A runner that proposes boxes of these scores whatever it is asked."""

    def __init__(self, scores):
        self.scores = np.array(scores, np.float32)

    def run(self, feeds, outputs=None):
        boxes = np.zeros((*self.scores.shape, 4), np.float32)
        return {"REGION_BOXES": boxes, "REGION_SCORES": self.scores}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """TEXT_STATES as the product of embedded tokens with a matrix: a text encoder of one layer."""
    random = np.random.default_rng(0)
    weights = {
        "table": random.normal(size=(50, 32)).astype(np.float32),
        "matrix": random.normal(size=(32, 32)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "INPUT_IDS"], ["embedded"], "gather"),
        helper.make_node("MatMul", ["embedded", "matrix"], ["TEXT_STATES"], "product"),
    ]
    made = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info("INPUT_IDS", TensorProto.INT32, ["B", "L"])],
        [helper.make_tensor_value_info("TEXT_STATES", TensorProto.FLOAT, ["B", "L", 32])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("graph") / "text_encoder.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def tokens():
    return {"INPUT_IDS": np.arange(24, dtype=np.int32).reshape(2, 12)}


def rows(times, threads=2, batch=1):
    """Rows of a runtime's four graphs, by name of the runtime."""
    return [
        Row(model=model, runtime=name, threads=threads, batch=batch, post_ms=ms, ratio=1.0)
        for name, posts_ms in times.items()
        for model, ms in zip(ENGINES, posts_ms, strict=True)
    ]


def test_int8_is_timed_in_turns_and_is_near_but_not_fp32(graph, tokens, tmp_path):
    three = (FP32, DYNAMIC, STATIC)
    files = prepare_graphs("text_encoder", graph, tmp_path, [tokens], three)
    assert files[FP32.name] == graph
    kinds = {node.op_type for node in onnx.load(str(files[DYNAMIC.name])).graph.node}
    assert "MatMulInteger" in kinds
    assert "MatMul" not in kinds
    found, holdings = compare_graph(
        "text_encoder",
        files,
        three,
        threads=1,
        timed={2: tokens},
        held=[tokens],
        rounds=3,
        seconds=0.0,
    )
    assert [(row.runtime, row.batch) for row in found] == [(r.name, 2) for r in three]
    assert all(row.post_ms is not None and row.post_ms > 0 for row in found)
    assert found[0].ratio == 1.0
    assert holdings.keys() == {DYNAMIC.name, STATIC.name}
    for held in holdings.values():
        assert 1e-4 < held.differences["TEXT_STATES"] < 0.2
        assert held.refusal is None


def test_a_runtime_that_is_not_here_is_a_row_with_its_reason(graph, tokens):
    def load(path, threads):
        raise RuntimeMissingError("OpenVINO is not here: pip install openvino")

    absent = replace(RUNTIMES[4], load=load)
    found, holdings = compare_graph(
        "text_encoder",
        {FP32.name: graph, absent.name: graph},
        (FP32, absent),
        threads=1,
        timed={2: tokens},
        held=[tokens],
        rounds=1,
        seconds=0.0,
    )
    assert found[0].missing is None
    assert "pip install openvino" in str(found[1].missing)
    assert holdings == {}


def test_a_graph_that_cannot_be_quantised_is_told_and_left_out(graph, tmp_path, capsys):
    def prepare(source, target, batches):
        raise ValueError("no such operator")

    broken = replace(DYNAMIC, prepare=prepare)
    files = prepare_graphs("text_encoder", graph, tmp_path, [], (FP32, broken))
    assert files == {FP32.name: graph}
    assert "no such operator" in capsys.readouterr().err


def test_without_openvino_its_package_is_named(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(RuntimeMissingError, match="pip install openvino"):
        RUNTIMES[3].load(graph, 1)


def test_boxes_are_compared_where_their_score_is_clear_of_the_last_one():
    """Scores 0.02 off: a box is clear by 0.04 of the last one; a post without image has none."""
    expected = Answers([[0.9, 0.7, 0.53, 0.5], [0.0, 0.0, 0.0, 0.0]])
    found = Answers([[0.9, 0.72, 0.53, 0.5], [0.0, 0.0, 0.0, 0.0]])
    assert compared_boxes(expected, found, [{}]) == (2, 4)


def test_below_half_of_the_boxes_nothing_holds():
    near = {"REGION_BOXES": 0.0, "REGION_SCORES": 0.01}
    assert Holding(differences=near, tolerance=0.2, boxes=(8, 16)).refusal is None
    refusal = Holding(differences=near, tolerance=0.2, boxes=(7, 16)).refusal
    assert refusal is not None
    assert "only 7 of 16" in refusal
    far = Holding(differences={"REGION_BOXES": 0.0, "REGION_SCORES": 0.3}, tolerance=0.2)
    assert far.refusal is not None
    assert "REGION_SCORES" in far.refusal


def test_a_runtime_stays_that_makes_the_sum_of_a_post_fast_enough():
    """160 ms against 100 and 110: 1.6 and 1.45 times. One post and the most threads decide."""
    found = rows({REFERENCE.name: [10, 70, 70, 10], "a": [5, 40, 50, 5], "b": [5, 50, 50, 5]})
    found += rows({REFERENCE.name: [10, 10, 10, 10], "a": [50] * 4, "b": [50] * 4}, threads=1)
    assert sum_over_post(found, "a", threads=2, batch=1) == 100
    judged = verdicts(found, {}, 1.5)
    assert judged["a"] == {"ratio": 1.6, "stays": True, "against": []}
    assert not judged["b"]["stays"]
    assert "1.45 times" in judged["b"]["against"][0]
    off = {("text_encoder", "a"): Holding(differences={"TEXT_STATES": 0.3}, tolerance=0.2)}
    assert "TEXT_STATES" in verdicts(found, off, 1.5)["a"]["against"][0]


def test_a_reason_that_all_graphs_share_is_told_once():
    found = rows({REFERENCE.name: [10] * 4, BF16: [None] * 4})
    for row in found[-4:]:
        row.missing = "no bf16 here"
    assert verdicts(found, {}, 1.5)[BF16]["against"] == ["no bf16 here"]


def test_a_runtime_that_lacks_a_graph_does_not_stay():
    found = rows({REFERENCE.name: [10] * 4, BF16: [1, 1, 1, None]})
    found[-1].missing = "an exception"
    judged = verdicts(found, {}, 1.5)[BF16]
    assert judged == {"ratio": None, "stays": False, "against": ["query_decoder: an exception"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--threads", "2,x"], "not '2,x'"), (["--batches", "0"], "not '0'")],
)
def test_wrong_usage(arguments, told):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert told in result.output


def test_a_folder_that_is_no_repository_is_named(tmp_path):
    result = CliRunner().invoke(app, ["--repository", str(tmp_path)])
    assert result.exit_code == 2
    assert "mqspn build" in result.output
