"""`mqspn train` and `mqspn ablate`: a checkpoint, or the table of the paper's ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["ablate", "train"]


def train(
    data: Annotated[Path, typer.Option(help="Data set folder: txt/, xml/, images/.")],
    output: Annotated[Path, typer.Option(help="Where the checkpoint goes.")],
    settings: Annotated[
        str, typer.Option(help="Settings file, or a packaged one: demo, base, twitter_gmner.")
    ] = "demo",
    run: Annotated[
        Path | None, typer.Option(help="The run's state; resumed if there. Default: OUTPUT.run")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, cuda:1.")
    ] = "auto",
    visual_from: Annotated[
        Path | None,
        typer.Option(help="Checkpoint whose visual side is taken; its stages are left out."),
    ] = None,
    proposals: Annotated[
        Path | None, typer.Option(help="Folder of boxes, in place of the region proposer's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting, as network.layers=2; again for more."),
    ] = None,
) -> None:
    """Train a checkpoint; the same command goes on after a kill.

    On several GPUs: accelerate launch -m mqspn.cli train ...
    """
    from mqspn.settings import load_settings
    from mqspn.training.train import train as run_training

    report = run_training(
        load_settings(settings, _overrides(set_)),
        data=data,
        run=run or output.with_name(output.name + ".run"),
        output=output,
        device=device,
        visual_from=visual_from,
        proposals=proposals,
    )
    if report is not None:
        typer.echo(f"checkpoint: {output}")


def ablate(
    data: Annotated[Path, typer.Option(help="Data set folder with train, dev and test.")],
    visual_from: Annotated[
        Path, typer.Option(help="Checkpoint whose trained visual side all runs take.")
    ],
    work: Annotated[Path, typer.Option(help="Folder of the runs; what is done there stays done.")],
    settings: Annotated[
        str, typer.Option(help="Settings file, or a packaged one: demo, base, twitter_gmner.")
    ] = "demo",
    seed: Annotated[
        list[int] | None, typer.Option(help="Once for each seed. Default: 17, 18 and 19.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once, one thread each.", min=1)] = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one setting of all runs; again for more."),
    ] = None,
) -> None:
    """Train without each part of the network in turn (the paper's ablations); print the table."""
    from mqspn.training.ablations import ablation_table, run_ablations

    rows = run_ablations(
        data=data,
        work=work,
        settings=settings,
        overrides=_overrides(set_),
        visual_from=visual_from,
        seeds=seed or [17, 18, 19],
        jobs=jobs,
    )
    typer.echo(ablation_table(rows), nl=False)


def _overrides(pairs: list[str] | None) -> dict[str, Any]:
    import yaml

    overrides = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--set needs key=value, not {pair!r}")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise typer.BadParameter(f"--set {key}: {value!r} is not YAML") from None
    return overrides
