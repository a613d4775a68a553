"""Every setting of a checkpoint, declared once, and how a file of settings is read."""

from mqspn.settings.network import EncoderSettings, EntityType, NetworkSettings
from mqspn.settings.settings import (
    ServingLimits,
    Settings,
    load_settings,
    settings_from_dict,
    settings_schema,
)
from mqspn.settings.training import (
    LossSettings,
    MixedPrecision,
    Selection,
    StageSettings,
    TrainingSettings,
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
    "settings_schema",
]
