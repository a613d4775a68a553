"""A run's tokenizer: made once, the same ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mqspn.settings import load_settings
from mqspn.training.errors import RunFolderError
from mqspn.training.run_folder.kept_tokenizer import keep_tokenizer


def test_it_is_made_once(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    settings = load_settings("demo", {**tiny_settings, "training.vocabulary_size": 200})
    made = keep_tokenizer(tmp_path, settings, ["Ada in Lisbon", "Lisbon"])
    kept = (tmp_path / "tokenizer.json").read_bytes()
    again = keep_tokenizer(tmp_path, settings, ["other words altogether"])
    assert again.to_str() == made.to_str()
    assert (tmp_path / "tokenizer.json").read_bytes() == kept


def test_a_damaged_one_is_refused(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    settings = load_settings("demo", tiny_settings)
    with pytest.raises(RunFolderError, match=r"tokenizer\.json is damaged .* another --run folder"):
        keep_tokenizer(tmp_path, settings, [])
