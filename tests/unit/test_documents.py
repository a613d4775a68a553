"""What the documents point at is there, and the pages that list things list them all."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *PAGES,
    *(ROOT / folder / "README.md" for folder in ("clients", "loadtest")),
]
PACKAGES = {
    "mqspn": ROOT / "build/mqspn",
    "mqspn_backend": ROOT / "python_backend/mqspn_backend",
    "mqspn_client": ROOT / "clients/mqspn_client",
}


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings that a code host and the site spell alike."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", prose(document)):
        words = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        on_host, on_site = re.sub(r"\s", "-", words), re.sub(r"[-\s]+", "-", words)
        if on_host == on_site:
            found.add(on_host)
    return found | set(re.findall(r"(?m)^::: (\S+)$", prose(document)))


def is_made_from_docstrings(anchor: str) -> bool:
    """mkdocstrings' anchors are whole names; `make docs` checks them."""
    return anchor.startswith("mqspn_client.")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", prose(document)):
        target = (document.parent / link).resolve() if link else document
        assert target.exists(), link
        if anchor and not is_made_from_docstrings(anchor):
            assert anchor in anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_leaves_the_docs(page: Path) -> None:
    """Such a link would work on a code host and be dead on the site."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(page)):
        assert (page.parent / link).resolve().is_relative_to(DOCS), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_file_of_the_tree_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    folders = "build|clients|python_backend|model_repository|loadtest|tests|docs|demo|deploy"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", text):
        assert (ROOT / path).exists() or path.startswith(("demo-output", "loadtest/reports")), path


def test_the_navigation_has_every_page() -> None:
    def pages(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [page for inner in entries for page in pages(inner)]

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages(navigation)) == sorted(p.relative_to(DOCS).as_posix() for p in PAGES)


def test_the_package_map_has_every_package_and_its_main_module() -> None:
    rows = dict(
        re.findall(
            r"(?m)^\| `(mqspn[\w.]*)` \| [^|]+\. \| `([\w/]+\.py)` \|$",
            (DOCS / "packages.md").read_text(encoding="utf-8"),
        )
    )
    folders = {
        ".".join((name, *init.parent.relative_to(folder).parts)): init.parent
        for name, folder in PACKAGES.items()
        for init in folder.rglob("__init__.py")
    }
    assert sorted(rows) == sorted(folders)
    assert [name for name, module in rows.items() if not (folders[name] / module).exists()] == []


def test_the_table_of_tensors_is_the_specification() -> None:
    from mqspn_backend.tensors import MODELS, tensor

    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| ((?:`[A-Z_]+`(?:, )?)+) \| (\w+) \| ([^|]+) \|", page)
    shown = {}
    for names, dtype, shapes in rows:
        found = re.findall(r"`(\w+)`", names)
        axes = re.findall(r"\(([^)]*)\)", shapes)
        for name, shape in zip(found, axes * len(found) if len(axes) == 1 else axes, strict=False):
            shown[name] = (dtype, tuple(shape.split(", ")))
    names = {name for model in MODELS.values() for name in (*model.inputs, *model.outputs)}
    specified = {
        name: (tensor(name).dtype, tuple(str(axis) for axis in tensor(name).axes)) for name in names
    }
    assert shown == specified


def test_the_command_line_page_is_current() -> None:
    from mqspn.reference import render

    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m mqspn.reference > docs/command-line.md"


def test_the_command_line_page_lists_whole_sentences_and_nothing_hidden() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"(?m)^\* `([a-z][\w-]*)`: (.*)$", page))
    assert {"train", "compile", "data", "synthesize"} <= set(listed)
    assert [line for line in listed.values() if not line.endswith(".")] == []
    assert [line for line in listed.values() if line.endswith("...")] == []
    assert "draw-posts" not in page


def commands_of(document: Path) -> list[list[str]]:
    """The words behind every `mqspn` of the document's shell blocks."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^ *```(?:bash|sh)\n(.*?)^ *```$", text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    # What comes behind a comment, a pipe or the like is another command.
    shown = [re.match(r"\s*(?:.* -m mqspn\.cli|mqspn) ([^#|;&]*)", line) for line in lines]
    return [shlex.split(found[1]) for found in shown if found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_shown_command_and_option_exists(document: Path) -> None:
    from mqspn.cli import app
    from typer.main import get_command

    for words in commands_of(document):
        command: Any = get_command(app)
        rest = list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands"), f"no such command: mqspn {' '.join(words)}"
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        ours = rest[: rest.index("--")] if "--" in rest else rest
        unknown = {word.partition("=")[0] for word in ours if word.startswith("--")} - known
        assert not unknown, f"mqspn {' '.join(words)}: no {unknown}"


def test_the_shown_commands_are_found() -> None:
    assert sum(len(commands_of(document)) for document in DOCUMENTS) > 100
