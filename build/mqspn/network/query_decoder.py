"""The query decoder: query set, QFNet and prediction heads, exported as one graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mqspn.network.attention import MASKED
from mqspn.network.heads import EntityHead, PointerHead
from mqspn.network.qfnet import QueryGuidedFusionLayer
from mqspn.network.query_set import MultiGrainedQuerySet
from mqspn.settings import NetworkSettings

__all__ = ["QueryDecoder", "SetPrediction"]


@dataclass(frozen=True)
class SetPrediction:
    """The predictions of one QFNet layer for every query.

    ``type_log_probs`` (B, Q, T + 1), index 0 "no entity"; ``start_logits``, ``end_logits``
    (B, Q, L); ``region_logits`` (B, Q, R), index 0 the null region. All float32.
    """

    type_log_probs: Tensor
    start_logits: Tensor
    end_logits: Tensor
    region_logits: Tensor

    def probabilities(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn them into TYPE_PROBS, START_PROBS, END_PROBS, REGION_PROBS, all float32."""
        return (
            self.type_log_probs.exp(),
            self.start_logits.sigmoid(),
            self.end_logits.sigmoid(),
            self.region_logits.sigmoid(),
        )


class QueryDecoder(nn.Module):
    """Predict a set of grounded entities from text and region states."""

    def __init__(self, settings: NetworkSettings, *, types: int) -> None:
        super().__init__()
        width = settings.width
        self.types = types
        self.existence_form = settings.existence_form
        self.query_set = MultiGrainedQuerySet(
            queries=settings.queries,
            types=types,
            width=width,
            type_prompts=settings.type_prompts,
            entity_queries=settings.entity_queries,
        )
        self.null_region = nn.Parameter(torch.randn(width) * 0.02)
        self.layers = nn.ModuleList(
            QueryGuidedFusionLayer(
                width=width,
                heads=settings.heads,
                dropout=settings.dropout,
                query_self_attention=settings.query_self_attention,
                text_cross_attention=settings.text_cross_attention,
                prefix_integration=settings.prefix_integration,
                aggregator=settings.aggregator,
                aggregator_text_weight=settings.aggregator_text_weight,
            )
            for _ in range(settings.layers)
        )
        self.span_head = PointerHead(width, outputs=2)
        self.region_head = PointerHead(width, outputs=1)
        self.entity_head = EntityHead(width, classes=2 if settings.existence_form else types + 1)

    def forward(
        self,
        text_states: Tensor,
        attention_mask: Tensor,
        region_states: Tensor,
        region_scores: Tensor,
        type_states: Tensor,
    ) -> list[SetPrediction]:
        """Predict entities after every QFNet layer; the last prediction is the answer.

        ``text_states`` (B, L, D), ``attention_mask`` (B, L), ``region_states`` (B, K, D),
        ``region_scores`` (B, K) with 0 for padding, ``type_states`` (T, D).
        """
        B = text_states.shape[0]
        text_mask = attention_mask > 0
        null = self.null_region.expand(B, 1, -1)
        regions = torch.cat([null, region_states], dim=1)  # (B, R, D)
        region_mask = torch.cat([torch.ones_like(null[..., 0]), region_scores], dim=1) > 0
        queries = self.query_set(type_states).expand(B, -1, -1)  # (B, Q, D)
        predictions = []
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            queries, regions = layer(queries, text_states, text_mask, regions, region_mask)
            if self.training or i == last:
                predictions.append(
                    self._predict(queries, text_states, text_mask, regions, region_mask)
                )
        return predictions

    def _predict(
        self, queries: Tensor, text: Tensor, text_mask: Tensor, regions: Tensor, region_mask: Tensor
    ) -> SetPrediction:
        start_logits, end_logits = self.span_head(queries, text, text_mask).unbind(dim=-1)
        region_logits = self.region_head(queries, regions, region_mask).squeeze(-1)
        logits = self.entity_head(
            queries,
            text,
            regions,
            start_logits.sigmoid(),
            end_logits.sigmoid(),
            region_logits.sigmoid(),
        )
        log_probs = torch.log_softmax(logits, dim=-1)
        if self.existence_form:
            log_probs = self._spread_existence(log_probs)
        return SetPrediction(log_probs, start_logits, end_logits, region_logits)

    def _spread_existence(self, log_probs: Tensor) -> Tensor:
        """(B, Q, 2) to (B, Q, T + 1): existence goes to the query's own type, 0 to the others."""
        own = torch.eye(self.types, device=log_probs.device, dtype=torch.bool)
        own = own.repeat_interleave(self.query_set.repeats, dim=0)  # (Q, T)
        existence = torch.where(own, log_probs[..., 1:], log_probs.new_tensor(MASKED))
        return torch.cat([log_probs[..., :1], existence], dim=-1)
