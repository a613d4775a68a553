"""Settings are read strictly: unknown keys, wrong types and impossible sizes are refused."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest
from mqspn.configs import packaged_settings
from mqspn.errors import BuildError
from mqspn.settings import ServingLimits, load_settings, settings_from_dict
from mqspn_backend.serving_settings import DecodingSettings


@pytest.mark.parametrize("name", packaged_settings())
def test_packaged_settings_load_and_round_trip(name: str, tmp_path: Path) -> None:
    settings = load_settings(name)
    path = tmp_path / f"{name}.json"
    path.write_text(settings.to_json())
    assert load_settings(path) == settings


ROOT = Path(__file__).resolve().parents[4]


#: The demo checkpoint's settings as version 0.1.0 writes them: runs go on by these bytes.
WRITTEN = "eb6d24f1b44a930b8b75d4e1b332affb9bd99b16e4d3c5d7ee4571453151c53b"


def test_the_bytes_of_settings_stay_as_they_are() -> None:
    text = (ROOT / "build/checkpoints/demo/settings.json").read_text(encoding="utf-8")
    settings = settings_from_dict(json.loads(text))
    assert hashlib.sha256(settings.to_json().encode()).hexdigest() == WRITTEN
    assert type(settings.decoding) is DecodingSettings
    assert settings_from_dict(asdict(settings)) == settings


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
    with pytest.raises(BuildError, match=f"did you mean '{near}'"):
        load_settings("demo", {key: 1})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.queries", 10, "multiple of the number of types"),
        (
            "network.heads",
            3,
            r"^settings: network\.width \(128\) must be a multiple of network\.heads \(3\)$",
        ),
        ("network.layers", "many", "layers"),
        ("serving.buckets", [64, 32], "must increase"),
        ("types", [], "at least one"),
        ("types.4.prompt", "a", "'types' has 4 elements"),
        ("types.PER.prompt", "a", "'types' has 4 elements"),
        ("types.0", "PER", "types.0 must be a mapping, not 'PER'"),
        ("types", "PER", "types must be a list of mappings, not 'PER'"),
        ("types.0.prompt", " ", "types.0.prompt must not be empty, as ' ' is"),
        (
            "region_encoder.pixel_std",
            [1, 1],
            r"pixel_std must be a list of 3 numbers, not \[1, 1\]",
        ),
        ("region_encoder.pixel_std.0", "a", "pixel_std.0 must be a number, not 'a'"),
        ("serving.buckets.0", 16.5, "serving.buckets.0 must be a whole number, not 16.5"),
        ("training.network.learning_rate", True, "learning_rate must be a number, not true"),
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
    with pytest.raises(BuildError, match=message):
        load_settings("demo", {key: value})


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value", "bounds"),
    [
        ("image_side", 0, "at least 1"),
        ("text_encoder.pixel_mean.1", NAN, "a finite number"),
        ("region_encoder.pixel_std.1", 0, "above 0"),
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
    with pytest.raises(BuildError, match=f"^settings: {re.escape(key)} must be {bounds}"):
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
    with pytest.raises(BuildError, match=r"^settings: training: a stage must have epochs; all"):
        load_settings("demo", none)
    assert load_settings("demo", {**none, "training.region_encoder.epochs": 1})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # The wrong type, at every depth.
        ("image_side", "64", "image_side must be a whole number, not '64'"),
        ("image_side", None, "image_side must be a whole number, not null"),
        ("image_side", 64.0, "image_side must be a whole number, not 64.0"),
        ("name", 3, "name must be text, not 3"),
        ("name", True, "name must be text, not true"),
        ("network.aggregator", 1, "network.aggregator must be true or false, not 1"),
        ("network.aggregator", "no", "network.aggregator must be true or false, not 'no'"),
        ("network.dropout", True, "network.dropout must be a number, not true"),
        ("network.dropout", "much", "network.dropout must be a number, not 'much'"),
        ("network.dropout", [0.1], r"network.dropout must be a number, not \[0.1\]"),
        ("loss", [], r"loss must be a mapping, not \[\]"),
        ("training.network", 3, "training.network must be a mapping, not 3"),
        ("training.network.epochs", None, "training.network.epochs must be a whole number"),
        ("training.network.epochs", False, "training.network.epochs must be a whole number"),
        ("training.mixed_precision", True, "must be one of no, fp16, bf16; not true"),
        ("text_encoder.pretrained", 3, "text_encoder.pretrained must be text or null, not 3"),
        ("text_encoder.config", [1], r"text_encoder.config must be a mapping, not \[1\]"),
        ("decoding", 0.5, "decoding must be a mapping, not 0.5"),
        ("decoding.entity_threshold", True, "decoding.entity_threshold must be a number"),
        ("decoding.max_entity_words", 1.5, "decoding.max_entity_words must be a whole number"),
        ("decoding.max_entity_words", -1, "decoding.max_entity_words must be at least 0; not -1"),
        ("types.1.label", 7, "types.1.label must be text, not 7"),
        ("types.1", None, "types.1 must be a mapping, not null"),
        # As YAML writes it.
        (
            "decoding.max_entity_words",
            "3",
            "decoding.max_entity_words must be a whole number, not '3'",
        ),
        ("decoding.region_threshold", "much", "region_threshold must be a number, not 'much'"),
        ("network.width", [None, {"a": False}, -INF], r"not \[null, {'a': false}, -\.inf\]$"),
        ("text_encoder.config", {None: 1}, r"config\.null: put the key null in quotes$"),
        ("name", {"at": datetime.date(2026, 1, 1)}, "name.at must be text, .* not 2026-01-01; put"),
        # Lists.
        ("serving.buckets", 32, "serving.buckets must be a list of whole numbers, not 32"),
        ("serving.buckets", [], r"serving.buckets must have at least one element, not \[\]"),
        ("serving.buckets", [32, "64"], "serving.buckets.1 must be a whole number, not '64'"),
        ("serving.buckets", [32, True], "serving.buckets.1 must be a whole number, not true"),
        ("serving.buckets", [2, 32], "serving.buckets.0 must be at least 3; not 2"),
        ("serving.buckets", [32, 32], r"^settings: serving\.buckets must increase; \[32, 32\] do"),
        ("region_encoder.pixel_mean", [0] * 4, "must be a list of 3 numbers, not"),
        ("region_encoder.pixel_mean", [0, 0, NAN], "pixel_mean.2 must be a finite number"),
        ("region_encoder.pixel_std", [1, -1, 1], "pixel_std.1 must be above 0; not -1"),
        # Numbers that are none.
        ("image_side", INF, r"image_side must be a whole number, not \.inf$"),
        ("network.dropout", "nan", "network.dropout must be a finite number"),
        ("training.network.learning_rate", "1e999", "learning_rate must be a finite number"),
        ("region_encoder.config", {"a": NAN}, r"config\.a must be a finite number, not \.nan$"),
        (
            "region_encoder.config.a",
            [1, {"b": -INF}],
            r"config\.a\.1\.b must be a finite .*-\.inf$",
        ),
        # Empty, and twice.
        ("name", "", "name must not be empty, as '' is"),
        ("types.0.prompt", "", "types.0.prompt must not be empty"),
        ("types.0.name", "", "types.0.name must not be empty"),
        ("types.0.name", "LOC", "types: the name 'LOC' stands 2 times; keep one"),
        ("types.0.label", "LOC", "types: the label 'LOC' stands 2 times; keep one"),
        # What JSON does not have.
        ("name", datetime.date(2026, 1, 1), "name must be text, a number, a list or a mapping"),
        ("text_encoder.config", {("a",): 1}, r"put the key \['a'\] in quotes"),
        # Keys through lists.
        ("types.0.promt", "x", "unknown key 'types.0.promt'; did you mean 'types.0.prompt'"),
        ("serving.buckets.2", 128, "'serving.buckets' has 2 elements"),
        ("serving.buckets.0.first", 16, "goes through 'serving.buckets.0', which has no parts"),
        ("network.zzz", 1, "unknown key 'network.zzz'; known: aggregator, aggregator_text_weight"),
    ],
)
def test_a_bad_input_is_named_in_one_line(key: str, value: object, message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        load_settings("demo", {key: value})
    assert str(caught.value).startswith("settings: ")
    assert "\n" not in str(caught.value)


def test_text_that_writes_a_number_is_one() -> None:
    """YAML reads 1e-4 as text, and 1 as a whole number."""
    values = {"training.network.learning_rate": "1e-4", "decoding.entity_threshold": "2e-1"}
    settings = load_settings("demo", {**values, "region_encoder.pixel_std": ["1e-1", 1, 1.5]})
    assert settings.training.network.learning_rate == 1e-4
    assert settings.decoding.entity_threshold == 0.2
    assert settings.region_encoder.pixel_std == (0.1, 1.0, 1.5)
    assert all(isinstance(value, float) for value in settings.region_encoder.pixel_std)


def test_several_mistakes_are_named_together_unknown_keys_first() -> None:
    with pytest.raises(BuildError) as caught:
        load_settings("demo", {"network.layers": 0, "loss.region_iou": 2, "trainig": 1})
    assert str(caught.value) == (
        "settings: unknown key 'trainig'; did you mean 'training'?; network.layers must be at "
        "least 1; not 0; loss.region_iou must be between 0 and 1, neither of them; not 2"
    )
    bad = {f"network.{key}": 0 for key in ("width", "queries", "layers", "heads", "regions")}
    with pytest.raises(BuildError, match=r"; and 1 more$"):
        load_settings("demo", {**bad, "network.crop_side": 0})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("serving.buckets", [2], "serving.buckets.0 must be at least 3; not 2"),
        ("types", [3], "types.0 must be a mapping, not 3"),
    ],
)
def test_a_list_with_a_bad_element_is_not_called_empty(
    key: str, value: object, message: str
) -> None:
    with pytest.raises(BuildError) as caught:
        load_settings("demo", {key: value})
    assert str(caught.value) == f"settings: {message}"


def test_what_is_missing_is_named() -> None:
    values = asdict(load_settings("demo"))
    del values["image_side"], values["types"][1]["label"]
    with pytest.raises(BuildError, match=r"image_side is missing; give a whole number; types\.1\."):
        settings_from_dict(values)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(BuildError) as caught:
        load_settings("demo", {"network": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_a_section_made_in_code_is_checked_too() -> None:
    with pytest.raises(ValueError, match="buckets must increase"):
        ServingLimits(buckets=(64, 32))
    with pytest.raises(ValueError, match="max_batch_size"):
        replace(load_settings("demo").serving, max_batch_size=0)
    with pytest.raises(FrozenInstanceError):
        load_settings("demo").name = "other"  # type: ignore[misc]


def test_settings_must_be_a_mapping() -> None:
    with pytest.raises(BuildError, match="mapping"):
        settings_from_dict([])  # type: ignore[arg-type]
