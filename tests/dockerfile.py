"""The stages of `deploy/Dockerfile`, read for the tests of its text and of its images."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

DOCKERFILE = Path(__file__).resolve().parents[1] / "deploy" / "Dockerfile"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: its ``name``, what it is FROM, and its (instruction, value) steps."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def read_stages() -> dict[str, Stage]:
    """The stages of the Dockerfile, by name, in its order."""
    with DOCKERFILE.open("rb") as file:
        lines = DockerfileParser(fileobj=file).structure
    found: dict[str, Stage] = {}
    for line in lines:
        instruction, value = line["instruction"], line["value"]
        if instruction == "FROM":
            parent, name = re.fullmatch(r"(\S+) AS (\S+)", value).groups()
            found[name] = Stage(name=name, parent=parent)
        elif found and instruction != "COMMENT":
            list(found.values())[-1].steps.append((instruction, value))
    return found
