"""TensorRT-RTX compiles all four graphs at the paper's sizes, with serving's profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.profiles import serving_profile
from mqspn.export import export_graphs
from mqspn.export.repository import serving_settings
from mqspn.network import Mqspn
from mqspn.repository import build_repository
from mqspn.settings import load_settings
from mqspn.training.tokenizer import train_wordpiece

# What the hub names of the base settings stand for: BERT-base, RT-DETRv2-R18, CLIP ViT-B/32.
ARCHITECTURES: dict[str, Any] = {
    "text_encoder.pretrained": None,
    "text_encoder.config": {"model_type": "bert"},
    "region_proposer.pretrained": None,
    "region_proposer.config": {
        "model_type": "rt_detr_v2",
        "encoder_in_channels": [128, 256, 512],
        "decoder_layers": 3,
        "hidden_expansion": 0.5,
        "backbone_config": {
            "model_type": "rt_detr_resnet",
            "embedding_size": 64,
            "hidden_sizes": [64, 128, 256, 512],
            "depths": [2, 2, 2, 2],
            "layer_type": "basic",
            "out_features": ["stage2", "stage3", "stage4"],
        },
    },
    "region_encoder.pretrained": None,
    "region_encoder.config": {
        "model_type": "clip_vision_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
    },
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    settings = load_settings("base", ARCHITECTURES)
    tokenizer = train_wordpiece(["Jordan meets Taylor Swift in New York"], size=300)
    torch.manual_seed(0)
    checkpoint = Checkpoint(settings, tokenizer, Mqspn(settings, tokenizer).eval())
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
    plan = rtx.build(model, graph, serving_profile(repository, model))
    # All of the weights are in there, four bytes each.
    assert len(plan) > 4 * parameters
