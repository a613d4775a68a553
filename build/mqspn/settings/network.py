"""Settings of the network: entity types, encoders, and the query decoder."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mqspn.settings.field_types import STRICT, FreeMapping, Number, Positive

__all__ = ["EncoderSettings", "EntityType", "NetworkSettings"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EntityType:
    """An entity type."""

    name: str = Field(
        min_length=1,
        description="The type's name in answers and scores. Each type has its own.",
    )
    prompt: str = Field(
        pattern=r"\S",
        description=(
            "The type's words in the prompt from which its queries start. Choose the words that a "
            "reader would use."
        ),
    )
    label: str = Field(
        min_length=1,
        description=(
            "The type's label in the data, without B- or I-. Change it where the data name the "
            "type otherwise than the answers should."
        ),
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EncoderSettings:
    """A `transformers` model: pretrained, or from a configuration with random weights."""

    pretrained: str | None = Field(
        default=None,
        description=(
            "A model of the Hugging Face hub by name, or a local folder, whose weights training "
            "starts from. Leave it null to start from random weights."
        ),
    )
    config: FreeMapping = Field(
        default_factory=dict,
        description=(
            "A `transformers` configuration with its `model_type`, handed on as it is. It is used "
            "where `pretrained` is null."
        ),
    )
    pixel_mean: tuple[Number, Number, Number] = Field(
        default=(0.0, 0.0, 0.0),
        description=(
            "The mean that the graph takes from red, green and blue, of pixels scaled to [0, 1]. "
            "Give what a pretrained image encoder was trained with; a text encoder ignores it."
        ),
    )
    pixel_std: tuple[Positive, Positive, Positive] = Field(
        default=(1.0, 1.0, 1.0),
        description=(
            "The standard deviation that the graph divides red, green and blue by, of pixels "
            "scaled to [0, 1]. Give what a pretrained image encoder was trained with; a text "
            "encoder ignores it."
        ),
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkSettings:
    """Sizes of the query decoder and which of its parts are on (off: the paper's ablations)."""

    width: int = Field(
        default=768,
        ge=1,
        description=(
            "The size D of every state in the query decoder; text states of another size are "
            "projected to it. Choose the text encoder's hidden size, or less for a faster decoder."
        ),
    )
    queries: int = Field(
        default=60,
        ge=1,
        description=(
            "The number Q of queries a post, a multiple of the number of types: an answer has at "
            "most so many entities. Raise it for posts with many entities or for many types; "
            "serving slows down with it."
        ),
    )
    layers: int = Field(
        default=3,
        ge=1,
        description="The number of QFNet layers. Lower it for a smaller and faster decoder.",
    )
    heads: int = Field(
        default=8,
        ge=1,
        description="The number of attention heads of a layer. `network.width` is a multiple.",
    )
    dropout: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=(
            "The share of the query decoder's activations that training drops. Raise it where "
            "scores on dev fall while the loss does too."
        ),
    )
    regions: int = Field(
        default=16,
        ge=1,
        description=(
            "The number K of candidate regions an image. Raise it where `mqspn evaluate` reports "
            "a low recall of proposals; each region is encoded, so serving slows down with it."
        ),
    )
    crop_side: int = Field(
        default=128,
        ge=1,
        description=(
            "The side of a region's square crop in pixels, a multiple of the region encoder's "
            "patch size. Raise it where details matter; the work grows with its square."
        ),
    )
    crop_supersampling: int = Field(
        default=2,
        ge=1,
        description=(
            "A pixel of a crop is the mean of so many squared samples of the image. Raise it where "
            "large regions look jagged; 1 takes a single sample."
        ),
    )
    type_prompts: bool = Field(
        default=True,
        description=(
            "Queries start from the text encoder's state of their type's prompt. Turn it off for "
            "the paper's ablation only."
        ),
    )
    entity_queries: bool = Field(
        default=True,
        description=(
            "Each query adds a learned vector of its own. Turn it off for the paper's ablation "
            "only."
        ),
    )
    query_self_attention: bool = Field(
        default=True,
        description=(
            "Queries attend to each other in every layer. Turn it off to measure what that brings."
        ),
    )
    text_cross_attention: bool = Field(
        default=True,
        description=(
            "Queries attend to the text in every layer. Turn it off for the paper's ablation only."
        ),
    )
    prefix_integration: bool = Field(
        default=True,
        description=(
            "Queries join the keys and values of the regions' attention. Turn it off for the "
            "paper's ablation only."
        ),
    )
    aggregator: bool = Field(
        default=True,
        description=(
            "Queries gather text and regions by similarity. It is the paper's part; turn it off "
            "where a run without it scores better, as on synthetic posts."
        ),
    )
    aggregator_text_weight: Number = Field(
        default=0.5,
        ge=0,
        le=1,
        description=(
            "The weight of the text in the aggregator; the regions have the rest to 1. Raise it "
            "where images say little."
        ),
    )
    existence_form: bool = Field(
        default=False,
        description=(
            "The entity head says only whether a query's entity exists, and its type is that of "
            "its prompt, as in the paper; otherwise a softmax over all types and none decides. "
            "Turn it on to follow the paper to the letter."
        ),
    )

    @model_validator(mode="after")
    def _check_heads(self) -> NetworkSettings:
        if self.width % self.heads:
            raise ValueError(
                f"network.width ({self.width}) must be a multiple of network.heads ({self.heads})"
            )
        return self
