"""A whole checkpoint's settings, and how they are read.

A checkpoint carries its settings, so that loading one needs nothing else. `load_settings` reads a
file or the name of a packaged one (`demo`, `base`, `twitter_gmner`); an unknown key is an error
that names the nearest known one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from mqspn_backend.serving_settings import DecodingSettings
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from mqspn.errors import BuildError
from mqspn.settings.field_types import STRICT, read_number
from mqspn.settings.file import override, read_mapping
from mqspn.settings.network import EncoderSettings, EntityType, NetworkSettings
from mqspn.settings.refusal import explain, plain_json
from mqspn.settings.training import LossSettings, TrainingSettings

__all__ = ["ServingLimits", "Settings", "load_settings", "settings_from_dict", "settings_schema"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ServingLimits:
    """What the served model accepts: lengths of texts, sizes of batches and images."""

    buckets: tuple[Annotated[int, Field(ge=3)], ...] = Field(
        default=(32, 64, 128),
        min_length=1,
        description=(
            "The lengths L that texts are padded to, in tokens with [CLS] and [SEP], increasing. "
            "A longer text is cut at the last one, so raise that for long posts; more of them pad "
            "less, and cost memory on a GPU."
        ),
    )
    max_batch_size: int = Field(
        default=16,
        ge=1,
        description=(
            "The largest number of posts that the server computes at once. Raise it for "
            "throughput under load; lower it where memory runs out."
        ),
    )
    max_image_bytes: int = Field(
        default=20 * 1024 * 1024,
        ge=1,
        description=(
            "The largest encoded image in bytes; a larger one is answered IMAGE_TOO_LARGE. Lower "
            "it to bound what callers can send."
        ),
    )
    max_image_pixels: int = Field(
        default=50_000_000,
        ge=1,
        description=(
            "The largest decoded image in pixels; a larger one is answered IMAGE_TOO_LARGE. Lower "
            "it where preprocessing needs too much memory."
        ),
    )

    @model_validator(mode="after")
    def _check_buckets(self) -> ServingLimits:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"serving.buckets must increase; {list(self.buckets)} do not")
        return self


def _read_numbers(section: Any) -> Any:
    """`read_number` of what is no whole number: the backend's own section cannot say so itself."""
    if not isinstance(section, dict):
        return section
    numbers = {name for name, kind in get_type_hints(DecodingSettings).items() if kind is float}
    return {k: read_number(value) if k in numbers else value for k, value in section.items()}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings:
    """A whole checkpoint's settings."""

    name: str = Field(
        min_length=1,
        description=(
            "Names the settings in the checkpoint and its report, for people to read. Change it in "
            "a file of your own; a run does not go on under another name."
        ),
    )
    image_side: int = Field(
        ge=1,
        description=(
            "The side S in pixels of the square that every image is resized to. Raise it where "
            "small things matter; the detector's work grows with its square."
        ),
    )
    types: tuple[EntityType, ...] = Field(
        min_length=1,
        description="The entity types, in the order of the network's classes.",
    )
    text_encoder: EncoderSettings = Field(
        description=(
            "The text encoder: any BERT-like model. Its tokenizer comes with it; one without "
            "pretrained weights gets a WordPiece of the training posts."
        ),
    )
    region_proposer: EncoderSettings = Field(
        description="The region proposer: a DETR-like detector, whose best boxes are the regions.",
    )
    region_encoder: EncoderSettings = Field(
        description="The region encoder: CLIP's vision transformer, run on each region's crop.",
    )
    network: NetworkSettings = Field(
        default=NetworkSettings(),
        description=(
            "Sizes of the query decoder, and which of its parts are on: without one, it is an "
            "ablation of the paper's."
        ),
    )
    loss: LossSettings = Field(
        default=LossSettings(),
        description=(
            "Matching of queries to gold entities, and the loss. Change it with scores on dev "
            "beside you: it decides what is learnt first."
        ),
    )
    training: TrainingSettings = Field(
        default=TrainingSettings(),
        description="The run: seed, precision, selection of the epoch, and its stages in order.",
    )
    decoding: Annotated[DecodingSettings, BeforeValidator(_read_numbers)] = Field(
        default=DecodingSettings(),
        description=(
            "Decoding of the network's output to entities. `mqspn tune` chooses these on dev; "
            "they need no new training."
        ),
    )
    serving: ServingLimits = Field(
        default=ServingLimits(),
        description=(
            "What the served model accepts: lengths of texts, sizes of batches and images. "
            "`mqspn build` writes them into the model repository."
        ),
    )

    @model_validator(mode="after")
    def _check_types(self) -> Settings:
        for key in ("name", "label"):
            counts = Counter(getattr(t, key) for t in self.types)
            for value, count in counts.items():
                if count > 1:
                    raise ValueError(f"types: the {key} {value!r} stands {count} times; keep one")
        if self.network.queries % len(self.types):
            raise ValueError(
                f"network.queries ({self.network.queries}) must be a multiple of the number of "
                f"types ({len(self.types)})"
            )
        return self

    @property
    def label_names(self) -> dict[str, str]:
        """Each type's name by the label that data sets give it, as `read_split` takes them."""
        return {t.label: t.name for t in self.types}

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


_ADAPTER = TypeAdapter(Settings)


@cache
def settings_schema() -> dict[str, Any]:
    """All settings as a JSON schema: types, defaults, bounds and descriptions."""
    return _ADAPTER.json_schema()


def load_settings(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from a YAML or JSON file, or a packaged file by its name.

    A file may say ``extends:`` with the name or path (from its own folder) of another; mappings are
    merged, everything else replaces. ``overrides`` maps dotted keys to values, as
    ``{"network.layers": 2, "types.0.prompt": "a person"}``. Raises BuildError for a file that
    cannot be read, an unknown key (naming the nearest), a value of the wrong type or out of its
    bounds, or a missing key.
    """
    values = read_mapping(name_or_path)
    if overrides:
        values = override(settings_schema(), values, overrides)
    return settings_from_dict(values)


def settings_from_dict(values: dict[str, Any]) -> Settings:
    """Build settings from nested mappings; see `load_settings` for what is refused."""
    if not isinstance(values, dict):
        raise BuildError("settings must be a mapping")
    try:
        # As JSON, where a tuple is a list and a section a mapping, however strictly they are read.
        return _ADAPTER.validate_json(plain_json(values))
    except ValidationError as error:
        raise BuildError(explain(error, settings_schema())) from error
