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


def load(auto_class: Any, folder: Path | str) -> Any:
    settings = EncoderSettings(pretrained=str(folder))
    return build_transformer(auto_class, settings, None, part="text_encoder")


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
        {"model_type": "bert", "hidden_size": "abc"},
        {"model_type": "bert", "num_attention_heads": 0},
        {"model_type": "bert", "hidden_size": -8},
        {"model_type": "bert", "hidden_act": "none"},
        {"model_type": "clip_vision_model", "hidden_size": 7},
    ],
)
def test_a_configuration_that_makes_no_encoder_is_refused(config: dict[str, Any]) -> None:
    settings = EncoderSettings(config={**config, "num_hidden_layers": 1})
    with pytest.raises(BuildError, match=f"config of '{config['model_type']}' is refused") as error:
        build_transformer(AutoModel, settings, None, part="text_encoder")
    assert str(error.value).startswith("settings: text_encoder: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model_type", ["bert", "clip"])
def test_a_region_encoder_of_another_kind_is_refused(model_type: str) -> None:
    settings = EncoderSettings(config={"model_type": model_type})
    with pytest.raises(
        BuildError, match=f"model_type must be 'clip_vision_model', not '{model_type}'"
    ) as error:
        build_transformer(CLIPVisionModel, settings, None, part="region_encoder")
    assert "region_encoder.config" in str(error.value)


@pytest.mark.parametrize("name", ["", " ", "nope/nope", "empty"])
def test_a_name_of_nothing_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BuildError, match=rf"text_encoder.pretrained: encoder '{name}' cannot be l"
    ) as error:
        load(AutoModel, name)
    assert "takes a hub name or a local folder: " in str(error.value)
    assert "\n" not in str(error.value)
