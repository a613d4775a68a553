"""Exported graphs take the specified tensors and agree with PyTorch at shapes not traced."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.engines.kept_layers import KEPT, KeptLayers, find_nodes
from mqspn.export import ExportError, build_from_checkpoint, export_graphs
from mqspn.export.graphs import example_inputs, graph_modules
from mqspn.export.parity import check_parity
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.tensors import MODELS


@pytest.fixture(scope="module")
def graphs(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    parities = list(export_graphs(checkpoint, folder))
    assert [p.model for p in parities] == [
        "text_encoder",
        "region_proposer",
        "region_encoder",
        "query_decoder",
    ]
    assert max(p.largest for p in parities) < 1e-4
    return folder


def test_names_follow_the_specification(graphs: Path) -> None:
    for path in graphs.glob("*.onnx"):
        graph = onnx.load(path).graph
        assert [v.name for v in graph.input] == list(MODELS[path.stem].inputs)
        assert [v.name for v in graph.output] == list(MODELS[path.stem].outputs)


@pytest.mark.parametrize(
    "name", ["text_encoder", "region_proposer", "region_encoder", "query_decoder"]
)
def test_no_graph_computes_in_float64(graphs: Path, name: str) -> None:
    """ONNX Runtime 1.23 (Python 3.10) has no Cos for it, and TensorRT nothing at all."""
    model = onnx.shape_inference.infer_shapes(onnx.load(graphs / f"{name}.onnx"))
    double = onnx.TensorProto.DOUBLE
    values = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == double}
    assert not values | {t.name for t in model.graph.initializer if t.data_type == double}
    assert len(model.graph.value_info) > len(model.graph.node) // 2  # the types were inferred


@pytest.mark.parametrize("kept", KEPT, ids=lambda k: f"{k.graph}: {k.name}")
def test_what_stays_in_fp32_is_found(graphs: Path, kept: KeptLayers) -> None:
    assert find_nodes(onnx.load(graphs / f"{kept.graph}.onnx").graph, kept)


def test_crops_stay_in_fp32_with_both_their_matrices(graphs: Path, checkpoint: Checkpoint) -> None:
    graph = onnx.load(graphs / "region_encoder.onnx").graph
    crops = next(kept for kept in KEPT if kept.name == "crops")
    names = set(find_nodes(graph, crops))
    operators = Counter(node.op_type for node in graph.node if node.name in names)
    assert operators["MatMul"] == 2
    assert operators["Floor"] == 1  # the rows that W_y touches
    assert operators["Abs"] == checkpoint.settings.network.crop_supersampling  # triangles of W_x


@pytest.fixture(scope="module")
def cut_engines(graphs: Path) -> dict[str, OnnxEngine]:
    names = ("region_encoder", "query_decoder")
    return {name: OnnxEngine(graphs / f"{name}.onnx", threads=1) for name in names}


@given(real=st.lists(st.integers(0, 3), min_size=1, max_size=3))
@settings(deadline=None, max_examples=10)
def test_regions_behind_the_last_real_one_change_nothing(
    real: list[int], cut_engines: dict[str, OnnxEngine], checkpoint: Checkpoint
) -> None:
    """What the engine step cuts off: outputs of a post with few regions, alone and padded."""
    K = checkpoint.settings.network.regions
    counts = [min(K, count) for count in real]
    kept = max(1, *counts)
    feeds = {
        name: {
            tensor: array.numpy()
            for tensor, array in example_inputs(
                name, checkpoint.settings, 90, len(real), 6, seed=sum(real)
            ).items()
        }
        for name in cut_engines
    }
    scores = np.zeros((len(real), K), np.float32)
    for post, count in enumerate(counts):
        scores[post, :count] = 0.5
    feeds["query_decoder"]["REGION_SCORES"] = scores
    for name, cut in (
        ("region_encoder", ("REGION_BOXES",)),
        ("query_decoder", ("REGION_STATES", "REGION_SCORES")),
    ):
        engine = cut_engines[name]
        assert all(engine.is_open(tensor, 1) for tensor in cut)
        whole = engine.run(feeds[name])
        few = engine.run({**feeds[name], **{t: feeds[name][t][:, :kept] for t in cut}})
        for output, array in few.items():
            axis = {"REGION_STATES": 1, "REGION_PROBS": 2}.get(output)
            same = whole[output]
            if axis is not None:
                same = same.take(range(array.shape[axis]), axis)
            np.testing.assert_allclose(array, same, atol=1e-5, err_msg=output)
    assert not whole["REGION_PROBS"][..., kept + 1 :].any()


def test_the_parity_check_can_fail(graphs: Path, checkpoint: Checkpoint) -> None:
    module = graph_modules(checkpoint.model)["text_encoder"]
    inputs = [example_inputs("text_encoder", checkpoint.settings, 90, 2, 6, seed=3)]
    path = graphs / "text_encoder.onnx"
    assert check_parity("text_encoder", module, path, inputs).largest < 1e-4
    weight = module.get_parameter("encoder.embeddings.word_embeddings.weight")
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(3.0)
        assert check_parity("text_encoder", module, path, inputs).largest > 1e-2
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_a_graph_past_its_tolerance_is_refused_and_removed(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="text_encoder"):
        list(export_graphs(checkpoint, tmp_path, tolerance=0.0))
    assert not list(tmp_path.glob("*.onnx"))


def test_a_checkpoint_of_any_size_becomes_a_repository(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path / "tiny")
    list(build_from_checkpoint(tmp_path / "tiny", tmp_path / "repository", version="v7"))
    for model in MODELS:
        assert (tmp_path / "repository" / model / "1" / "model.py").is_file()
    serving = (tmp_path / "repository" / "preprocess" / "1" / "serving.json").read_text()
    assert '"model_version": "v7"' in serving


def test_an_output_that_is_not_a_number_fails_the_check(
    graphs: Path, checkpoint: Checkpoint
) -> None:
    inputs = [example_inputs("query_decoder", checkpoint.settings, 90, 2, 6, seed=3)]
    inputs[0]["TEXT_STATES"][0, 0, 0] = float("nan")
    module = graph_modules(checkpoint.model)["query_decoder"]
    parity = check_parity("query_decoder", module, graphs / "query_decoder.onnx", inputs)
    assert parity.largest == float("inf")
