"""AdamW and its learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mqspn.settings import StageSettings

__all__ = ["build_optimiser", "learning_rate_factor", "set_learning_rate"]


def build_optimiser(groups: Sequence[dict[str, Any]], settings: StageSettings) -> torch.optim.AdamW:
    """Build AdamW over ``groups``, mappings with "params" and perhaps their own "lr".

    Parameters of one dimension (biases, the weights of normalisations, lone vectors) are not
    decayed. The fused form is used where the device has it.
    """
    split = []
    for group in groups:
        parameters: list[nn.Parameter] = list(group["params"])
        rate = group.get("lr", settings.learning_rate)
        for decayed in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decayed]
            if chosen:
                decay = settings.weight_decay if decayed else 0.0
                split.append({"params": chosen, "lr": rate, "base_lr": rate, "weight_decay": decay})
    devices = {p.device.type for group in split for p in group["params"]}
    return torch.optim.AdamW(split, fused=devices <= {"cpu", "cuda"})


def learning_rate_factor(step: int, *, total: int, warmup: float) -> float:
    """Rise linearly to 1 over the share ``warmup`` of ``total`` steps, then fall linearly to 0."""
    rising = max(1, round(warmup * total))
    return min((step + 1) / rising, max(0.0, (total - step) / (total - rising + 1)))


def set_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its own base times ``factor``."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor
