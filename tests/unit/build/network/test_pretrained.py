"""Pretrained encoders of a local folder: loaded whole, or refused by the folder's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mqspn.checkpoint import Checkpoint
from mqspn.errors import BuildError
from mqspn.network.pretrained import build_transformer
from mqspn.settings import EncoderSettings
from transformers import (
    AutoModel,
    AutoModelForObjectDetection,
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
)

BERT = BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """What a hub has for BERT: the language model, which lacks the pooler."""
    BertForMaskedLM(BERT).save_pretrained(tmp_path)
    return tmp_path


def load(auto_class: Any, folder: Path) -> Any:
    return build_transformer(auto_class, EncoderSettings(pretrained=str(folder)), None)


def test_a_language_models_encoder_is_whole(bert: Path) -> None:
    assert load(AutoModel, bert).config.hidden_size == 8


def test_the_vision_half_of_clip_is_whole(tmp_path: Path) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": 50, "intermediate_size": 8},
        vision_config={**small, "image_size": 32, "patch_size": 16, "intermediate_size": 8},
    )
    CLIPModel(config).save_pretrained(tmp_path)
    assert load(CLIPVisionModel, tmp_path).config.hidden_size == 8


def test_a_detector_is_whole(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.model.region_proposer.detector.save_pretrained(tmp_path)
    load(AutoModelForObjectDetection, tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize("damage", [cut, pointer, Path.unlink])
def test_damaged_weights_are_refused(damage: Callable[[Path], None], bert: Path) -> None:
    damage(bert / "model.safetensors")
    with pytest.raises(ValueError, match=rf"encoder '{bert}' cannot be loaded"):
        load(AutoModel, bert)


def test_weights_that_do_not_cover_the_configuration_are_refused(bert: Path) -> None:
    BertConfig.from_pretrained(bert, num_hidden_layers=2).save_pretrained(bert)
    with pytest.raises(ValueError, match=r"lacks 16 of its configuration's weights, .*layer\.1\."):
        load(AutoModel, bert)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "brt"},
        {"model_type": "bert", "hidden_size": 30, "num_attention_heads": 4},
    ],
)
def test_a_configuration_that_makes_no_encoder_is_refused(config: dict[str, Any]) -> None:
    settings = EncoderSettings(config={**config, "num_hidden_layers": 1})
    with pytest.raises(BuildError, match=f"config of '{config['model_type']}' is refused"):
        build_transformer(AutoModel, settings, None)
