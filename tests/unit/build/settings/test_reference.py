"""`docs/settings.md` is current, and every setting says what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from mqspn.configs import packaged_settings
from mqspn.settings import load_settings, settings_schema
from mqspn.settings.reference import render, sections

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = {
    f"{section.path}.{name}".lstrip("."): part
    for section in sections(settings_schema())
    for name, part in section.properties.items()
}


def keys(value: object, prefix: str = "") -> Iterator[str]:
    """The dotted keys of settings as a mapping; a `config` is free, and a number of a list N."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{prefix}{name}"
            if name != "config":
                yield from keys(inner, f"{prefix}{name}.")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from keys(inner, f"{prefix}N.")


def test_the_page_is_current() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    assert page == render(settings_schema()), (
        "write it again: python -m mqspn.settings.reference > docs/settings.md"
    )


def test_the_page_has_every_setting_and_no_other() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    table = page.partition("## Packaged files")[0]
    cells = " ".join(re.findall(r"^\| (`.*?) \|", table, re.M))
    named = set(re.findall(r"`([\w.]+)`", cells))
    wanted = set(keys(asdict(load_settings("demo")))) | {"text_encoder.config"}
    sections_ = {section.path.removesuffix(".N") for section in sections(settings_schema())}
    assert named == wanted - sections_
    assert set(SETTINGS) == wanted


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_has_a_sentence(key: str) -> None:
    sentence = SETTINGS[key]["description"]
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert len(sentence.split()) >= 8
    assert "|" not in sentence  # it would end a cell of the table


def test_the_page_names_the_packaged_files() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for name in packaged_settings():
        assert f"| `{name}` |" in page
