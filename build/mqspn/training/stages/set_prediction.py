"""The last stage: text encoder and query decoder learn set prediction on frozen region states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mqspn_backend.text import TextTokenizer
from numpy.typing import NDArray
from torch import Tensor, nn

from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import score as score_posts
from mqspn.evaluation.offline import predict_with_states
from mqspn.network.model import token_id
from mqspn.network.query_decoder import SetPrediction
from mqspn.regions.states import RegionStates
from mqspn.training.loop.batching import item_random
from mqspn.training.loop.stage import Stage
from mqspn.training.set_prediction.examples import Batch, collate, make_examples
from mqspn.training.set_prediction.loss import set_prediction_loss
from mqspn.training.set_prediction.token_loss import TokenLoss

__all__ = ["SetPredictionStage"]


class SetPredictionStage(Stage[Batch]):
    """Trains the network on region states that stay as they are; "network" in settings and files.

    It is scored by ``training.selection``'s F1 on the dev split where that has entities.
    ``left_out`` is how many gold entities of the train split could not be kept, see
    `mqspn.training.set_prediction.examples.make_examples`.

    Args:
        checkpoint: the network, its tokenizer and the run's settings.
        train, train_regions: the train split, and a row of region states a post.
        dev, dev_regions: the same of the dev split.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        train: Sequence[Post],
        train_regions: RegionStates,
        dev: Sequence[Post],
        dev_regions: RegionStates,
    ) -> None:
        settings = checkpoint.settings
        training = settings.training
        examples, left_out = make_examples(
            train,
            train_regions,
            TextTokenizer(checkpoint.tokenizer, settings.serving.buckets),
            types=[t.name for t in settings.types],
            region_iou=settings.loss.region_iou,
        )
        super().__init__(
            name="network",
            settings=training.network,
            seed=training.seed,
            items=len(examples),
            batch_items=training.network.batch_size,
            lengths=np.array([len(example.input_ids) for example in examples]),
            scored=any(post.entities for post in dev),
            patience_from=training.frozen_epochs,
        )
        self.checkpoint = checkpoint
        self.training_settings = training
        self.loss_settings = settings.loss
        self.examples, self.left_out = examples, left_out
        self.train_regions = train_regions
        self.dev, self.dev_regions = dev, dev_regions
        self.pad_token_id = token_id(checkpoint.tokenizer, "[PAD]", "<pad>")
        self.unknown_token_id = token_id(checkpoint.tokenizer, "[UNK]", "<unk>")
        self.model = checkpoint.model
        # What the token loss begins with must not depend on what this process did before.
        torch.manual_seed(training.seed + 2)
        self.token_loss = (
            TokenLoss(settings.network.width, len(settings.types)).to(self.model.device)
            if settings.loss.token_weight
            else None
        )

    def batch(self, epoch: int, items: NDArray[np.int64]) -> Batch:
        """Collate the examples of ``items``, with tokens and images dropped at random."""
        training = self.training_settings
        return collate(
            [self.examples[i] for i in items],
            self.train_regions,
            pad_token_id=self.pad_token_id,
            unknown_token_id=self.unknown_token_id,
            word_dropout=training.word_dropout,
            entity_dropout=training.entity_dropout,
            image_dropout=training.image_dropout,
            randoms=item_random(self.seed, epoch, items),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the set-prediction loss, in FP32 whatever the network computes in.

        With ``loss.token_weight`` the token loss is added to it.
        """
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
            losses = set_prediction_loss(full, batch.targets, self.loss_settings)
            if self.token_loss is not None:
                token = self.token_loss(text_states.float(), attention_mask, batch.targets)
                losses = {
                    **losses,
                    "loss": losses["loss"] + self.loss_settings.token_weight * token,
                    "token": token,
                }
        return losses

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The text encoder learns at a rate of its own; the rest but the visual side with it."""
        model = self.model
        rest = [
            *model.text_encoder.projection.parameters(),
            *model.region_encoder.projection.parameters(),
            *model.region_encoder.geometry.parameters(),
            *model.region_encoder.norm.parameters(),
            *(p for p in model.query_decoder.parameters() if p.requires_grad),
            *(self.token_loss.parameters() if self.token_loss is not None else ()),
        ]
        encoder = list(model.text_encoder.encoder.parameters())
        rate = self.training_settings.encoder_learning_rate
        return [{"params": encoder, "lr": rate}, {"params": rest}]

    def frozen_parts(self) -> Sequence[nn.Module]:
        """The visual side is frozen: its states are computed once."""
        return [self.model.region_proposer, self.model.region_encoder.vision]

    def before_epoch(self, epoch: int) -> None:
        """Thaw the text encoder after ``training.frozen_epochs``."""
        encoder = self.model.text_encoder.encoder
        encoder.requires_grad_(epoch >= self.training_settings.frozen_epochs)
        if self.training_settings.frozen_embeddings:
            encoder.get_input_embeddings().requires_grad_(False)

    def score(self) -> Mapping[str, float]:
        """Measure F1 on the dev split: "gmner", "mner", "eeg", and "score", one of them."""
        predicted = predict_with_states(self.checkpoint, self.dev, self.dev_regions)
        scores = score_posts([p.entities for p in self.dev], predicted)
        f1 = {"gmner": scores.gmner.f1, "mner": scores.mner.f1, "eeg": scores.eeg.f1}
        return {"score": f1[self.training_settings.selection], **f1}
