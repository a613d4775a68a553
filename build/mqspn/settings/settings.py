"""Every setting of a checkpoint, in frozen keyword-only dataclasses read from one YAML file.

A checkpoint carries its settings, so that loading one needs nothing else. `load_settings` reads a
file or the name of a packaged one (`demo`, `base`, `twitter_gmner`); an unknown key is an error
that names the nearest known one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mqspn_backend.serving_settings import DecodingSettings

from mqspn.settings.bounds import check_bounds
from mqspn.settings.file import build, override, read_mapping

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


MixedPrecision = Literal["no", "fp16", "bf16"]
Selection = Literal["gmner", "mner"]


@dataclass(frozen=True, kw_only=True)
class EntityType:
    """An entity type: its name in answers, its label in the data, its words in the type prompt."""

    name: str
    prompt: str
    label: str

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError(f"settings: types: the prompt of {self.name!r} is empty")


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
    ``token_weight``: of `mqspn.training.token_loss.TokenLoss`, a help for the text encoder that is
    not the paper's (0: without it).
    """

    type_weight: float = 2.0
    boundary_weight: float = 2.0
    region_weight: float = 2.0
    gold_repeats: int = 45
    region_iou: float = 0.5
    bipartite: bool = True
    token_weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One training stage: AdamW with linear warm-up and decay. ``epochs`` 0 leaves it out.

    ``batch_size`` is that of all processes together, which share it. ``accumulation``: batches
    whose mean gradient makes one step. ``patience``: so many epochs without a better score end the
    stage (0: never); it works on the score that chooses the epoch, never on the loss, and counts
    from the first score above 0 on, in the network stage from the end of ``frozen_epochs``.
    ``warmup`` is the share of all steps; ``weight_decay`` spares biases, norms and every other
    parameter of one dimension.
    """

    epochs: int = 0
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip_norm: float = 1.0
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The stages in order: detector on boxes, region encoder on crops, then the network.

    The first two serve those who have no pretrained weights; with pretrained ones leave their
    ``epochs`` at 0. The visual encoder is frozen in the network stage. ``encoder_learning_rate``
    is the text encoder's; ``frozen_epochs`` of the network stage keep it frozen;
    ``frozen_embeddings``: its word embeddings stay as pretrained throughout, so that words which
    training never sees keep their place among those that it does.
    ``vocabulary_size``: of the WordPiece trained where the text encoder is not pretrained.
    ``image_dropout``: share of posts shown without their image in an epoch of the network stage;
    ``word_dropout``: share of the tokens outside entities replaced by [UNK] there;
    ``entity_dropout``: of those inside, so that names are also learnt by what stands around them.
    ``selection``: the F1 on dev that chooses the network's epoch; text-only data wants "mner".
    ``mixed_precision`` is that of every forward pass that learns; losses, weights and scoring stay
    in FP32. ``save_every_minutes``: how often the run's state is kept (0: after every step).
    """

    seed: int = 17
    mixed_precision: MixedPrecision = "no"
    save_every_minutes: float = 5.0
    selection: Selection = "gmner"
    vocabulary_size: int = 4000
    region_proposer: StageSettings = StageSettings()
    region_encoder: StageSettings = StageSettings()
    network: StageSettings = StageSettings(epochs=50)
    encoder_learning_rate: float = 2e-5
    frozen_epochs: int = 5
    frozen_embeddings: bool = False
    image_dropout: float = 0.0
    word_dropout: float = 0.0
    entity_dropout: float = 0.0


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
        check_bounds(self)
        if not self.types:
            raise ValueError("settings: types must name at least one entity type")
        for key in ("name", "label"):
            values = [getattr(t, key) for t in self.types]
            for value in values:
                if not value or values.count(value) > 1:
                    raise ValueError(
                        f"settings: types: the {key} {value!r} must not be empty nor stand twice"
                    )
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
        stages = self.training
        if not (
            stages.region_proposer.epochs or stages.region_encoder.epochs or stages.network.epochs
        ):
            raise ValueError("settings: training: a stage must have epochs; all three have 0")
        buckets = self.serving.buckets
        if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 3:
            raise ValueError("settings: serving.buckets must increase and hold at least 3 tokens")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def load_settings(name_or_path: str | Path, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from a YAML or JSON file, or a packaged file by its name.

    A file may say ``extends:`` with the name or path (from its own folder) of another; mappings are
    merged, everything else replaces. ``overrides`` maps dotted keys to values, as
    ``{"network.layers": 2, "types.0.prompt": "a person"}``. Raises ValueError for an unknown key
    (naming the nearest), a value of the wrong type or out of its bounds
    (`mqspn.settings.bounds`), or a missing key, and FileNotFoundError naming the packaged files.
    """
    values = read_mapping(name_or_path)
    return settings_from_dict(override(Settings, values, overrides) if overrides else values)


def settings_from_dict(values: dict[str, Any]) -> Settings:
    """Build settings from nested mappings; see `load_settings` for what is refused."""
    return build(Settings, values)
