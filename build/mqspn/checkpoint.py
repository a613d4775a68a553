"""A checkpoint is a folder: safetensors, settings, tokenizer, the encoders' configurations.

Loading one needs nothing else: no hub, no environment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from mqspn.network import Mqspn
from mqspn.settings import Settings, settings_from_dict

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_WEIGHTS, _SETTINGS, _TOKENIZER = "model.safetensors", "settings.json", "tokenizer.json"
_ENCODERS = {
    "text_encoder": "encoder",
    "region_proposer": "detector",
    "region_encoder": "vision",
}


@dataclass(frozen=True)
class Checkpoint:
    """A network with the settings and the tokenizer it was trained with."""

    settings: Settings
    tokenizer: Tokenizer
    model: Mqspn


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``checkpoint`` to ``folder``, made if absent; its files are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SETTINGS).write_text(checkpoint.settings.to_json(), encoding="utf-8")
    checkpoint.tokenizer.save(str(folder / _TOKENIZER))
    for part, attribute in _ENCODERS.items():
        getattr(getattr(checkpoint.model, part), attribute).config.save_pretrained(folder / part)
    # Tied weights (a detector's shared heads) are separate entries here: each is cloned.
    state = {k: v.detach().clone().contiguous() for k, v in checkpoint.model.state_dict().items()}
    save_file(state, folder / _WEIGHTS)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote, in evaluation mode.

    Raises FileNotFoundError naming the missing file, ValueError where settings and weights differ.
    """
    for name in (_SETTINGS, _TOKENIZER, _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a checkpoint: {name} is missing")
    settings = settings_from_dict(json.loads((folder / _SETTINGS).read_text(encoding="utf-8")))
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    model = Mqspn(settings, tokenizer, saved=folder)
    try:
        model.load_state_dict(load_file(folder / _WEIGHTS))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: the weights do not fit the settings: {error}") from error
    return Checkpoint(settings, tokenizer, model.eval())
