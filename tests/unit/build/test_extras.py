"""A missing package is named with the extra that brings it, for each command that imports it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from mqspn import cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = [ROOT / name for name in ("build", "python_backend", "clients")]
#: tritonclient[grpc] brings these two.
CLIENT = {"grpcio", "protobuf"}


def imports(module: str) -> Iterator[str]:
    """Every module that ``module`` imports, inside functions and for types too."""
    for source in SOURCES:
        path = source.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Import):
                        yield from (alias.name for alias in node.names)
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        yield node.module
                        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def third_party(module: str) -> set[str]:
    """The packages of others that ``module`` imports, by way of our own modules too."""
    found, seen, left = set(), set(), {module}
    while left:
        name = left.pop()
        seen.add(name)
        top = name.partition(".")[0]
        if top in ("mqspn", "mqspn_backend", "mqspn_client"):
            parts = name.split(".")
            parents = {".".join(parts[:n]) for n in range(1, len(parts))}
            left |= (parents | set(imports(name))) - seen
        elif top not in sys.stdlib_module_names:
            found.add(top)
    return found


def normalised(requirement: str) -> str:
    """The name of a distribution, as indexes compare it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def brought_by(extra: str) -> set[str]:
    """The distributions of an extra, and of the extras in it."""
    found = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        if inner := re.match(r"mqspn-triton\[([\w-]+)\]", requirement):
            found |= brought_by(inner[1])
        else:
            found.add(normalised(requirement))
    return found


ALWAYS = {normalised(requirement) for requirement in PROJECT["dependencies"]} | CLIENT


def distributions(packages: set[str]) -> dict[str, set[str]]:
    known = packages_distributions()
    return {p: {normalised(name) for name in known.get(p, [p])} for p in packages}


def test_the_table_names_what_extras_bring_and_nothing_else() -> None:
    imported = distributions(third_party("mqspn.cli"))
    from_extras = {package for package, names in imported.items() if not names & ALWAYS}
    assert set(cli._PACKAGES) == from_extras


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("train", "mqspn.training.command"),
        ("evaluate", "mqspn.evaluation.command"),
        ("propose", "mqspn.regions.command"),
        ("data", "mqspn.data.command"),
        ("export", "mqspn.export"),
        ("serve", "mqspn.serving.command"),
        ("compile", "mqspn.engines.command"),
        ("sensitivity", "mqspn.engines.command"),
    ],
)
def test_the_extra_of_a_command_brings_all_it_imports(command: str, module: str) -> None:
    extra = cli._EXTRAS.get(command, "build")
    needed = distributions(third_party(module))
    if command == "serve":  # a graph is checked where a repository is built only
        needed.pop("onnx")
    brought = brought_by(extra) | ALWAYS
    assert {package for package, names in needed.items() if not names & brought} == set()
