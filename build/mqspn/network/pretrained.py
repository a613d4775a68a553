"""Build a `transformers` model from settings: pretrained, from a configuration, or saved config."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig

from mqspn.errors import BuildError
from mqspn.settings import EncoderSettings

__all__ = ["build_transformer"]

#: Attention as plain operators, which every exporter knows; weights in FP32 whatever was stored.
_COMMON = {"attn_implementation": "eager", "dtype": torch.float32}
#: What `transformers` raises for a configuration that makes no model.
_REFUSED = (OSError, ValueError, KeyError)


def build_transformer(
    auto_class: Any, settings: EncoderSettings, saved: Path | None, **config_overrides: Any
) -> Any:
    """Build a `transformers` model of ``auto_class``, with eager attention so that it exports.

    ``saved`` is a folder with a config.json, as a checkpoint holds: weights are then random, to be
    filled from the checkpoint. Otherwise pretrained weights by hub name or folder, or random ones
    for ``settings.config``. Raises BuildError where the settings name neither, or
    name what cannot be loaded.
    """
    # Auto classes have a public from_config, concrete ones the same under a private name.
    from_config = getattr(auto_class, "from_config", None) or auto_class._from_config
    if saved is not None:
        try:
            return from_config(AutoConfig.from_pretrained(saved), **_COMMON)
        except _REFUSED as error:
            raise BuildError(f"{saved}/config.json is of no encoder: {error}") from error
    if settings.pretrained is not None:
        return _load_pretrained(auto_class, settings.pretrained)
    if "model_type" not in settings.config:
        raise BuildError("settings: an encoder needs `pretrained` or a `config` with a model_type")
    values = {**settings.config, **config_overrides}
    model_type = values.pop("model_type")
    backbone = values.get("backbone_config")
    try:
        if isinstance(backbone, dict):
            backbone = dict(backbone)
            values["backbone_config"] = AutoConfig.for_model(backbone.pop("model_type"), **backbone)
        model = from_config(AutoConfig.for_model(model_type, **values), **_COMMON)
    except _REFUSED as error:
        raise BuildError(f"settings: the config of {model_type!r} is refused: {error}") from error
    for module in model.modules():
        # Some detectors draw the scale of every normalised channel near 0, meant to be overwritten
        # by pretrained weights; from there a network without them hardly learns.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def _load_pretrained(auto_class: Any, name: str) -> Any:
    try:
        model, loaded = auto_class.from_pretrained(name, output_loading_info=True, **_COMMON)
    except (*_REFUSED, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise BuildError(
            f"pretrained encoder {name!r} cannot be loaded; `pretrained` takes a hub name or a "
            f"local folder: {error}"
        ) from error
    # Poolers are heads of other tasks, which are not used here.
    parameters = {name for name, _ in model.named_parameters() if "pooler" not in name}
    missing = sorted(parameters.intersection(loaded["missing_keys"]))
    if missing:
        raise BuildError(
            f"pretrained encoder {name!r} lacks {len(missing)} of its configuration's weights, "
            f"{missing[0]} among them; take the folder or hub name that holds both"
        )
    return model
