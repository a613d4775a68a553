"""Every setting of a checkpoint: what it may be, and how a file of settings is read."""

from mqspn.settings.settings import (
    EncoderSettings,
    EntityType,
    LossSettings,
    MixedPrecision,
    NetworkSettings,
    Selection,
    ServingLimits,
    Settings,
    StageSettings,
    TrainingSettings,
    load_settings,
    settings_from_dict,
)

__all__ = [
    "EncoderSettings",
    "EntityType",
    "LossSettings",
    "MixedPrecision",
    "NetworkSettings",
    "Selection",
    "ServingLimits",
    "Settings",
    "StageSettings",
    "TrainingSettings",
    "load_settings",
    "settings_from_dict",
]
