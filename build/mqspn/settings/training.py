"""Settings of training: the loss, one stage, and the run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from mqspn.settings.field_types import STRICT, Number

__all__ = ["LossSettings", "MixedPrecision", "Selection", "StageSettings", "TrainingSettings"]

MixedPrecision = Literal["no", "fp16", "bf16"]
Selection = Literal["gmner", "mner"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LossSettings:
    """Matching of queries to gold entities, and the loss of the matched ones."""

    type_weight: Number = Field(
        default=2.0,
        ge=0,
        description=(
            "The weight of the entity type in cost and loss. Raise it where spans are right and "
            "types wrong."
        ),
    )
    boundary_weight: Number = Field(
        default=2.0,
        ge=0,
        description=(
            "The weight of start and end in cost and loss. Raise it where spans are cut wrongly."
        ),
    )
    region_weight: Number = Field(
        default=2.0,
        ge=0,
        description=(
            "The weight of the region in cost and loss. Lower it for text-only data; raise it "
            "where entities are right and boxes wrong."
        ),
    )
    gold_repeats: int = Field(
        default=45,
        ge=1,
        description=(
            "The number of queries that learn from a post's gold entities, each entity being "
            "repeated for several queries. Three quarters of `network.queries` work well; change "
            "both together."
        ),
    )
    region_iou: Number = Field(
        default=0.5,
        gt=0,
        lt=1,
        description=(
            "A proposal is a right region where its IoU with a gold box is above this. Lower it "
            "where proposals fit loosely; the metrics stay at 0.5."
        ),
    )
    bipartite: bool = Field(
        default=True,
        description=(
            "Gold entities go to queries by least cost; off, they are dealt in order. Turn it off "
            "for the paper's ablation only."
        ),
    )
    token_weight: Number = Field(
        default=0.0,
        ge=0,
        description=(
            "The weight of a BIO loss on the tokens, a help for the text encoder that is not the "
            "paper's; 0 leaves it out. Set it to 5 for text-only training on tweets: it brought "
            "two points of F1 there."
        ),
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageSettings:
    """One training stage: AdamW with linear warm-up and decay."""

    epochs: int = Field(
        default=0,
        ge=0,
        description=(
            "The number of passes over the training posts; 0 leaves the stage out. Raise it while "
            "scores on dev still rise."
        ),
    )
    batch_size: int = Field(
        default=16,
        ge=1,
        description=(
            "The number of examples of a batch, of all processes together. Lower it, with more "
            "`accumulation`, where memory runs out."
        ),
    )
    accumulation: int = Field(
        default=1,
        ge=1,
        description=(
            "The number of batches whose mean gradient makes one step. Raise it where a smaller "
            "`batch_size` has to fit into memory."
        ),
    )
    learning_rate: Number = Field(
        default=2e-5,
        ge=0,
        description=(
            "AdamW's learning rate at the end of the warm-up. Raise it for weights that start "
            "random; lower it where the loss jumps."
        ),
    )
    weight_decay: Number = Field(
        default=0.01,
        ge=0,
        description=(
            "AdamW's weight decay; it spares biases, norms and every other parameter of one "
            "dimension. Raise it where training overfits."
        ),
    )
    warmup: Number = Field(
        default=0.05,
        ge=0,
        le=1,
        description=(
            "The share of all steps over which the learning rate rises from 0. Raise it where the "
            "first steps diverge."
        ),
    )
    clip_norm: Number = Field(
        default=1.0,
        gt=0,
        description=(
            "The largest norm of a step's gradient; what is above is scaled down to it. Lower it "
            "where the loss jumps."
        ),
    )
    patience: int = Field(
        default=0,
        ge=0,
        description=(
            "The stage ends after so many epochs without a better score on dev; 0 never ends it "
            "early. It counts from the first score above 0, and in the network stage from the end "
            "of `training.frozen_epochs`. Set it to spare hours; the detector's stage has no score "
            "and takes 0 only."
        ),
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingSettings:
    """The stages in order: detector on boxes, region encoder on crops, then the network."""

    seed: int = Field(
        default=17,
        ge=0,
        le=2**62,
        description=(
            "The seed of first weights, order and dropout. Change it to see how much of a "
            "difference is chance."
        ),
    )
    mixed_precision: Annotated[
        MixedPrecision,
        # YAML reads a bare no as false.
        BeforeValidator(lambda value: "no" if value is False else value),
    ] = Field(
        default="no",
        description=(
            "The type of the forward passes that learn; losses, weights and scoring stay in FP32. "
            "Choose bf16 on a GPU that has it, fp16 on an older one."
        ),
    )
    save_every_minutes: Number = Field(
        default=5.0,
        ge=0,
        description=(
            "The minutes between two saved states of the run; 0 saves after every step. Lower it "
            "where machines are taken away often."
        ),
    )
    selection: Selection = Field(
        default="gmner",
        description=(
            "The F1 on dev that chooses the network's epoch. Choose mner for data without images."
        ),
    )
    vocabulary_size: int = Field(
        default=4000,
        # The special tokens and the characters that every WordPiece here begins with.
        ge=100,
        description=(
            "The number of tokens of the WordPiece trained where the text encoder is not "
            "pretrained. Raise it for data with many different words."
        ),
    )
    region_proposer: StageSettings = Field(
        default=StageSettings(),
        description=(
            "The detector's stage, on every annotated box. A pretrained detector can do without; "
            "its epochs are 0 by default."
        ),
    )
    region_encoder: StageSettings = Field(
        default=StageSettings(),
        description=(
            "The visual encoder's stage, on crops of annotated objects that only synthetic posts "
            "have. Leave its epochs at 0 for all other data."
        ),
    )
    network: StageSettings = Field(
        default=StageSettings(epochs=50),
        description=(
            "The last stage: text encoder and query decoder learn, and the visual side is frozen. "
            "Its learning rate is the decoder's. Where a file gives this section without epochs, "
            "they are 0."
        ),
    )
    encoder_learning_rate: Number = Field(
        default=2e-5,
        ge=0,
        description=(
            "The text encoder's learning rate in the network stage. Raise it with few posts or "
            "random weights; lower it to keep more of the pretraining."
        ),
    )
    frozen_epochs: int = Field(
        default=5,
        ge=0,
        description=(
            "The first epochs of the network stage in which the text encoder is frozen. Set it to "
            "0 for an encoder that starts random."
        ),
    )
    frozen_embeddings: bool = Field(
        default=False,
        description=(
            "The text encoder's word embeddings stay as pretrained throughout. Turn it on where "
            "posts have many words that training never sees."
        ),
    )
    image_dropout: Number = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "The share of posts shown without their image in an epoch of the network stage. Raise "
            "it where posts without image must be answered well."
        ),
    )
    word_dropout: Number = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "The share of tokens outside entities that the network stage replaces by [UNK]. Raise "
            "it where training learns sentences by heart."
        ),
    )
    entity_dropout: Number = Field(
        default=0.0,
        ge=0,
        le=1,
        description=(
            "The share of tokens inside entities that the network stage replaces by [UNK]. Raise "
            "it so that names are also learnt from the words around them."
        ),
    )

    @model_validator(mode="after")
    def _check_epochs(self) -> TrainingSettings:
        stages: tuple[Any, ...] = (self.region_proposer, self.region_encoder, self.network)
        if not any(stage.epochs for stage in stages):
            raise ValueError("training: a stage must have epochs; all three have 0")
        return self
