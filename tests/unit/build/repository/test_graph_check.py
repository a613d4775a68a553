"""A graph that does not fit its model is refused, with every difference named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from mqspn.repository.errors import GraphMismatchError
from mqspn.repository.graph_check import check_graph
from mqspn.repository.model_configuration import Shapes
from mqspn_backend.tensors import ENGINES


@pytest.fixture
def shapes(tiny_export: Any) -> Shapes:
    return Shapes(
        queries=2, types=2, regions=3, width=4, image_side=16, buckets=(8,), max_batch_size=4
    )


@pytest.mark.parametrize("model", ENGINES)
def test_fitting_graphs_pass(model: str, tiny_export: Any, shapes: Shapes) -> None:
    check_graph(tiny_export.graphs / f"{model}.onnx", model, shapes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 5}, "axis D of TEXT_STATES is 4, expected 5"),
        ({"regions": 7}, "axis K of REGION_SCORES is 3, expected 7"),
        ({"types": 3}, r"axis T\+1 of TYPE_PROBS is 3, expected 4"),
        ({"queries": 9}, "axis Q of END_PROBS is 2, expected 9"),
    ],
)
def test_another_size_is_named(
    change: dict[str, int], message: str, tiny_export: Any, shapes: Shapes
) -> None:
    path = tiny_export.graphs / "query_decoder.onnx"
    with pytest.raises(GraphMismatchError, match=message):
        check_graph(path, "query_decoder", Shapes(**{**vars(shapes), **change}))


def edited(source: Path, target: Path, edit: Any) -> Path:
    model = onnx.load(str(source))
    edit(model.graph)
    onnx.save(model, str(target))
    return target


def test_every_difference_is_named(tiny_export: Any, shapes: Shapes, tmp_path: Path) -> None:
    def edit(graph: Any) -> None:
        graph.input[0].name = "TOKENS"
        graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
        graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
        graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8

    path = edited(tiny_export.graphs / "text_encoder.onnx", tmp_path / "g.onnx", edit)
    with pytest.raises(GraphMismatchError) as caught:
        check_graph(path, "text_encoder", shapes)
    for part in (
        "input INPUT_IDS is missing",
        "input TOKENS is unknown",
        "ATTENTION_MASK is INT64, expected INT32",
        "axis B of TEXT_STATES is fixed at 1, must stay open",
        "axis L of TEXT_STATES is fixed at 8, must stay open",
    ):
        assert part in str(caught.value)


def test_another_number_of_axes_is_named(tiny_export: Any, shapes: Shapes, tmp_path: Path) -> None:
    def edit(graph: Any) -> None:
        del graph.output[0].type.tensor_type.shape.dim[2]

    path = edited(tiny_export.graphs / "text_encoder.onnx", tmp_path / "g.onnx", edit)
    with pytest.raises(GraphMismatchError, match="TEXT_STATES has 2 axes, expected 3"):
        check_graph(path, "text_encoder", shapes)


def test_weights_beside_the_graph_are_refused(
    tiny_export: Any, shapes: Shapes, tmp_path: Path
) -> None:
    model = onnx.load(str(tiny_export.graphs / "text_encoder.onnx"))
    onnx.save(
        model,
        str(tmp_path / "g.onnx"),
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    with pytest.raises(GraphMismatchError, match="weights are in a second file"):
        check_graph(tmp_path / "g.onnx", "text_encoder", shapes)
