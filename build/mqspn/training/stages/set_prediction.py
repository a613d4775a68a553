"""The last stage: text encoder and query decoder learn set prediction on frozen region states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from torch import Tensor, nn

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import score as score_posts
from mqspn.evaluation.offline import predict_with_states
from mqspn.network.model import Mqspn, token_id
from mqspn.network.query_decoder import SetPrediction
from mqspn.regions.states import RegionStates
from mqspn.settings import Settings
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.stage import Stage
from mqspn.training.set_prediction.examples import Batch, collate, make_examples
from mqspn.training.set_prediction.loss import set_prediction_loss
from mqspn.training.set_prediction.token_loss import TokenLoss

__all__ = ["network_stage"]


class _NetworkLoss(nn.Module):
    """The set-prediction loss of a batch, in FP32 whatever the network computes in.

    With ``token_weight`` the token loss is added to it.
    """

    def __init__(self, model: Mqspn, settings: Settings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings.loss
        self.token_loss = (
            TokenLoss(settings.network.width, len(settings.types)).to(model.device)
            if settings.loss.token_weight
            else None
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = self.model.device
        attention_mask = batch.attention_mask.to(device)
        text_states = self.model.text_encoder(batch.input_ids.to(device), attention_mask)
        predictions = self.model.decode(
            text_states,
            attention_mask,
            batch.visual_states.to(device),
            batch.region_boxes.to(device),
            batch.region_scores.to(device),
        )
        with torch.autocast(device.type, enabled=False):
            full = [SetPrediction(*(t.float() for t in vars(p).values())) for p in predictions]
            losses = set_prediction_loss(full, batch.targets, self.settings)
            if self.token_loss is not None:
                token = self.token_loss(text_states.float(), attention_mask, batch.targets)
                losses = {
                    **losses,
                    "loss": losses["loss"] + self.settings.token_weight * token,
                    "token": token,
                }
        return losses


def network_stage(
    checkpoint: Checkpoint,
    train: Sequence[Post],
    train_regions: RegionStates,
    dev: Sequence[Post],
    dev_regions: RegionStates,
) -> tuple[Stage[Batch], int]:
    """The stage, and how many gold entities could not be kept.

    It is scored by ``training.selection``'s F1 on ``dev`` where that has entities.
    """
    settings, model = checkpoint.settings, checkpoint.model
    training = settings.training
    stage = training.network
    examples, lost = make_examples(
        train,
        train_regions,
        TextTokenizer(checkpoint.tokenizer, settings.serving.buckets),
        types=[t.name for t in settings.types],
        region_iou=settings.loss.region_iou,
    )
    pad = token_id(checkpoint.tokenizer, "[PAD]", "<pad>")
    unknown = token_id(checkpoint.tokenizer, "[UNK]", "<unk>")

    def make(epoch: int, items: NDArray[np.int64]) -> Batch:
        return collate(
            [examples[i] for i in items],
            train_regions,
            pad_token_id=pad,
            unknown_token_id=unknown,
            word_dropout=training.word_dropout,
            entity_dropout=training.entity_dropout,
            image_dropout=training.image_dropout,
            randoms=item_random(training.seed, epoch, items),
        )

    encoder = list(model.text_encoder.encoder.parameters())

    def before_epoch(epoch: int) -> None:
        for parameter in encoder:
            parameter.requires_grad_(epoch >= training.frozen_epochs)
        if training.frozen_embeddings:
            model.text_encoder.encoder.get_input_embeddings().requires_grad_(False)

    def score() -> Mapping[str, float]:
        predicted = predict_with_states(checkpoint, dev, dev_regions)
        scores = score_posts([p.entities for p in dev], predicted)
        f1 = {"gmner": scores.gmner.f1, "mner": scores.mner.f1, "eeg": scores.eeg.f1}
        return {"score": f1[training.selection], **f1}

    # What the token loss begins with must not depend on what this process did before.
    torch.manual_seed(training.seed + 2)
    module = _NetworkLoss(model, settings)
    rest = [
        *model.text_encoder.projection.parameters(),
        *model.region_encoder.projection.parameters(),
        *model.region_encoder.geometry.parameters(),
        *model.region_encoder.norm.parameters(),
        *(p for p in model.query_decoder.parameters() if p.requires_grad),
        *(module.token_loss.parameters() if module.token_loss is not None else ()),
    ]
    return (
        Stage(
            name="network",
            module=module,
            groups=[
                {"params": encoder, "lr": training.encoder_learning_rate},
                {"params": rest},
            ],
            settings=stage,
            seed=training.seed,
            items=len(examples),
            batch_items=stage.batch_size,
            lengths=np.array([len(example.input_ids) for example in examples]),
            make=make,
            frozen=[model.region_proposer, model.region_encoder.vision],
            before_epoch=before_epoch,
            score=score if any(post.entities for post in dev) else None,
            patience_from=training.frozen_epochs,
        ),
        lost,
    )
