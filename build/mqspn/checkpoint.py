"""Save and load checkpoints: folders of weights, settings, tokenizer, encoder configurations.

Loading one needs nothing else: no hub, no environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from mqspn.errors import BuildError
from mqspn.files.replace import replacing_contents
from mqspn.network import Mqspn
from mqspn.settings import Settings, settings_from_dict

__all__ = [
    "Checkpoint",
    "check_complete",
    "holds_weights",
    "load_checkpoint",
    "read_report",
    "save_checkpoint",
]

_WEIGHTS, _SETTINGS, _TOKENIZER = "model.safetensors", "settings.json", "tokenizer.json"
_REPORT = "training_report.json"
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


def save_checkpoint(
    checkpoint: Checkpoint, folder: Path, *, report: Mapping[str, Any] | None = None
) -> None:
    """Write ``checkpoint`` to ``folder``, made if absent; its files are replaced, others stay.

    ``report``: what is said of the training beside it. A kill leaves an earlier checkpoint, none
    or this one, see `replacing_contents`.
    """
    # Tied weights (a detector's shared heads) are separate entries here: each is cloned.
    state = {k: v.detach().clone().contiguous() for k, v in checkpoint.model.state_dict().items()}
    with replacing_contents(folder, last=_WEIGHTS, gone=_REPORT) as staged:
        (staged / _SETTINGS).write_text(checkpoint.settings.to_json(), encoding="utf-8")
        checkpoint.tokenizer.save(str(staged / _TOKENIZER))
        for part, attribute in _ENCODERS.items():
            encoder = getattr(getattr(checkpoint.model, part), attribute)
            encoder.config.save_pretrained(staged / part)
        if report is not None:
            text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            (staged / _REPORT).write_text(text, encoding="utf-8")
        save_file(state, staged / _WEIGHTS)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint that `save_checkpoint` wrote; the network is in evaluation mode.

    Raises FileNotFoundError naming the missing file, BuildError naming the file that cannot be
    read, or saying that settings and weights differ.
    """
    check_complete(folder)
    try:
        values = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        settings = settings_from_dict(values)
    except ValueError as error:
        raise BuildError(f"{folder / _SETTINGS}: {error}") from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    except Exception as error:  # the library has no narrower class
        raise BuildError(f"{folder / _TOKENIZER} is not a tokenizer: {error}") from error
    try:
        model = Mqspn(settings, tokenizer, saved=folder)
        model.load_state_dict(load_file(folder / _WEIGHTS))
    except (RuntimeError, SafetensorError) as error:
        raise BuildError(f"{folder}: the weights do not fit the settings: {error}") from error
    except BuildError as error:
        raise BuildError(f"{folder}: {error}") from error
    return Checkpoint(settings, tokenizer, model.eval())


def check_complete(folder: Path) -> None:
    """Raise FileNotFoundError, naming the file, where ``folder`` lacks one of a checkpoint's."""
    for name in (_SETTINGS, _TOKENIZER, *(f"{part}/config.json" for part in _ENCODERS), _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a checkpoint: {name} is missing")


def holds_weights(folder: Path) -> bool:
    """Tell whether ``folder`` holds a checkpoint's weights, be it whole or not."""
    return (folder / _WEIGHTS).exists()


def read_report(folder: Path) -> dict[str, Any]:
    """Read the training report in ``folder``; empty where there is none to read."""
    try:
        report = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, BuildError):
        return {}
    return report if isinstance(report, dict) else {}
