"""Every setting of a checkpoint, in frozen keyword-only dataclasses read from one YAML file.

A checkpoint carries its settings, so that loading one needs nothing else. `load_settings` reads a
file or the name of a packaged one (`demo`, `base`); an unknown key is an error that names the
nearest known one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import dacite
import yaml
from mqspn_backend.serving_settings import DecodingSettings

__all__ = [
    "EncoderSettings",
    "EntityType",
    "LossSettings",
    "NetworkSettings",
    "ServingLimits",
    "Settings",
    "StageSettings",
    "TrainingSettings",
    "load_settings",
    "settings_from_dict",
]


@dataclass(frozen=True, kw_only=True)
class EntityType:
    """An entity type: its name in answers, its label in the data, its words in the type prompt."""

    name: str
    prompt: str
    label: str


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """A `transformers` model: by hub name or local folder (``pretrained``), or from ``config``.

    ``config`` is a `transformers` configuration as a mapping with its ``model_type``; it is used,
    with random weights, where ``pretrained`` is null. An image encoder's pixels, scaled to [0, 1],
    are normalised inside its graph with ``pixel_mean`` and ``pixel_std`` (RGB).
    """

    pretrained: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    pixel_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Sizes of the query decoder and which of its parts are on (off: the paper's ablations).

    ``existence_form``: the entity head says only whether a query's entity exists, its type being
    its type-grained half's (the paper); otherwise a softmax over T + 1 classes.
    ``width`` is D, ``queries`` Q, ``regions`` K, ``layers`` those of QFNet. ``crop_side``: pixels
    of a region's crop, a multiple of the region encoder's patch size; each is the mean of
    ``crop_supersampling`` squared samples. ``aggregator_text_weight``: lambda of the text, the
    regions having the rest to 1.
    """

    width: int = 768
    queries: int = 60
    layers: int = 3
    heads: int = 8
    dropout: float = 0.1
    regions: int = 16
    crop_side: int = 128
    crop_supersampling: int = 2
    type_prompts: bool = True
    entity_queries: bool = True
    query_self_attention: bool = True
    text_cross_attention: bool = True
    prefix_integration: bool = True
    aggregator: bool = True
    aggregator_text_weight: float = 0.5
    existence_form: bool = False


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Matching and loss. ``gold_repeats`` of the queries take part in one-to-many matching.

    ``type_weight``, ``boundary_weight``, ``region_weight`` weigh cost and loss alike.
    ``region_iou``: a proposal is a right answer where its IoU with a gold box exceeds it.
    ``bipartite`` off: gold entities are dealt to queries in order (the paper's ablation).
    """

    type_weight: float = 2.0
    boundary_weight: float = 2.0
    region_weight: float = 2.0
    gold_repeats: int = 45
    region_iou: float = 0.5
    bipartite: bool = True


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One training stage: AdamW with linear warm-up and decay. ``epochs`` 0 leaves it out."""

    epochs: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip_norm: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The stages in order: detector on boxes, region encoder on crops, then the network.

    The first two serve those who have no pretrained weights; with pretrained ones leave their
    ``epochs`` at 0. The visual encoder is frozen in the network stage. ``encoder_learning_rate``
    is the text encoder's; ``frozen_epochs`` of the network stage keep it frozen.
    ``vocabulary_size``: of the WordPiece trained where the text encoder is not pretrained.
    ``image_dropout``: share of posts shown without their image in an epoch of the network stage;
    ``word_dropout``: share of the tokens outside entities replaced by [UNK] there.
    """

    seed: int = 17
    vocabulary_size: int = 4000
    region_proposer: StageSettings = StageSettings()
    region_encoder: StageSettings = StageSettings()
    network: StageSettings = StageSettings(epochs=50)
    encoder_learning_rate: float = 2e-5
    frozen_epochs: int = 5
    image_dropout: float = 0.0
    word_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """Shapes the served model accepts: token buckets, largest batch, bounds on one image."""

    buckets: tuple[int, ...] = (32, 64, 128)
    max_batch_size: int = 16
    max_image_bytes: int = 20 * 1024 * 1024
    max_image_pixels: int = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole checkpoint's settings. ``image_side``: S, pixels of the model's square image."""

    name: str
    image_side: int
    types: tuple[EntityType, ...]
    text_encoder: EncoderSettings
    region_proposer: EncoderSettings
    region_encoder: EncoderSettings
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    training: TrainingSettings = TrainingSettings()
    decoding: DecodingSettings = field(default_factory=DecodingSettings)
    serving: ServingLimits = ServingLimits()

    def __post_init__(self) -> None:
        if not self.types:
            raise ValueError("settings: types must name at least one entity type")
        if self.network.queries % len(self.types):
            raise ValueError(
                f"settings: network.queries ({self.network.queries}) must be a multiple of the "
                f"number of types ({len(self.types)})"
            )
        if self.network.width % self.network.heads:
            raise ValueError(
                f"settings: network.width ({self.network.width}) must be a multiple of "
                f"network.heads ({self.network.heads})"
            )
        buckets = self.serving.buckets
        if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 3:
            raise ValueError("settings: serving.buckets must increase and hold at least 3 tokens")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def load_settings(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from a YAML or JSON file, or a packaged file by its name.

    ``overrides`` maps dotted keys to values, as ``{"network.layers": 2}``. Raises ValueError for
    an unknown key (naming the nearest), a value of the wrong type, or a missing key, and
    FileNotFoundError naming the packaged files.
    """
    path = Path(name_or_path)
    if not path.is_file():
        packaged = resources.files("mqspn") / "configs" / f"{name_or_path}.yaml"
        if not packaged.is_file():
            configs = resources.files("mqspn") / "configs"
            known = sorted(p.name[:-5] for p in configs.iterdir() if p.name.endswith(".yaml"))
            raise FileNotFoundError(
                f"no settings file {str(name_or_path)!r}; give a path or one of: {', '.join(known)}"
            )
        text = packaged.read_text(encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name_or_path}: not YAML: {error}") from error
    for key, value in (overrides or {}).items():
        _override(values, key, value)
    return settings_from_dict(values)


def settings_from_dict(values: dict[str, Any]) -> Settings:
    """Build settings from nested mappings; see `load_settings` for what is refused."""
    if not isinstance(values, dict):
        raise ValueError("settings must be a mapping")
    _check_keys(Settings, values, "")
    try:
        return dacite.from_dict(
            Settings, values, dacite.Config(cast=[tuple], type_hooks={float: _float}, strict=True)
        )
    except dacite.DaciteError as error:
        raise ValueError(f"settings: {error}") from error


def _float(value: Any) -> Any:
    """YAML reads 1e-4 as a string and 1 as an integer; both are meant as numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"settings: {key!r} goes through {parent!r}, which is not a mapping")
    values[leaf] = value


def _check_keys(cls: type, values: dict[str, Any], prefix: str) -> None:
    hints = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    for key, value in values.items():
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {prefix + near[0]!r}?" if near else f"; known: {known}"
            raise ValueError(f"settings: unknown key {prefix + str(key)!r}{hint}")
        inner = hints[key]
        if isinstance(inner, type) and is_dataclass(inner) and isinstance(value, dict):
            _check_keys(inner, value, f"{prefix}{key}.")
        for item in get_args(inner):
            if isinstance(item, type) and is_dataclass(item) and isinstance(value, list):
                for i, element in enumerate(value):
                    if isinstance(element, dict):
                        _check_keys(item, element, f"{prefix}{key}.{i}.")
