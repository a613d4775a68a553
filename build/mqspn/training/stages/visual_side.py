"""The visual side of a new network, taken from a checkpoint that is trained."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mqspn.checkpoint import load_checkpoint
from mqspn.files.fingerprint import first_difference
from mqspn.network import Mqspn
from mqspn.settings import Settings
from mqspn.training.errors import TrainingError

__all__ = ["take_visual_side"]

_NETWORK = ("regions", "crop_side", "crop_supersampling")


def take_visual_side(model: Mqspn, settings: Settings, folder: Path) -> None:
    """Copy the region proposer and the visual encoder of the checkpoint in ``folder``.

    How a region's state is projected and placed is learnt anew, with the text side. Raises
    TrainingError naming the first of ``settings`` that the checkpoint was not trained with, and
    FileNotFoundError where there is no checkpoint.
    """
    trained = load_checkpoint(folder)
    key = first_difference(_visual_settings(settings), _visual_settings(trained.settings))
    if key:
        raise TrainingError(
            f"settings: {key} is not what {folder} was trained with; --set it alike"
        )
    model.region_proposer.load_state_dict(trained.model.region_proposer.state_dict())
    model.region_encoder.vision.load_state_dict(trained.model.region_encoder.vision.state_dict())


def _visual_settings(settings: Settings) -> dict[str, Any]:
    """What the visual side depends on, as a checkpoint stores it."""
    values = json.loads(json.dumps(asdict(settings)))
    return {
        "image_side": values["image_side"],
        "region_proposer": values["region_proposer"],
        "region_encoder": values["region_encoder"],
        "network": {key: values["network"][key] for key in _NETWORK},
    }
