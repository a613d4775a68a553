"""The tokenizer of a pretrained encoder is its own, or the folder is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.checkpoint import Checkpoint
from mqspn.errors import BuildError
from mqspn.settings import Settings, load_settings
from mqspn.training.tokenizer import build_tokenizer, train_wordpiece
from transformers import BertConfig, BertModel, BertTokenizerFast

TEXTS = ["Jordan is in Paris", "Mercedes won"]


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A folder with a tiny BERT and its tokenizer."""
    tokenizer = BertTokenizerFast(tokenizer_object=train_wordpiece(TEXTS, size=200))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def settings(encoder: Path | str) -> Settings:
    return load_settings("demo", {"text_encoder.pretrained": str(encoder)})


def test_it_is_the_encoders_own(encoder: Path, checkpoint: Checkpoint) -> None:
    tokenizer = build_tokenizer(settings(encoder), ["other texts"])
    assert "[UNK]" not in tokenizer.encode("Jordan won").tokens


def test_a_folder_without_it_is_refused(encoder: Path) -> None:
    """As `save_pretrained` of the model alone leaves it."""
    for path in encoder.glob("*token*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"knows \d tokens, the encoder \d+; put its own token"):
        build_tokenizer(settings(encoder), TEXTS)


def test_one_that_knows_more_than_the_encoder_is_refused(encoder: Path) -> None:
    BertModel(BertConfig.from_pretrained(encoder, vocab_size=20)).save_pretrained(encoder)
    with pytest.raises(ValueError, match="tokens, the encoder 20"):
        build_tokenizer(settings(encoder), TEXTS)


@pytest.mark.parametrize("name", ["", " ", "nope/nope", "empty"])
def test_an_encoder_that_is_not_there_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    refused = rf"text_encoder\.pretrained: encoder '{name}' cannot be loaded; `pretrained` takes"
    with pytest.raises(BuildError, match=refused) as error:
        build_tokenizer(settings(name), TEXTS)
    assert "\n" not in str(error.value)


def test_a_damaged_tokenizer_is_refused(encoder: Path) -> None:
    (encoder / "tokenizer.json").write_text("{")
    with pytest.raises(BuildError, match=rf"encoder '{encoder}' cannot be loaded"):
        build_tokenizer(settings(encoder), TEXTS)
