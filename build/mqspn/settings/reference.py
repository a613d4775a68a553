"""`docs/settings.md`, written from the settings' own declarations.

To write it again: ``python -m mqspn.settings.reference > docs/settings.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mqspn.configs import packaged_settings
from mqspn.settings.schema import Schema, allowed, kind, resolve
from mqspn.settings.settings import settings_schema

__all__ = ["Section", "render", "sections"]

_INTRODUCTION = """\
<!-- Written by `python -m mqspn.settings.reference > docs/settings.md`; change the declarations in
build/mqspn/settings/ instead. -->

# Settings

Settings come from a YAML file: `--settings` takes its path, or the name of a
[packaged one](#packaged-files). A file of your own says what it extends, and what differs:

```yaml
extends: twitter_gmner
name: mine
training:
  network: { epochs: 20, batch_size: 8, accumulation: 2 }
```

`mqspn train` and `mqspn ablate` change single settings with `--set`, as often as you like. A number
is the place of an element, counted from 0:

```bash
mqspn train --data DATA --settings mine.yaml --output checkpoint \\
  --set network.layers=2 --set types.0.prompt="a person" --set serving.buckets.0=16
```

An unknown key is refused with the nearest known one, and so is a key given twice. A setting without
a default must be given. A run goes on only with the settings that it began with.
"""


@dataclass(frozen=True)
class Section:
    """A mapping of settings at ``path``, which is "" for the whole and ends in N in a list."""

    path: str
    description: str
    properties: dict[str, Schema]
    #: What its settings are where the section is left out.
    defaults: dict[str, Any]


def sections(schema: Schema) -> list[Section]:
    """Every section, outer ones first."""
    whole = "These stand at the top of the file, outside all sections."
    found = [Section("", whole, schema["properties"], {})]
    for section in found:  # grows on the way
        for name, part in section.properties.items():
            node = part.get("items", part)
            if "$ref" in node:
                path = f"{section.path}.{name}".lstrip(".") + (".N" if node is not part else "")
                defaults = section.defaults.get(name, part.get("default")) or {}
                properties = resolve(schema, node)["properties"]
                found.append(Section(path, part["description"], properties, defaults))
    return found


def render(schema: Schema) -> str:
    """The whole page; sections of one declaration share a table."""
    alike: dict[str, list[Section]] = {}
    for section in sections(schema):
        alike.setdefault(str(section.properties), []).append(section)
    parts = [_INTRODUCTION]
    for group in alike.values():
        title = ", ".join(section.path.removesuffix(".N") for section in group)
        said = [section.description for section in group]
        if len(group) > 1:
            said = [f"- `{s.path}`: {s.description}" for s in group]
        rows = [
            _row(schema, group, name, part)
            for name, part in group[0].properties.items()
            if "$ref" not in part.get("items", part)
        ]
        heading = title or "The checkpoint"
        parts.append("\n".join([f"## {heading}", "", *said, "", *_TABLE, *rows, ""]))
    parts.append(f"## Packaged files\n\n{_packaged()}\n")
    return "\n".join(parts)


_TABLE = (
    "| setting | type | default | allowed | what it does, and when to change it |",
    "| --- | --- | --- | --- | --- |",
)


def _row(schema: Schema, group: list[Section], name: str, part: Schema) -> str:
    keys = [f"`{f'{section.path}.{name}'.lstrip('.')}`" for section in group]
    defaults = [_default(section, name, part) for section in group]
    cells = (
        "<br>".join(keys),
        f"{'one of ' if 'enum' in part else ''}{kind(schema, part)}",
        "<br>".join(defaults if len(set(defaults)) > 1 else defaults[:1]),
        allowed(part),
        part["description"],
    )
    return f"| {' | '.join(cells)} |"


def _default(section: Section, name: str, part: Schema) -> str:
    if name in section.defaults:
        return f"`{json.dumps(section.defaults[name])}`"
    if part.get("additionalProperties") is True:  # a free mapping
        return "`{}`"
    return f"`{json.dumps(part['default'])}`" if "default" in part else "must be given"


def _packaged() -> str:
    lines = ["| file | extends | what it is for | what it sets |", "| --- | --- | --- | --- |"]
    for name, path in packaged_settings().items():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        base = values.pop("extends", "")
        changed = "; ".join(_keys(values, ""))
        lines.append(f"| `{name}` | {base and f'`{base}`'} | {_purpose(path)} | {changed} |")
    return "\n".join(lines)


def _purpose(path: Path) -> str:
    """The first sentence of the comment that ``path`` begins with."""
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    text = " ".join(comment).split(". ")[0].rstrip(".")
    return f"{text.replace('|', '/')}."


def _keys(values: dict[str, Any], section: str) -> Iterator[str]:
    """What a file sets, section by section, as "`network`: layers, heads"."""
    inner = {k: v for k, v in values.items() if isinstance(v, dict) and k != "config"}
    here = [key for key in values if key not in inner and (section or key != "name")]
    if here:
        yield f"`{section}`: {', '.join(here)}" if section else ", ".join(here)
    for key, value in inner.items():
        yield from _keys(value, f"{section}.{key}".lstrip("."))


if __name__ == "__main__":
    print(render(settings_schema()), end="")
