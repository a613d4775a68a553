"""`mqspn data synthesize`, and `mqspn draw-posts`, the name it had before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mqspn.synthetic.posts import synthesize_posts

__all__ = ["draw_posts", "synthesize"]

_Split = Annotated[Literal["train", "dev", "test"], typer.Option(help="The split to write.")]
_Count = Annotated[int, typer.Option(help="Number of posts.", min=1)]
_Output = Annotated[Path, typer.Option(help="Folder to write to; it may hold other splits.")]
_Seed = Annotated[int, typer.Option(help="Same split and seed: same posts.", min=0)]


def synthesize(split: _Split, count: _Count, output: _Output, seed: _Seed = 0) -> None:
    """Write synthetic posts of a small world, annotated, in the Twitter-GMNER layout."""
    synthesize_posts(split=split, count=count, seed=seed, output=output, progress=True)


def draw_posts(split: _Split, count: _Count, output: _Output, seed: _Seed = 0) -> None:
    """Write synthetic posts: the old name of `mqspn data synthesize`."""
    typer.echo("mqspn draw-posts is now called mqspn data synthesize", err=True)
    synthesize(split, count, output, seed)
