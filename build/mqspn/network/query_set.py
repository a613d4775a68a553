"""Multi-grained query set (MQS): type-grained plus entity-grained queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MultiGrainedQuerySet"]


class MultiGrainedQuerySet(nn.Module):
    """Q queries, each the sum of its type-grained and its entity-grained half.

    Type-grained: the language model's state at [MASK] in the type's prompt, each type repeated
    Q / T times in a row. Entity-grained: Q learned vectors, initialised N(0, 0.02); switched off,
    the same draw stays fixed, so that the queries of one type can still differ.
    """

    def __init__(
        self, *, queries: int, types: int, width: int, type_prompts: bool, entity_queries: bool
    ) -> None:
        super().__init__()
        self.repeats = queries // types
        self.type_prompts = type_prompts
        self.entity_grained = nn.Parameter(
            torch.randn(queries, width) * 0.02, requires_grad=entity_queries
        )

    def forward(self, type_states: Tensor) -> Tensor:
        """``type_states`` (T, D), see `TextEncoder.type_states`, to queries (Q, D)."""
        if not self.type_prompts:
            return self.entity_grained
        return type_states.repeat_interleave(self.repeats, dim=0) + self.entity_grained
