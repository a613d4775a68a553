"""Settings are read strictly: unknown keys, wrong types and impossible sizes are refused."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from mqspn.settings import bounds as settings_bounds
from mqspn.settings import load_settings, settings_from_dict


def test_packaged_settings_load_and_round_trip(tmp_path: Path) -> None:
    for name in (
        "demo",
        "base",
        "base_untrained",
        "twitter_gmner",
        "twitter_fmnerg",
        "twitter_text",
    ):
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


def test_a_file_in_the_current_folder_stands_in_for_no_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    for name in ("demo", "other.yaml"):
        (here / name).write_text("extends: base\nname: shadow\n")
    (there / "mine.yaml").write_text("extends: demo\n")
    (there / "lost.yaml").write_text("extends: other.yaml\n")
    monkeypatch.chdir(here)
    demo = load_settings("demo")
    assert demo.name != "shadow"
    assert load_settings(there / "mine.yaml") == demo
    with pytest.raises(FileNotFoundError, match=r"other\.yaml.*neither a file beside it nor one"):
        load_settings(there / "lost.yaml")
    assert load_settings("./demo").name == load_settings(Path("demo")).name == "shadow"
    (there / "demo").write_text("extends: base\nname: beside\n")
    assert load_settings(there / "mine.yaml").name == "beside"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"extends: demo\nname: a\nname: b\n", r"'name' stands twice.*\n.*line 3"),
        (b"extends: demo\nnetwork: { layers: 1, width: 8, layers: 2 }\n", "'layers' stands twice"),
        (b"extends: demo\nname: caf\xe9\n", r"mine\.yaml: not UTF-8 .*save it as UTF-8"),
        (b"extends: [\n", r"mine\.yaml: cannot be read as YAML"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_settings(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)


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
        ("types.0", "PER", "types.0 must be a mapping, not 'PER'"),
        ("types", "PER", "types must be a list, not 'PER'"),
        ("types.0.prompt", " ", "the prompt of 'PER' is empty"),
        ("region_encoder.pixel_std", [1, 1], r"pixel_std must be a list of 3, not \[1, 1\]"),
        ("region_encoder.pixel_std.0", "a", "pixel_std.0 must be a number, not 'a'"),
        ("serving.buckets.0", 16.5, "serving.buckets.0 must be a whole number, not 16.5"),
        ("training.network.learning_rate", True, "learning_rate must be a number, not True"),
        ("name.first", "a", "'name', which has no parts"),
        ("network.layers", True, "network.layers must be a whole number"),
        ("network.layers", 1.5, "network.layers"),
        ("network", 3, "network"),
        ("text_encoder.config", "bert", "text_encoder.config"),
        ("training.selection", "eeg", "training.selection must be one of gmner, mner"),
        ("training.mixed_precision", "fp8", "one of no, fp16, bf16"),
    ],
)
def test_an_impossible_value_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_settings("demo", {key: value})


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value", "bounds"),
    [
        ("image_side", 0, "at least 1"),
        ("text_encoder.pixel_mean", [0, NAN, 0], "a finite number"),
        ("region_encoder.pixel_std", [1, 0, 1], "above 0"),
        ("network.width", 0, "at least 1"),
        ("network.queries", 0, "at least 1"),
        ("network.queries", -4, "at least 1"),
        ("network.layers", 0, "at least 1"),
        ("network.heads", 0, "at least 1"),
        ("network.regions", 0, "at least 1"),
        ("network.crop_side", 0, "at least 1"),
        ("network.crop_supersampling", 0, "at least 1"),
        ("network.dropout", 1.0, "at least 0 and below 1"),
        ("network.aggregator_text_weight", -0.1, "from 0 to 1"),
        ("loss.type_weight", -1, "at least 0"),
        ("loss.boundary_weight", -1, "at least 0"),
        ("loss.region_weight", INF, "a finite number"),
        ("loss.token_weight", -1, "at least 0"),
        ("loss.gold_repeats", 0, "at least 1"),
        ("loss.region_iou", 0, "between 0 and 1"),
        ("loss.region_iou", 1, "between 0 and 1"),
        ("training.seed", -1, "from 0 to"),
        ("training.save_every_minutes", -1, "at least 0"),
        ("training.save_every_minutes", NAN, "a finite number"),
        ("training.vocabulary_size", 5, "at least 100"),
        ("training.network.epochs", -1, "at least 0"),
        ("training.network.batch_size", 0, "at least 1"),
        ("training.network.accumulation", 0, "at least 1"),
        ("training.network.learning_rate", NAN, "a finite number"),
        ("training.network.learning_rate", -1, "at least 0"),
        ("training.region_encoder.weight_decay", -1, "at least 0"),
        ("training.region_proposer.clip_norm", 0, "above 0"),
        ("training.network.clip_norm", -1, "above 0"),
        ("training.network.warmup", -1, "from 0 to 1"),
        ("training.network.warmup", 2, "from 0 to 1"),
        ("training.network.patience", -1, "at least 0"),
        ("training.encoder_learning_rate", -1, "at least 0"),
        ("training.frozen_epochs", -1, "at least 0"),
        ("training.image_dropout", 1.1, "from 0 to 1"),
        ("training.word_dropout", -0.1, "from 0 to 1"),
        ("training.entity_dropout", NAN, "a finite number"),
        ("decoding.entity_threshold", 1.1, "from 0 to 1"),
        ("decoding.region_threshold", -1, "from 0 to 1"),
        ("serving.max_batch_size", 0, "at least 1"),
        ("serving.max_image_bytes", 0, "at least 1"),
        ("serving.max_image_pixels", 0, "at least 1"),
    ],
)
def test_a_number_out_of_its_bounds_is_named(key: str, value: object, bounds: str) -> None:
    with pytest.raises(ValueError, match=f"^settings: {re.escape(key)} must be {bounds}"):
        load_settings("demo", {key: value})


def test_bounds_that_may_be_reached() -> None:
    settings = load_settings(
        "demo",
        {
            "network.dropout": 0,
            "training.word_dropout": 1,
            "training.network.warmup": 0,
            "training.encoder_learning_rate": 0,
            "training.save_every_minutes": 0,
            "decoding.entity_threshold": 1,
        },
    )
    assert settings.training.word_dropout == 1.0


def test_a_training_without_epochs_is_refused() -> None:
    stages = ("region_proposer", "region_encoder", "network")
    none = {f"training.{stage}.epochs": 0 for stage in stages}
    with pytest.raises(ValueError, match="all three have 0"):
        load_settings("demo", none)
    assert load_settings("demo", {**none, "training.region_encoder.epochs": 1})


def test_every_bound_is_of_a_setting() -> None:
    known = set()

    def walk(value: object, prefix: str) -> None:
        for name, inner in value.items() if isinstance(value, dict) else ():
            known.add(prefix + name)
            walk(inner, f"{prefix}{name}.")

    walk(asdict(load_settings("demo")), "")
    assert known > set(settings_bounds._BOUNDS)


def test_an_unknown_file_lists_the_packaged_ones() -> None:
    with pytest.raises(FileNotFoundError, match="base, base_untrained, demo"):
        load_settings("dmo")


def test_settings_must_be_a_mapping() -> None:
    with pytest.raises(ValueError, match="mapping"):
        settings_from_dict([])  # type: ignore[arg-type]
