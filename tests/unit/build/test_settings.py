"""Settings are read strictly: unknown keys, wrong types and impossible sizes are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.settings import load_settings, settings_from_dict


def test_packaged_settings_load_and_round_trip(tmp_path: Path) -> None:
    for name in ("demo", "base"):
        settings = load_settings(name)
        path = tmp_path / f"{name}.json"
        path.write_text(settings.to_json())
        assert load_settings(path) == settings


def test_an_override_reaches_every_depth() -> None:
    settings = load_settings("demo", {"training.network.learning_rate": 1, "name": "mine"})
    assert settings.training.network.learning_rate == 1.0
    assert settings.name == "mine"


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("network.layerz", "network.layers"),
        ("trainig", "training"),
        ("training.network.epoch", "training.network.epochs"),
        ("decoding.entity_treshold", "decoding.entity_threshold"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        load_settings("demo", {key: 1})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.queries", 10, "multiple of the number of types"),
        ("network.heads", 3, "multiple of network.heads"),
        ("network.layers", "many", "layers"),
        ("serving.buckets", [64, 32], "must increase"),
        ("types", [], "at least one"),
    ],
)
def test_an_impossible_value_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings("demo", {key: value})


def test_an_unknown_file_lists_the_packaged_ones() -> None:
    with pytest.raises(FileNotFoundError, match="base, demo"):
        load_settings("dmo")


def test_settings_must_be_a_mapping() -> None:
    with pytest.raises(ValueError, match="mapping"):
        settings_from_dict([])  # type: ignore[arg-type]
