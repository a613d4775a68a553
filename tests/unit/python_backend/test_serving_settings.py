"""serving.json round-trips and is read strictly."""

from __future__ import annotations

import pytest
from mqspn_backend.serving_settings import DecodingSettings, ServingSettings

SETTINGS = ServingSettings(
    model_version="demo",
    types=("PER", "LOC"),
    image_side=224,
    regions=16,
    buckets=(32, 64),
    decoding=DecodingSettings(entity_threshold=0.4),
)


def test_round_trip() -> None:
    assert ServingSettings.from_json(SETTINGS.to_json()) == SETTINGS


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"regions"', '"region"', "did you mean 'regions'"),
        ('"entity_threshold"', '"entity_treshold"', "did you mean 'entity_threshold'"),
        ('"image_side": 224,', "", "image_side"),
        ("{", "[", "not JSON"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(before: str, after: str, message: str) -> None:
    text = SETTINGS.to_json().replace(before, after, 1)
    with pytest.raises(ValueError, match=message):
        ServingSettings.from_json(text)


def test_it_must_be_an_object() -> None:
    with pytest.raises(ValueError, match="object"):
        ServingSettings.from_json("[1]")
