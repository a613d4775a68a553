"""The two transformer sublayers QFNet is made of: multi-head attention and the feed-forward net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FeedForward", "MultiHeadAttention"]

#: The logit of what may not be attended to; finite, so that FP16 graphs stay finite.
MASKED = -1e4


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention (Vaswani et al., 2017), with residual and LayerNorm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from ``queries`` (B, M, D) to ``keys`` (B, N, D).

        ``mask`` (B, N) is true where a key may be attended to. Returns (B, M, D).
        """
        B, M, D = queries.shape
        head_width = D // self.heads

        def split(states: Tensor) -> Tensor:  # (B, N, D) -> (B, heads, N, D / heads)
            return states.view(states.shape[0], -1, self.heads, head_width).transpose(1, 2)

        q, k, v = split(self.query(queries)), split(self.key(keys)), split(self.value(keys))
        logits = q @ k.transpose(-1, -2) * head_width**-0.5  # (B, heads, M, N)
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], MASKED)
        weights = self.dropout(torch.softmax(logits, dim=-1))
        mixed = (weights @ v).transpose(1, 2).reshape(B, M, D)
        return self.norm(queries + self.dropout(self.output(mixed)))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Position-wise feed-forward net with residual and LayerNorm."""

    def __init__(self, width: int, dropout: float, expansion: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        """Transform each of N states by itself: (B, N, D) to (B, N, D)."""
        return self.norm(states + self.layers(states))  # type: ignore[no-any-return]
