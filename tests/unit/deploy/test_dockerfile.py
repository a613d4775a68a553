"""The Dockerfile: clean for the linter, and each image no more than it needs to be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
HADOLINT = Path(sys.executable).with_name("hadolint")


def hadolint(dockerfile: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(HADOLINT), "--no-color", "-"], input=dockerfile, capture_output=True, text=True
    )


def test_the_linter_finds_nothing() -> None:
    ran = hadolint((ROOT / "deploy" / "Dockerfile").read_text())
    assert ran.stdout + ran.stderr == ""
    assert ran.returncode == 0


def test_the_linter_would_find_something() -> None:
    assert "DL3007" in hadolint("FROM ubuntu:latest\n").stdout


def test_everything_stands_on_one_release_of_triton(stages: dict[str, Any]) -> None:
    assert [(s.name, s.parent) for s in stages.values()] == [
        ("wheel", "nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3"),
        ("server", "nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3"),
        ("plans", "server"),
    ]
    assert "ARG TRITON_RELEASE=26.07\n" in (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.mark.parametrize(("image", "command"), [("server", "serve"), ("plans", "plans")])
def test_an_image_runs_its_command_as_the_images_user(
    image: str, command: str, stages: dict[str, Any]
) -> None:
    assert stages[image].values("USER")[-1] == "1000:1000"
    assert json.loads(stages[image].values("CMD")[-1]) == [command]
    assert not stages["plans"].values("ENTRYPOINT")
    script, *program = json.loads(stages["server"].values("ENTRYPOINT")[0])
    assert script == "/opt/nvidia/nvidia_entrypoint.sh"
    assert program == ["/opt/mqspn/venv/bin/python", "/opt/mqspn/entrypoint.py"]


def test_every_install_keeps_to_the_tested_versions(stages: dict[str, Any]) -> None:
    installs = [
        value
        for stage in stages.values()
        for value in stage.values("RUN")
        if "pip" in value and " install " in value
    ]
    assert len(installs) == 3
    assert all("--constraint=constraints.txt" in i or "==${version}.*" in i for i in installs)
    assert all("--no-cache-dir" in install for install in installs)


def test_the_build_context_holds_what_is_copied_and_nothing_else(stages: dict[str, Any]) -> None:
    copied = {
        source
        for stage in stages.values()
        for value in stage.values("COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
        if not source.startswith("--")
    }
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)
