"""A tiny MQSPN with random weights: every part there, nothing large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.network import Mqspn
from mqspn.repository import build_repository
from mqspn.settings import Settings, load_settings
from mqspn.training.tokenizer import train_wordpiece

ROOT = Path(__file__).resolve().parents[3]

TINY: dict[str, Any] = {
    "image_side": 64,
    "text_encoder.config.hidden_size": 48,
    "text_encoder.config.num_hidden_layers": 1,
    "text_encoder.config.intermediate_size": 64,
    "region_encoder.config.num_hidden_layers": 1,
    "region_encoder.config.hidden_size": 40,
    "region_encoder.config.intermediate_size": 64,
    "region_encoder.config.image_size": 16,
    "network.crop_side": 16,
    "network.width": 32,
    "network.queries": 8,
    "network.regions": 6,
    "loss.gold_repeats": 6,
    "serving.buckets": [16, 32],
}

TEXTS = [
    "person location organization miscellaneous is an entity type about",
    "Jordan meets Taylor Swift in New York # Paris @ fan",
]


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, Any]:
    """Settings over demo's: a network that learns a step in milliseconds."""
    return dict(TINY)


@pytest.fixture(scope="session")
def settings(tiny_settings: dict[str, Any]) -> Settings:
    return load_settings("demo", tiny_settings)


@pytest.fixture(scope="session")
def checkpoint(settings: Settings) -> Checkpoint:
    torch.manual_seed(0)
    tokenizer = train_wordpiece(TEXTS, size=300)
    return Checkpoint(settings, tokenizer, Mqspn(settings, tokenizer).eval())


@pytest.fixture(scope="session")
def demo_repository() -> Path:
    return ROOT / "model_repository"


@pytest.fixture
def tiny_repository(tiny_export: Any, tmp_path: Path) -> Path:
    build_repository(**vars(tiny_export), output=tmp_path / "repository")
    return tmp_path / "repository"
