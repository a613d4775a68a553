"""The last stage: text encoder and query decoder learn set prediction on frozen region states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from mqspn_backend.text import TextTokenizer
from torch import Tensor

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import score as score_posts
from mqspn.evaluation.offline import predict_with_states
from mqspn.network.model import token_id
from mqspn.training.examples import Batch, collate, make_examples
from mqspn.training.loss import set_prediction_loss
from mqspn.training.region_states import RegionStates
from mqspn.training.stage import Stage

__all__ = ["network_stage"]


def network_stage(
    checkpoint: Checkpoint,
    train: Sequence[Post],
    train_regions: RegionStates,
    dev: Sequence[Post],
    dev_regions: RegionStates,
) -> tuple[Stage[Batch], int]:
    """The stage, and how many gold entities could not be kept.

    It is scored by GMNER F1 on ``dev`` where that has entities.
    """
    settings, model = checkpoint.settings, checkpoint.model
    training = settings.training
    stage = training.network
    text = TextTokenizer(checkpoint.tokenizer, settings.serving.buckets)
    examples, lost = make_examples(
        train,
        train_regions,
        text,
        types=[t.name for t in settings.types],
        region_iou=settings.loss.region_iou,
    )
    pad = token_id(checkpoint.tokenizer, "[PAD]", "<pad>")
    unknown = token_id(checkpoint.tokenizer, "[UNK]", "<unk>")

    def batches(epoch: int, random: np.random.Generator) -> Iterator[Batch]:
        order = random.permutation(len(examples))
        for first in range(0, len(order), stage.batch_size):
            yield collate(
                [examples[i] for i in order[first : first + stage.batch_size]],
                train_regions,
                pad_token_id=pad,
                unknown_token_id=unknown,
                word_dropout=training.word_dropout,
                image_dropout=training.image_dropout,
                random=random,
            )

    def loss(batch: Batch) -> dict[str, Tensor]:
        predictions = model(
            batch.input_ids.to(model.device),
            batch.attention_mask.to(model.device),
            batch.visual_states.to(model.device),
            batch.region_boxes.to(model.device),
            batch.region_scores.to(model.device),
        )
        return set_prediction_loss(predictions, batch.targets, settings.loss)

    encoder = list(model.text_encoder.encoder.parameters())

    def before_epoch(epoch: int) -> None:
        model.region_proposer.eval()
        model.region_encoder.vision.eval()
        for parameter in encoder:
            parameter.requires_grad_(epoch >= training.frozen_epochs)

    def score() -> float:
        predicted = predict_with_states(checkpoint, dev, dev_regions)
        return score_posts([p.entities for p in dev], predicted).gmner.f1

    for frozen in (model.region_proposer, model.region_encoder.vision):
        frozen.requires_grad_(False)
    rest = [
        *model.text_encoder.projection.parameters(),
        *model.region_encoder.projection.parameters(),
        *model.region_encoder.geometry.parameters(),
        *model.region_encoder.norm.parameters(),
        *(p for p in model.query_decoder.parameters() if p.requires_grad),
    ]
    return (
        Stage(
            name="network",
            module=model,
            groups=[
                {"params": encoder, "lr": training.encoder_learning_rate},
                {"params": rest},
            ],
            settings=stage,
            seed=training.seed,
            steps=-(-len(examples) // stage.batch_size),
            batches=batches,
            loss=loss,
            before_epoch=before_epoch,
            score=score if any(post.entities for post in dev) else None,
        ),
        lost,
    )
