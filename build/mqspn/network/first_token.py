"""CLIP's pooled state without what does not reach it.

The pooled state is the last layer's first token. So that layer makes keys and values of all tokens,
and everything else of the first one alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionModel

__all__ = ["pooled_states"]


def pooled_states(vision: CLIPVisionModel, pixels: Tensor) -> Tensor:
    """Compute the ``pooler_output`` of ``vision`` for ``pixels`` (N, 3, H, W): (N, D_visual)."""
    states = vision.pre_layrnorm(vision.embeddings(pixels))  # (N, tokens, D_visual)
    *layers, last = vision.encoder.layers
    for layer in layers:
        states = layer(states, attention_mask=None)
    first = states[:, :1] + _attend_from_first(last.self_attn, last.layer_norm1(states))
    first = first + last.mlp(last.layer_norm2(first))
    return vision.post_layernorm(first.squeeze(1))  # type: ignore[no-any-return]


def _attend_from_first(attention: Any, states: Tensor) -> Tensor:
    """CLIP's self-attention for the first of ``states`` (N, tokens, D) only: (N, 1, D)."""
    N, _, D = states.shape
    heads = (N, -1, attention.num_heads, attention.head_dim)
    queries = (
        attention.q_proj(states[:, :1]).view(heads).transpose(1, 2)
    )  # (N, heads, 1, D / heads)
    keys = attention.k_proj(states).view(heads).transpose(1, 2)
    values = attention.v_proj(states).view(heads).transpose(1, 2)
    weights = torch.softmax(queries @ keys.transpose(-1, -2) * attention.scale, dim=-1)
    if attention.training:
        weights = torch.nn.functional.dropout(weights, attention.dropout)
    mixed = (weights @ values).transpose(1, 2).reshape(N, 1, D)
    return attention.out_proj(mixed)  # type: ignore[no-any-return]
