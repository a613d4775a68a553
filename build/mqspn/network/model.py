"""The whole MQSPN network: text encoder, region proposer, region encoder and query decoder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from mqspn.errors import BuildError
from mqspn.network.query_decoder import QueryDecoder, SetPrediction
from mqspn.network.region_encoder import RegionEncoder
from mqspn.network.region_proposer import RegionProposer
from mqspn.network.text_encoder import TextEncoder
from mqspn.settings import Settings

__all__ = ["Mqspn", "token_id"]

_PROMPT = "{words} is an entity type about {mask}"


class Mqspn(nn.Module):
    """The whole network as its four parts, each of which becomes one engine.

    ``saved`` is a checkpoint folder: the parts' configurations come from there, and their weights
    are left for the checkpoint to fill.
    """

    def __init__(
        self, settings: Settings, tokenizer: Tokenizer, *, saved: Path | None = None
    ) -> None:
        super().__init__()
        network = settings.network
        prompt_ids, prompt_mask, mask_token_id = _tokenise_prompts(settings, tokenizer)
        self.text_encoder = TextEncoder(
            settings.text_encoder,
            width=network.width,
            vocabulary_size=tokenizer.get_vocab_size(),
            pad_token_id=token_id(tokenizer, "[PAD]", "<pad>"),
            prompt_ids=prompt_ids,
            prompt_mask=prompt_mask,
            mask_token_id=mask_token_id,
            longest=settings.serving.buckets[-1],
            saved=saved and saved / "text_encoder",
        )
        self.region_proposer = RegionProposer(
            settings.region_proposer,
            regions=network.regions,
            saved=saved and saved / "region_proposer",
        )
        self.region_encoder = RegionEncoder(
            settings.region_encoder,
            width=network.width,
            crop_side=network.crop_side,
            crop_supersampling=network.crop_supersampling,
            saved=saved and saved / "region_encoder",
        )
        self.query_decoder = QueryDecoder(network, types=len(settings.types))

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.query_decoder.null_region.device

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        visual_states: Tensor,
        region_boxes: Tensor,
        region_scores: Tensor,
    ) -> list[SetPrediction]:
        """Predict from tokens and the (cached) visual states of proposed regions.

        ``input_ids``, ``attention_mask`` (B, L); ``visual_states`` (B, K, D_visual), see
        `RegionEncoder.visual_states`; ``region_boxes`` (B, K, 4) normalised x1, y1, x2, y2;
        ``region_scores`` (B, K), 0 for padding.
        """
        text_states = self.text_encoder(input_ids, attention_mask)
        return self.decode(text_states, attention_mask, visual_states, region_boxes, region_scores)

    def decode(
        self,
        text_states: Tensor,
        attention_mask: Tensor,
        visual_states: Tensor,
        region_boxes: Tensor,
        region_scores: Tensor,
    ) -> list[SetPrediction]:
        """Predict from text states (B, L, D): `forward` without its text encoder."""
        return self.query_decoder(  # type: ignore[no-any-return]
            text_states,
            attention_mask,
            self.region_encoder.place(visual_states, region_boxes),
            region_scores,
            self.text_encoder.type_states(),
        )


def _tokenise_prompts(settings: Settings, tokenizer: Tokenizer) -> tuple[Tensor, Tensor, int]:
    mask = "[MASK]" if tokenizer.token_to_id("[MASK]") is not None else "<mask>"
    mask_id = token_id(tokenizer, "[MASK]", "<mask>")
    encodings = [
        tokenizer.encode(_PROMPT.format(words=t.prompt, mask=mask)) for t in settings.types
    ]
    length = max(len([m for m in e.attention_mask if m]) for e in encodings)
    pad = token_id(tokenizer, "[PAD]", "<pad>")
    ids = torch.full((len(encodings), length), pad, dtype=torch.int32)
    attention = torch.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        real = [i for i, m in zip(encoding.ids, encoding.attention_mask, strict=True) if m]
        if real.count(mask_id) != 1:
            raise BuildError(f"the tokenizer does not keep {mask} whole in a type prompt")
        ids[row, : len(real)] = torch.tensor(real, dtype=torch.int32)
        attention[row, : len(real)] = 1
    return ids, attention, mask_id


def token_id(tokenizer: Tokenizer, *names: str) -> int:
    """Look up the id of the first of ``names`` that the tokenizer has; BuildError if none."""
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise BuildError(f"the tokenizer has none of the tokens {', '.join(names)}")
