"""`mqspn train` and `mqspn ablate`: a checkpoint, or the table of the paper's ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mqspn.errors import BuildError
from mqspn.options import (
    DataFolder,
    DeviceName,
    ProposalsFolder,
    SettingChanges,
    SettingsName,
)

__all__ = ["ablate", "train"]


def train(
    data: DataFolder,
    output: Annotated[Path, typer.Option(help="Where the checkpoint goes.")],
    settings: SettingsName = "demo",
    run: Annotated[
        Path | None, typer.Option(help="The run's state; resumed if there. Default: OUTPUT.run")
    ] = None,
    device: DeviceName = "auto",
    visual_from: Annotated[
        Path | None,
        typer.Option(help="Checkpoint whose visual side is taken; its stages are left out."),
    ] = None,
    proposals: ProposalsFolder = None,
    set_: SettingChanges = None,
) -> None:
    """Train a checkpoint; the same command goes on after a kill.

    On several GPUs: accelerate launch -m mqspn.cli train ...
    """
    from mqspn.settings import load_settings
    from mqspn.settings.file import parse_overrides
    from mqspn.training.train import train as run_training

    report = run_training(
        load_settings(settings, parse_overrides(set_ or ())),
        data=data,
        run=run or _run_folder(output),
        output=output,
        device=device,
        visual_from=visual_from,
        proposals=proposals,
    )
    if report is not None:
        typer.echo(f"checkpoint: {output}")


def _run_folder(output: Path) -> Path:
    """Name the folder beside ``output`` that keeps its run's state."""
    # "." and ".." have a name elsewhere only; other paths stay as they are, links too.
    named = output if output.name not in ("", "..") else output.resolve()
    if not named.name:
        raise BuildError(f"--output {output} has no name to put a run folder beside; give --run")
    return named.with_name(f"{named.name}.run")


def ablate(
    data: DataFolder,
    visual_from: Annotated[
        Path, typer.Option(help="Checkpoint whose trained visual side all runs take.")
    ],
    work: Annotated[Path, typer.Option(help="Folder of the runs; what is done there stays done.")],
    settings: SettingsName = "demo",
    seed: Annotated[
        list[int] | None, typer.Option(help="Once for each seed. Default: 17, 18 and 19.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once, one thread each.", min=1)] = 1,
    set_: SettingChanges = None,
) -> None:
    """Train without each part of the network in turn (the paper's ablations); print the table."""
    from mqspn.settings.file import parse_overrides
    from mqspn.training.ablations import ablation_table, run_ablations

    rows = run_ablations(
        data=data,
        work=work,
        settings=settings,
        overrides=parse_overrides(set_ or ()),
        visual_from=visual_from,
        seeds=seed or [17, 18, 19],
        jobs=jobs,
    )
    typer.echo(ablation_table(rows), nl=False)
