"""The list of what stays in FP32 finds its nodes and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from mqspn.engines.kept_layers import CANDIDATES, KEPT, KeptLayers, find_nodes
from mqspn.repository import ENGINES


def load(repository: Path, model: str) -> Any:
    return onnx.load(str(repository / model / "1" / "model.onnx")).graph


def crop_nodes(graph: Any) -> list[Any]:
    names = set(find_nodes(graph, next(kept for kept in KEPT if kept.name == "crops")))
    return [node for node in graph.node if node.name in names]


@pytest.mark.parametrize("kept", KEPT, ids=lambda k: f"{k.graph}: {k.name}")
def test_every_entry_finds_nodes_and_gives_figures(kept: KeptLayers, demo_repository: Path) -> None:
    assert find_nodes(load(demo_repository, kept.graph), kept)
    assert "->" in kept.reason


def test_every_candidate_is_of_a_graph() -> None:
    assert {candidate.graph for candidate in CANDIDATES} == set(ENGINES)


def test_crops_reach_from_pixels_and_boxes_to_the_patch_embedding(demo_repository: Path) -> None:
    graph = load(demo_repository, "region_encoder")
    chosen = crop_nodes(graph)
    assert not any(node.name.startswith("/vision/encoder") for node in chosen)
    assert not {node.op_type for node in chosen} & {"Conv", "Softmax", "LayerNormalization"}
    sources = {name for node in chosen for name in node.input}
    assert {"PIXELS", "REGION_BOXES"} <= sources


def test_an_output_by_name(demo_repository: Path) -> None:
    graph = load(demo_repository, "region_proposer")
    kept = KeptLayers(graph="region_proposer", name="", reason="", arithmetic_of=("REGION_SCORES",))
    chosen = set(find_nodes(graph, kept))
    operators = {node.op_type for node in graph.node if node.name in chosen}
    assert "Mul" in operators
    assert "TopK" not in operators
