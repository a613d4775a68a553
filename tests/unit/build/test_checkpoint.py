"""A checkpoint is whole in its folder, and says what is missing where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mqspn.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def test_round_trip_gives_the_same_numbers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "demo")
    loaded = load_checkpoint(tmp_path / "demo")
    assert loaded.settings == checkpoint.settings
    assert not loaded.model.training
    ids = torch.randint(5, 90, (2, 7), dtype=torch.int32)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        a = checkpoint.model.text_encoder(ids, mask)
        b = loaded.model.text_encoder(ids, mask)
    torch.testing.assert_close(a, b, atol=0, rtol=0)
    saved = checkpoint.model.state_dict()
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, saved[name], atol=0, rtol=0)


@pytest.mark.parametrize("name", ["model.safetensors", "settings.json", "tokenizer.json"])
def test_a_missing_file_is_named(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    save_checkpoint(checkpoint, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_checkpoint(tmp_path)


def test_weights_of_other_settings_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(settings.read_text().replace('"queries": 8', '"queries": 16'))
    with pytest.raises(ValueError, match="do not fit the settings"):
        load_checkpoint(tmp_path)
