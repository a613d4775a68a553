"""`mqspn data`: the commands for a data set; this module has `mqspn data stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mqspn.data.errors import DataError
from mqspn.data.images import unreadable_images
from mqspn.data.reader import read_split, split_names
from mqspn.data.stats import SplitStats, stats
from mqspn.options import TypeSettingsName

__all__ = ["app", "stats_command"]

app = typer.Typer(no_args_is_help=True, help="Look at a data set, or make a synthetic one.")


@app.callback()
def _group() -> None:
    """Look at a data set, or make a synthetic one."""


@app.command("stats")
def stats_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with txt/, xml/, images/.")],
    settings: TypeSettingsName = "base",
    images: Annotated[
        bool, typer.Option("--images", help="Also read every image whole, as serving does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count posts, entities and boxes of every split, and check all of the data on the way."""
    from mqspn.settings import load_settings

    loaded = load_settings(settings)
    labels = loaded.label_names
    splits = {name: read_split(folder, name, labels=labels) for name in split_names(folder)}
    if images:
        problems = unreadable_images(
            (post for posts in splits.values() for post in posts),
            side=loaded.image_side,
            max_bytes=loaded.serving.max_image_bytes,
            max_pixels=loaded.serving.max_image_pixels,
        )
        if problems:
            raise DataError(problems)
    rows = {
        name: stats(posts, (p for other in splits if other != name for p in splits[other]))
        for name, posts in splits.items()
    }
    if as_json:
        print(json.dumps({name: row.to_json() for name, row in rows.items()}, indent=2))
    else:
        Console().print(_table(str(folder), rows))


def _table(title: str, rows: dict[str, SplitStats]) -> Table:
    """A column a split, as a terminal of 80 characters has room for three but not for nine."""
    counts = (
        *("posts", "ids_elsewhere", "texts_elsewhere", "without_image"),
        *("entities", "adjacent", "groundable", "boxes"),
    )
    table = Table(title=title)
    table.add_column("")
    for split in rows:
        table.add_column(split, justify="right")
    for field in counts:
        cells = (getattr(row, field) for row in rows.values())
        table.add_row(field.replace("_", " "), *(f"{cell:,}" for cell in cells))
    table.add_section()
    for name in sorted({name for row in rows.values() for name in row.by_type}):
        table.add_row(name, *(f"{row.by_type.get(name, 0):,}" for row in rows.values()))
    return table
