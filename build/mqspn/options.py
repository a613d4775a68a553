"""Options that several commands take, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mqspn.configs import packaged_settings

__all__ = [
    "CheckpointFolder",
    "DataFolder",
    "DeviceName",
    "ProposalsFolder",
    "RepositoryFolder",
    "SettingChanges",
    "SettingsName",
    "SplitName",
    "TypeSettingsName",
    "settings_option",
]


def settings_option(purpose: str) -> Any:
    """The option of a settings file for ``purpose``, with the names of the packaged ones."""
    return typer.Option(
        metavar="NAME|FILE",
        help=f"{purpose}: a YAML file, or a packaged one: {', '.join(packaged_settings())}.",
    )


DataFolder = Annotated[Path, typer.Option(help="Data set folder: txt/, xml/, images/.")]
SplitName = Annotated[
    str, typer.Option(help="The data set's split: train, dev, test, or another in its txt/.")
]
CheckpointFolder = Annotated[Path, typer.Option(help="Checkpoint folder.")]
RepositoryFolder = Annotated[Path, typer.Option(help="Model repository.")]
ProposalsFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of boxes (`mqspn propose`), in place of the region proposer's."),
]
DeviceName = Annotated[
    str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, or cuda:1.")
]
SettingsName = Annotated[str, settings_option("Settings")]
#: Where posts are read without a checkpoint.
TypeSettingsName = Annotated[str, settings_option("Settings whose types name the data's labels")]
SettingChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, as network.layers=2; again for more.",
    ),
]
