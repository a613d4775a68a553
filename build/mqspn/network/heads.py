"""Multimodal set prediction (MSP) heads: span, region and entity class of every query."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mqspn.network.attention import MASKED

__all__ = ["EntityHead", "PointerHead"]


class PointerHead(nn.Module):
    """logits = ReLU(H_Q W_Q + H W) w, one w for each output; a sigmoid makes them probabilities."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.state = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, outputs)
        # Few positions are right: start near p = 0.02, as focal loss does (Lin et al., 2017).
        nn.init.constant_(self.score.bias, -4.0)

    def forward(self, queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D), (B, N, D), (B, N) bool to logits (B, Q, N, outputs), masked ones at -1e4."""
        mixed = self.query(queries)[:, :, None] + self.state(states)[:, None]  # (B, Q, N, D)
        logits = self.score(torch.relu(mixed))
        return logits.masked_fill(~mask[:, None, :, None], MASKED)  # type: ignore[no-any-return]


class EntityHead(nn.Module):
    """Entity class of a query from itself and its own evidence.

    ReLU([H_Q W; P_start . H_T; P_end . H_T; P_region . H_V]) to ``classes`` logits: T + 1 with
    index 0 "no entity", or 2 in the existence form.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.classify = nn.Linear(4 * width, classes)

    def forward(
        self,
        queries: Tensor,
        text: Tensor,
        regions: Tensor,
        start_probs: Tensor,
        end_probs: Tensor,
        region_probs: Tensor,
    ) -> Tensor:
        """(B, Q, D), (B, L, D), (B, R, D), (B, Q, L), (B, Q, L), (B, Q, R) to (B, Q, classes)."""
        evidence = [
            self.query(queries),
            start_probs @ text,
            end_probs @ text,
            region_probs @ regions,
        ]
        return self.classify(torch.relu(torch.cat(evidence, dim=-1)))  # type: ignore[no-any-return]
