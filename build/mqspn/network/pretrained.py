"""Build a `transformers` model from settings: pretrained, from a configuration, or saved config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from mqspn.errors import BuildError
from mqspn.settings import EncoderSettings

__all__ = ["build_transformer", "loading_pretrained"]

#: Attention as plain operators, which every exporter knows; weights in FP32 whatever was stored.
_COMMON = {"attn_implementation": "eager", "dtype": torch.float32}


def build_transformer(
    auto_class: Any,
    settings: EncoderSettings,
    saved: Path | None,
    *,
    part: str,
    **config_overrides: Any,
) -> Any:
    """Build a `transformers` model of ``auto_class``, with eager attention so that it exports.

    ``saved`` is a folder with a config.json, as a checkpoint holds: weights are then random, to be
    filled from the checkpoint. Otherwise pretrained weights by hub name or folder, or random ones
    for ``settings.config``. ``part`` is the key of ``settings`` in the whole settings.

    Raises BuildError where the settings name neither, or name what cannot be loaded or built.
    """
    # Auto classes have a public from_config, concrete ones the same under a private name.
    from_config = getattr(auto_class, "from_config", None) or auto_class._from_config
    if saved is not None:
        with _refused_as(f"{saved}/config.json is of no encoder"):
            return from_config(AutoConfig.from_pretrained(saved), **_COMMON)
    if settings.pretrained is not None:
        return _load_pretrained(auto_class, settings.pretrained, part)
    if "model_type" not in settings.config:
        raise BuildError(f"settings: {part} needs `pretrained` or a `config` with a model_type")
    values = {**settings.config, **config_overrides}
    model_type = values.pop("model_type")
    backbone = values.get("backbone_config")
    with _refused_as(f"settings: {part}: the config of {model_type!r} is refused"):
        if isinstance(backbone, dict):
            backbone = dict(backbone)
            values["backbone_config"] = AutoConfig.for_model(backbone.pop("model_type"), **backbone)
        config = AutoConfig.for_model(model_type, **values)
        # A concrete class takes one configuration; an auto class looks for itself.
        wanted = getattr(auto_class, "config_class", None)
        if wanted is not None and not isinstance(config, wanted):
            raise BuildError(
                f"settings: {part}.config.model_type must be {wanted.model_type!r}, "
                f"not {model_type!r}"
            )
        model = from_config(config, **_COMMON)
    for module in model.modules():
        # Some detectors draw the scale of every normalised channel near 0, meant to be overwritten
        # by pretrained weights; from there a network without them hardly learns.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


@contextmanager
def loading_pretrained(name: str, *, part: str) -> Iterator[None]:
    """Let whatever the block cannot load of the encoder ``name`` be a BuildError of one line."""
    sentence = (
        f"settings: {part}.pretrained: encoder {name!r} cannot be loaded; `pretrained` takes a hub "
        "name or a local folder"
    )
    if not name.strip():
        raise BuildError(f"{sentence}: the name is empty")
    with _refused_as(sentence):
        yield


@contextmanager
def _refused_as(sentence: str) -> Iterator[None]:
    """Let an error of the block, which calls `transformers` alone, be a BuildError of one line."""
    try:
        yield
    except BuildError:
        raise
    except Exception as error:  # it and the libraries below it raise no narrower one
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BuildError(f"{sentence}: {reason}") from error


def _load_pretrained(auto_class: Any, name: str, part: str) -> Any:
    with loading_pretrained(name, part=part):
        model, loaded = auto_class.from_pretrained(name, output_loading_info=True, **_COMMON)
    # Poolers are heads of other tasks, which are not used here.
    parameters = {name for name, _ in model.named_parameters() if "pooler" not in name}
    missing = sorted(parameters.intersection(loaded["missing_keys"]))
    if missing:
        raise BuildError(
            f"settings: {part}.pretrained: encoder {name!r} lacks {len(missing)} of its "
            f"configuration's weights, {missing[0]} among them; take the folder or hub name that "
            "holds both"
        )
    return model
