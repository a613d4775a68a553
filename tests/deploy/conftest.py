"""The Dockerfile's steps, replayed without Docker: each stage is a folder, each step runs in it.

COPY copies, RUN runs what installs packages, `FROM` another stage copies that stage's folder. What
cannot be had here is NVIDIA's image: this machine's Python stands in for its Python, and PyPI's
TensorRT-RTX for the Python module of its TensorRT. PyTorch and TensorRT-RTX, hundreds of megabytes,
are linked from where the tests run, so that pip finds them installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.dockerfile import Stage, read_stages

ROOT = Path(__file__).resolve().parents[2]
#: What the step that installs TensorRT's Python module becomes.
STAND_IN = (
    "python3 -m pip --python venv/bin/python install --constraint=constraints.txt tensorrt-rtx-cu13"
)


class Replay:
    """Stages replayed below one folder; a stage's `/opt/mqspn` is `<folder>/<stage>/opt/mqspn`."""

    def __init__(self, folder: Path, stages: Mapping[str, Stage]) -> None:
        self.folder = folder
        self.stages = stages

    def build(self, name: str) -> Path:
        """Replay stage ``name``, whose parents were replayed before; its last WORKDIR."""
        stage, root = self.stages[name], self.folder / name
        work = root
        if stage.parent in self.stages:
            # Linked: what replaces a file in one stage leaves the other's as it was.
            shutil.copytree(self.folder / stage.parent, root, symlinks=True, copy_function=os.link)
            work = root / self.stages[stage.parent].values("WORKDIR")[-1].lstrip("/")
        if name == "plans":
            _link_large_packages(next((work / "venv").glob("lib/python3.*/site-packages")))
        arguments: dict[str, str] = {}
        for instruction, value in stage.steps:
            if instruction == "WORKDIR":
                work = root / value.lstrip("/")
                work.mkdir(parents=True)
            elif instruction == "COPY":
                self._copy(value.split(), work)
            elif instruction == "ARG":
                key, _, default = value.partition("=")
                # pip's own settings are this machine's, as `--build-arg` would give them.
                if not key.startswith("PIP_"):
                    arguments[key] = default
            elif instruction == "RUN" and "pip" in value:
                self._run(STAND_IN if "tensorrt-cu13" in value else value, work, arguments)
        return work

    def _copy(self, words: list[str], work: Path) -> None:
        source_root = ROOT
        if words[0].startswith("--from="):
            source_root = self.folder / words.pop(0).removeprefix("--from=")
        *sources, target = (word for word in words if not word.startswith("--"))
        for source in sources:
            path = source_root / source.lstrip("/")
            if path.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, work / target, ignore=ignore, dirs_exist_ok=True)
            else:
                assert target.endswith("/"), f"COPY {source}: {target} must be a folder"
                (work / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, work / target)

    def _run(self, command: str, work: Path, arguments: Mapping[str, str]) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        # What pip has downloaded once need not be downloaded again here, nor be compiled.
        command = command.replace("install --no-cache-dir", "install --no-compile")
        ran = subprocess.run(
            ["/bin/sh", "-ec", command.replace(" --no-cache-dir", "")],
            cwd=work,
            env={**os.environ, **arguments, "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, f"RUN {command}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"


def _link_large_packages(site: Path) -> None:
    """Link PyTorch, the CUDA libraries that it may want, and TensorRT-RTX into ``site``."""
    wanted = re.compile(r"torch|triton|nvidia-(?!modelopt|pytriton).*|tensorrt-rtx.*")
    for package in distributions():
        if not wanted.fullmatch(package.name.lower().replace("_", "-")):
            continue
        for name in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(package.locate_file(name))))


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder = tmp_path_factory.mktemp("images")
    yield Replay(folder, read_stages())
    shutil.rmtree(folder)  # pytest would keep those of the last three runs


@pytest.fixture(scope="session")
def server_image(replay: Replay) -> Path:
    """`/opt/mqspn` of the image `server`."""
    replay.build("wheel")
    return replay.build("server")


@pytest.fixture(scope="session")
def plans_image(replay: Replay, server_image: Path) -> Path:
    """`/opt/mqspn` of the image `plans`, with TensorRT-RTX."""
    return replay.build("plans")
