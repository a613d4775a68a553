"""What a setting's value may be: one table, checked where settings are built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

__all__ = ["check_bounds"]


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    """From ``least`` to ``most``, themselves allowed unless ``between``; or ``below`` ``most``."""

    least: float
    most: float = math.inf
    between: bool = False
    below: bool = False

    def hold(self, value: float) -> bool:
        if self.between:
            return self.least < value < self.most
        if self.below:
            return self.least <= value < self.most
        return self.least <= value <= self.most

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"above {self.least:g}" if self.between else f"at least {self.least:g}"
        if self.below:
            return f"at least {self.least:g} and below {self.most:g}"
        words = "between {:g} and {:g}, neither of them" if self.between else "from {:g} to {:g}"
        return words.format(self.least, self.most)


_ANY = _Bounds(least=0)
_SOME = _Bounds(least=1)
_SHARE = _Bounds(least=0, most=1)
_ABOVE_0 = _Bounds(least=0, between=True)

#: By the dotted key; a stage's settings are the same in every stage. Floats that are not here
#: need only be finite.
_STAGE = {
    "epochs": _ANY,
    "batch_size": _SOME,
    "accumulation": _SOME,
    "learning_rate": _ANY,
    "weight_decay": _ANY,
    "warmup": _SHARE,
    "clip_norm": _ABOVE_0,
    "patience": _ANY,
}
_BOUNDS: Mapping[str, _Bounds] = {
    "image_side": _SOME,
    **{f"{e}.pixel_std": _ABOVE_0 for e in ("text_encoder", "region_proposer", "region_encoder")},
    **dict.fromkeys(
        [
            *("network.width", "network.queries", "network.layers", "network.heads"),
            *("network.regions", "network.crop_side", "network.crop_supersampling"),
        ],
        _SOME,
    ),
    "network.dropout": _Bounds(least=0, most=1, below=True),
    "network.aggregator_text_weight": _SHARE,
    **{f"loss.{name}_weight": _ANY for name in ("type", "boundary", "region", "token")},
    "loss.gold_repeats": _SOME,
    "loss.region_iou": _Bounds(least=0, most=1, between=True),
    "training.seed": _Bounds(least=0, most=2**62),
    "training.save_every_minutes": _ANY,
    # The special tokens and the characters that every WordPiece here begins with.
    "training.vocabulary_size": _Bounds(least=100),
    **{
        f"training.{stage}.{name}": bounds
        for stage in ("region_proposer", "region_encoder", "network")
        for name, bounds in _STAGE.items()
    },
    "training.encoder_learning_rate": _ANY,
    "training.frozen_epochs": _ANY,
    **{f"training.{what}_dropout": _SHARE for what in ("image", "word", "entity")},
    "decoding.entity_threshold": _SHARE,
    "decoding.region_threshold": _SHARE,
    "decoding.max_entity_words": _ANY,
    "serving.max_batch_size": _SOME,
    "serving.max_image_bytes": _SOME,
    "serving.max_image_pixels": _SOME,
}


def check_bounds(settings: Any, prefix: str = "") -> None:
    """Raise ValueError, with the dotted key, for a number out of its bounds or not finite.

    ``settings`` is a dataclass; those in its fields are gone through, and a tuple's numbers each.
    """
    for item in fields(settings):
        key, value = f"{prefix}{item.name}", getattr(settings, item.name)
        if is_dataclass(value):
            check_bounds(value, f"{key}.")
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            if not math.isfinite(number):
                raise ValueError(f"settings: {key} must be a finite number, not {number}")
            bounds = _BOUNDS.get(key)
            if bounds is not None and not bounds.hold(number):
                raise ValueError(f"settings: {key} must be {bounds}; not {number}")
