"""Print docs/command-line.md: every command with its options, made of their help.

python -m mqspn.reference > docs/command-line.md
"""

from __future__ import annotations

from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.core import MARKUP_MODE_KEY
from typer.main import get_command

from mqspn.cli import app

__all__ = ["render"]


def render() -> str:
    """Make the page: Markdown of all commands but the hidden ones."""
    command = get_command(app)
    _list_whole_lines(command)
    context = typer.Context(command, obj={MARKUP_MODE_KEY: "rich"})
    page = get_docs_for_click(obj=command, ctx=context, name="mqspn", title="The command line")
    return f"{page.strip()}\n"


def _list_whole_lines(group: Any) -> None:
    """Have each inner command listed with its whole first paragraph; drop the hidden ones.

    Typer would cut it after some words.
    """
    for name, command in list(getattr(group, "commands", {}).items()):
        if command.hidden:
            del group.commands[name]
        else:
            command.short_help = (command.help or "").partition("\n\n")[0]
            _list_whole_lines(command)


if __name__ == "__main__":
    print(render(), end="")
