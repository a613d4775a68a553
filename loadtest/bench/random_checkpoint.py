"""Make a checkpoint at the paper's sizes with random weights, to time where none is trained.

An untrained network says nearly the same of every query, and no entity passes a threshold: two
servers would agree whatever they compute. So its heads' logits are spread, as training does it,
and every query that has a type is an entity. The answers mean nothing, and change with every layer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.network import Mqspn
from mqspn.settings import Settings, load_settings
from mqspn.training.tokenizer import build_tokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn

__all__ = ["paper_settings", "write_random_checkpoint"]

#: BERT-base's vocabulary (cased); the synthetic posts have far fewer words.
VOCABULARY = 28_996


def paper_settings() -> Settings:
    """Make settings of the paper's sizes, with every entity an answer."""
    return load_settings("base_untrained", {"decoding.entity_threshold": 0.0})


def write_random_checkpoint(
    folder: Path, texts: Sequence[str], *, settings: Settings | None = None, seed: int = 0
) -> None:
    """Write a checkpoint of ``settings`` (the paper's) whose tokenizer knows the ``texts``."""
    settings = settings or paper_settings()
    tokenizer = _fill_vocabulary(build_tokenizer(settings, texts), VOCABULARY)
    torch.manual_seed(seed)
    model = Mqspn(settings, tokenizer).eval()
    _spread(model)
    _spread_scores(model, settings.image_side)
    save_checkpoint(Checkpoint(settings, tokenizer, model), folder)


def _fill_vocabulary(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The same tokenizer with entries that no text has, up to ``size``."""
    values = json.loads(tokenizer.to_str())
    vocabulary = values["model"]["vocab"]
    for index in range(len(vocabulary), size):
        vocabulary[f"[unused{index}]"] = index
    return Tokenizer.from_str(json.dumps(values))


@torch.no_grad()
def _spread(model: Mqspn) -> None:
    """Make queries differ, and the logits of types, positions and regions by some units."""
    decoder = model.query_decoder
    decoder.query_set.entity_grained.mul_(50.0)  # from a deviation of 0.02 to 1
    decoder.span_head.score.weight.mul_(20.0)
    decoder.region_head.score.weight.mul_(20.0)
    decoder.entity_head.classify.weight.mul_(10.0)


@torch.no_grad()
def _spread_scores(model: Mqspn, side: int) -> None:
    """Score boxes along the direction in which the detector's last states differ second most.

    In the direction in which they differ most, the image's edges all score alike. A detector
    without DETR's class layers is left as it is.
    """
    called: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        part.register_forward_pre_hook(lambda part, inputs: called.append((part, inputs[0])))
        for name, part in model.region_proposer.detector.named_modules()
        if isinstance(part, nn.Linear) and "class_embed" in name
    ]
    tiles = torch.rand(4, 3, 10, 10)
    pixels = nn.functional.interpolate(255 * tiles, (side, side)).to(torch.uint8)
    model.region_proposer(pixels, torch.full((4, 2), side, dtype=torch.int32))
    for hook in hooks:
        hook.remove()
    if not called:
        return
    layer, states = called[-1][0], called[-1][1].flatten(0, 1)  # (B * queries, width)
    centre = states.mean(dim=0)
    direction = torch.linalg.svd(states - centre, full_matrices=False).Vh[1]
    weight = direction * (1.5 / ((states - centre) @ direction).std())
    layer.weight.copy_(weight.expand_as(layer.weight))
    layer.bias.fill_(float(-(centre @ weight)))
