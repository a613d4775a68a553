"""`mqspn propose`: the region proposer's boxes of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mqspn.options import DataFolder, DeviceName, settings_option

__all__ = ["propose"]


def propose(
    data: DataFolder,
    output: Annotated[Path, typer.Option(help="Folder for one .npz an image; resumed if there.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint whose region proposer runs.")
    ] = None,
    settings: Annotated[
        str | None, settings_option("In its place, settings that name a pretrained detector")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Once for each split. Default: all there are.")
    ] = None,
    regions: Annotated[
        int | None, typer.Option(help="Boxes an image. Default: network.regions.", min=1)
    ] = None,
    device: DeviceName = "auto",
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1)] = 32,
) -> None:
    """Run the region proposer over a data set once and keep its boxes."""
    from mqspn.data.reader import read_split, split_names
    from mqspn.device import pick_device
    from mqspn.regions.propose import load_proposer
    from mqspn.regions.propose import propose as run

    if (checkpoint is None) == (settings is None):
        raise typer.BadParameter("give either --checkpoint DIR or --settings NAME")
    names = split or split_names(data)
    proposer, found = load_proposer(checkpoint=checkpoint, settings=settings, regions=regions)
    labels = found.label_names
    report = run(
        proposer.to(pick_device(device)),
        found,
        {name: read_split(data, name, labels=labels) for name in names},
        output=output,
        batch_size=batch_size,
    )
    typer.echo(str(report))
