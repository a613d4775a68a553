"""Query-guided fusion network (QFNet): queries stand between text and regions.

Text and regions never mix directly. Each layer lets the queries attend to the text, hands them as
prefix keys and values to the regions' attention, and gathers both modalities by similarity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mqspn.network.attention import MASKED, FeedForward, MultiHeadAttention

__all__ = ["QueryGuidedFusionLayer", "SimilarityAwareAggregator"]


class SimilarityAwareAggregator(nn.Module):
    """F = tanh(H_Q W1 + sum_phi lambda_phi sum_j alpha_j H_phi_j) W2 + b, residual, LayerNorm.

    alpha = softmax_j(H_phi_j . H_Q / sqrt(D)) for phi in text and regions (Tang et al., AAAI 2025;
    the scaling by sqrt(D) is ours, it keeps the softmax soft at every width).
    """

    def __init__(self, width: int, text_weight: float, dropout: float) -> None:
        super().__init__()
        self.text_weight = text_weight
        self.query = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, queries: Tensor, text: Tensor, text_mask: Tensor, regions: Tensor, region_mask: Tensor
    ) -> Tensor:
        """(B, Q, D), (B, L, D), (B, L) bool, (B, R, D), (B, R) bool to (B, Q, D)."""
        gathered = self.text_weight * _gather(queries, text, text_mask) + (
            1.0 - self.text_weight
        ) * _gather(queries, regions, region_mask)
        fused = self.output(torch.tanh(self.query(queries) + gathered))
        return self.norm(queries + self.dropout(fused))  # type: ignore[no-any-return]


def _gather(queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    similarity = queries @ states.transpose(-1, -2) * queries.shape[-1] ** -0.5  # (B, Q, N)
    similarity = similarity.masked_fill(~mask[:, None, :], MASKED)
    return torch.softmax(similarity, dim=-1) @ states


class QueryGuidedFusionLayer(nn.Module):
    """One QFNet layer; each interaction can be switched off for the paper's ablations."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        dropout: float,
        query_self_attention: bool,
        text_cross_attention: bool,
        prefix_integration: bool,
        aggregator: bool,
        aggregator_text_weight: float,
    ) -> None:
        super().__init__()
        self.prefix_integration = prefix_integration
        self.self_attention = (
            MultiHeadAttention(width, heads, dropout) if query_self_attention else None
        )
        self.text_attention = (
            MultiHeadAttention(width, heads, dropout) if text_cross_attention else None
        )
        self.region_attention = MultiHeadAttention(width, heads, dropout)
        self.region_feed_forward = FeedForward(width, dropout)
        self.aggregator = (
            SimilarityAwareAggregator(width, aggregator_text_weight, dropout)
            if aggregator
            else None
        )
        self.query_feed_forward = FeedForward(width, dropout)

    def forward(
        self, queries: Tensor, text: Tensor, text_mask: Tensor, regions: Tensor, region_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One round of fusion.

        ``queries`` (B, Q, D), ``text`` (B, L, D), ``text_mask`` (B, L) bool, ``regions``
        (B, R, D), ``region_mask`` (B, R) bool. Returns the new queries and regions.
        """
        if self.self_attention is not None:
            queries = self.self_attention(queries, queries)
        if self.text_attention is not None:
            queries = self.text_attention(queries, text, text_mask)
        if self.prefix_integration:
            prefix_mask = torch.ones_like(queries[..., 0], dtype=torch.bool)
            keys = torch.cat([queries, regions], dim=1)  # (B, Q + R, D)
            regions = self.region_attention(
                regions, keys, torch.cat([prefix_mask, region_mask], dim=1)
            )
        else:
            regions = self.region_attention(regions, regions, region_mask)
        regions = self.region_feed_forward(regions)
        if self.aggregator is not None:
            queries = self.aggregator(queries, text, text_mask, regions, region_mask)
        return self.query_feed_forward(queries), regions
