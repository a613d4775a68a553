"""The token loss, a help in training: each token says whether an entity begins or goes on there.

A set predictor teaches its text encoder only through the queries that happen to be matched. One
linear layer on TEXT_STATES gives every token a target of its own from the first step on; it is
thrown away after training, and nothing of it is exported.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mqspn.training.loop.processes import mean_over_processes
from mqspn.training.set_prediction.examples import Target

__all__ = ["TokenLoss", "token_labels"]

_IGNORED = -100


class TokenLoss(nn.Module):
    """Cross-entropy of BIO labels, one linear layer on the token states: 2 T + 1 classes."""

    def __init__(self, width: int, types: int) -> None:
        super().__init__()
        self.classify = nn.Linear(width, 2 * types + 1)

    def forward(
        self, text_states: Tensor, attention_mask: Tensor, targets: Sequence[Target]
    ) -> Tensor:
        """Compute the mean over real tokens, a float32 scalar.

        Where processes share a batch, it is divided by the whole batch's share of tokens, as the
        set-prediction loss is.

        Args:
            text_states: (B, L, D) float32.
            attention_mask: (B, L) int32, 0 at padding.
            targets: B of them, see `token_labels`.
        """
        labels = token_labels(attention_mask, targets).to(text_states.device)
        logits = self.classify(text_states).float()
        summed = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
        )
        count = (labels != _IGNORED).sum().to(torch.float32).reshape(1)
        return summed / mean_over_processes(count)[0].clamp(min=1.0)


def token_labels(attention_mask: Tensor, targets: Sequence[Target]) -> Tensor:
    """Label each token of an entity of type t: 2 t - 1 its first one, 2 t its others, 0 the rest.

    Args:
        attention_mask: (B, L) int32, 0 at padding.
        targets: B of them, each of N gold entities: ``types`` (N,) int64, t from 1;
            ``starts``, ``ends`` (N,) int64 token positions, end inclusive.

    Returns (B, L) int64 on the CPU, -100 at padding.
    """
    labels = torch.where(attention_mask.cpu() > 0, 0, _IGNORED).to(torch.int64)
    for row, target in enumerate(targets):
        for kind, start, end in zip(
            target.types.tolist(), target.starts.tolist(), target.ends.tolist(), strict=True
        ):
            labels[row, start : end + 1] = 2 * kind
            labels[row, start] = 2 * kind - 1
    return labels
