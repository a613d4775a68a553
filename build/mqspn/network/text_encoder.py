"""Encode texts with any BERT-type `transformers` encoder, projected to the decoder's width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from mqspn.errors import BuildError
from mqspn.network.pretrained import build_transformer
from mqspn.settings import EncoderSettings

__all__ = ["TextEncoder"]


class TextEncoder(nn.Module):
    """Encode the tokens of texts; also the type prompts, each by its state at [MASK].

    ``prompt_ids`` (T, P) and ``prompt_mask`` (T, P) are the tokenised prompts and
    ``mask_token_id`` the [MASK] each holds once. ``longest``: the most tokens a text may have.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor

    def __init__(
        self,
        settings: EncoderSettings,
        *,
        width: int,
        vocabulary_size: int,
        pad_token_id: int,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        mask_token_id: int,
        longest: int,
        saved: Path | None = None,
    ) -> None:
        super().__init__()
        self.encoder = build_transformer(
            AutoModel,
            settings,
            saved,
            part="text_encoder",
            vocab_size=vocabulary_size,
            pad_token_id=pad_token_id,
        )
        _check_encodes_tokens(self.encoder)
        hidden = self.encoder.config.hidden_size
        positions = getattr(self.encoder.config, "max_position_embeddings", longest)
        if longest > positions:
            raise BuildError(
                f"settings: serving.buckets reach {longest} tokens, the text encoder {positions}"
            )
        self.projection = nn.Identity() if hidden == width else nn.Linear(hidden, width)
        self.register_buffer("prompt_ids", prompt_ids, persistent=False)
        self.register_buffer("prompt_mask", prompt_mask, persistent=False)
        self.mask_token_id = mask_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode ``input_ids`` as TEXT_STATES (B, L, D) float32.

        ``input_ids`` and ``attention_mask``: (B, L) int32.
        """
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.projection(states)  # type: ignore[no-any-return]

    def type_states(self) -> Tensor:
        """Compute each type prompt's state at [MASK], (T, D) float32."""
        states = self(self.prompt_ids, self.prompt_mask)  # (T, P, D)
        at_mask = torch.eq(self.prompt_ids, self.mask_token_id).to(states.dtype)  # (T, P)
        return torch.einsum("tp,tpd->td", at_mask, states)


def _check_encodes_tokens(encoder: Any) -> None:
    """Raise BuildError for a model of images, or one whose states a decoder makes."""
    config = encoder.config
    embeddings = encoder.get_input_embeddings()
    if config.is_encoder_decoder or not isinstance(embeddings, nn.Embedding):
        raise BuildError(
            f"settings: text_encoder is a {config.model_type!r}, no BERT-like encoder of texts; "
            "name another model in its `pretrained`, or another model_type in its `config`"
        )
