"""TensorRT-RTX compiles all four graphs at the paper's sizes, with serving's profiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.engines.builder import EngineBuilder
from mqspn.export import export_graphs
from mqspn.export.repository import serving_settings
from mqspn.network import Mqspn
from mqspn.repository import build_repository
from mqspn.repository.shape_profiles import shape_profile
from mqspn.settings import load_settings
from mqspn.training.tokenizer import train_wordpiece

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    settings = load_settings("base_untrained")
    tokenizer = train_wordpiece(["Jordan meets Taylor Swift in New York"], size=300)
    torch.manual_seed(0)
    checkpoint = Checkpoint(settings, tokenizer, Mqspn(settings, tokenizer).eval())
    with pytest.MonkeyPatch.context() as patch:
        # Other shapes are checked at a small size.
        patch.setattr("mqspn.export.graphs._CHECKED", ((3, 13, 0.4),))
        for parity in export_graphs(checkpoint, folder / "graphs"):
            assert parity.largest < 1e-3
    tokenizer.save(str(folder / "tokenizer.json"))
    build_repository(
        graphs=folder / "graphs",
        tokenizer=folder / "tokenizer.json",
        serving=serving_settings(settings, "paper"),
        width=settings.network.width,
        queries=settings.network.queries,
        max_batch_size=settings.serving.max_batch_size,
        output=folder / "repository",
    )
    return folder / "repository"


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("text_encoder", 86e6),
        ("region_proposer", 20e6),
        ("region_encoder", 88e6),
        ("query_decoder", 50e6),
    ],
)
def test_it_compiles(model: str, parameters: float, repository: Path, rtx: EngineBuilder) -> None:
    graph = repository / model / "1" / "model.onnx"
    plan = rtx.build(model, graph, shape_profile(repository, model))
    # All of the weights are in there, four bytes each.
    assert len(plan) > 4 * parameters
