"""Settings are read strictly: unknown keys, wrong types and impossible sizes are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.settings import load_settings, settings_from_dict


def test_packaged_settings_load_and_round_trip(tmp_path: Path) -> None:
    for name in ("demo", "base", "twitter_gmner"):
        settings = load_settings(name)
        path = tmp_path / f"{name}.json"
        path.write_text(settings.to_json())
        assert load_settings(path) == settings


def test_an_override_reaches_every_depth() -> None:
    settings = load_settings("demo", {"training.network.learning_rate": 1, "name": "mine"})
    assert settings.training.network.learning_rate == 1.0
    assert settings.name == "mine"


def test_an_override_reaches_elements_free_mappings_and_defaults() -> None:
    settings = load_settings(
        "demo",
        {
            "types.0.prompt": "a person",
            "text_encoder.config.a_new.key": 3,
            "region_proposer.pixel_mean.1": 0.5,  # not in the file
            "serving.buckets.0": 16,
            "training.mixed_precision": False,  # what YAML makes of a bare no
            "training.region_encoder.patience": 3,
        },
    )
    assert settings.types[0].prompt == "a person"
    assert settings.types[1] == load_settings("demo").types[1]
    assert settings.text_encoder.config["a_new"] == {"key": 3}
    assert settings.region_proposer.pixel_mean == (0.0, 0.5, 0.0)
    assert settings.serving.buckets == (16, 64)
    assert settings.training.mixed_precision == "no"
    assert settings.training.region_encoder.patience == 3


def test_a_file_can_extend_another(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: demo\nname: mine\ntypes: [{ name: PET, prompt: pet, label: PET }]\n"
        "training: { network: { epochs: 2 } }\n"
    )
    (tmp_path / "more.yaml").write_text("extends: mine.yaml\nnetwork: { layers: 1 }\n")
    demo, more = load_settings("demo"), load_settings(tmp_path / "more.yaml")
    assert (more.name, [t.name for t in more.types]) == ("mine", ["PET"])
    assert (more.network.layers, more.network.width) == (1, demo.network.width)
    assert more.training.network.epochs == 2
    assert more.training.network.learning_rate == demo.training.network.learning_rate
    (tmp_path / "loop.yaml").write_text("extends: loop.yaml\n")
    with pytest.raises(ValueError, match="extends itself"):
        load_settings(tmp_path / "loop.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="must be a mapping"):
        load_settings(tmp_path / "list.yaml")


def test_the_papers_recipe() -> None:
    settings = load_settings("twitter_gmner")
    stage = settings.training.network
    assert (stage.epochs, stage.batch_size, stage.learning_rate) == (50, 16, 2e-5)
    assert (stage.warmup, stage.weight_decay, stage.clip_norm) == (0.05, 0.01, 1.0)
    assert settings.training.frozen_epochs == 5
    assert settings.training.encoder_learning_rate == 2e-5
    assert settings.training.region_proposer.epochs == 0
    assert settings.training.region_encoder.epochs == 0


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("network.layerz", "network.layers"),
        ("trainig", "training"),
        ("training.network.epoch", "training.network.epochs"),
        ("decoding.entity_treshold", "decoding.entity_threshold"),
        ("types.1.promt", "types.1.prompt"),
        ("text_encoder.pretrain", "text_encoder.pretrained"),
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
        ("types.4.prompt", "a", "'types' has 4 elements"),
        ("types.PER.prompt", "a", "'types' has 4 elements"),
        ("types.0", "PER", "types"),
        ("name.first", "a", "'name', which has no parts"),
        ("network.layers", True, "network.layers must be a whole number"),
        ("network.layers", 1.5, "network.layers"),
        ("network", 3, "network"),
        ("text_encoder.config", "bert", "text_encoder.config"),
        ("training.selection", "eeg", "training.selection must be one of gmner, mner"),
        ("training.mixed_precision", "fp8", "one of no, fp16, bf16"),
        ("training.save_every_minutes", -1, "0 or more"),
        ("training.network.accumulation", 0, "accumulation must be at least 1"),
        ("training.network.batch_size", 0, "batch_size must be at least 1"),
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
