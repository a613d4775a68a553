"""Every command of docs/quickstart.md is run as it is written, and prints what the page shows.

What differs from a reader's machine: the ports, which may be taken here, and the virtual
environment, which is the tests' own and is not installed again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from mqspn.serving.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
COMMANDS, OUTPUTS = ("bash", "python"), ("text", "json")
# Needs root and a network; `make demo` itself says so where a package is missing.
NOT_RUN = ["apt-get install make python3-venv libpython3-dev"]


@dataclass(frozen=True)
class Block:
    """A fenced block of the page."""

    language: str
    text: str

    @property
    def serves(self) -> bool:
        return "mqspn serve" in self.text


BLOCKS = [Block(*found) for found in re.findall(r"^```(.*)\n((?s:.*?))^```$", PAGE, re.MULTILINE)]
RUN = [block for block in BLOCKS if block.language in COMMANDS and not block.serves]


def with_ports(text: str, ports: list[int]) -> str:
    """The block with the ports that are free here in place of the default ones."""
    grpc, http, metrics = ports
    options = f"--grpc-port {grpc} --http-port {http} --metrics-port {metrics}"
    text = text.replace("mqspn serve", f"mqspn serve {options}")
    text = re.sub(r"mqspn (predict|batch)", rf"mqspn \1 --url 127.0.0.1:{grpc}", text)
    return text.replace("127.0.0.1:8001", f"127.0.0.1:{grpc}")


def shown(text: str) -> list[str]:
    """Lines to compare. Numbers do not count: scores may differ in their last digit."""
    lines = (re.sub(r"\d+(\.\d+)?", "N", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a reader stands in: the clone, made of links, with the environment of `make demo`."""
    sources = ("LICENSE", "build", "clients", "demo", "model_repository", "python_backend")
    for name in ("Makefile", "constraints.txt", "pyproject.toml", *sources):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv-demo").symlink_to(sys.prefix)
    (tmp_path / "installed").touch()
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """`make demo` takes the environment for installed, and leaves its stamps alone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    made = "-- DEMO_STAMP=installed IS_OURS=pass"
    return {**kept, "MAKEFLAGS": made, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}


@contextmanager
def started(command: str, folder: Path, environment: dict[str, str]) -> Iterator[IO[str]]:
    """The page's server, for as long as the block lasts; gives what it prints."""
    # In the shell's place, so that Ctrl-C reaches it as in a terminal.
    command = command.replace("mqspn serve", "exec mqspn serve")
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0


def printed(
    blocks: list[Block], ports: list[int], folder: Path, environment: dict[str, str]
) -> list[str]:
    """What each of the blocks prints, run one after the other in one shell."""
    script = ""
    for number, block in enumerate(blocks):
        text = with_ports(block.text, ports)
        if block.language == "python":
            (folder / f"block{number}.py").write_text(text, encoding="utf-8")
            text = f"python block{number}.py\n"
        script += f"{text}echo '::: end of a block'\n"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    outputs = ran.stdout.split("::: end of a block\n")[:-1]
    assert ran.returncode == 0, ran.stdout
    assert len(outputs) == len(blocks), ran.stdout
    return outputs


def test_every_block_is_a_command_or_an_output() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") / 2
    assert {block.language for block in BLOCKS} <= {*COMMANDS, *OUTPUTS}
    assert len(RUN) >= 6
    # Nor does a command hide in a sentence.
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"(?ms)^```.*?^```$", "", PAGE))
    programs = ("apt", "cd ", "curl", "git ", "make ", "mqspn", "pip ", "python ", "source ")
    assert [code for code in inline if code.startswith(programs)] == NOT_RUN


def test_the_page_runs(folder: Path, environment: dict[str, str]) -> None:
    ports = free_ports(3)
    (server,) = [block for block in BLOCKS if block.serves]
    with started(with_ports(server.text, ports), folder, environment) as log:
        # `make demo` starts a server of its own: the two come up side by side.
        demo = printed(RUN[:1], ports, folder, environment)
        ready = log.readline()
        outputs = iter([*demo, *printed(RUN[1:], ports, folder, environment)])
    output = ""
    for block in BLOCKS:
        if block.language in COMMANDS:
            output = ready if block.serves else next(outputs)
        else:
            lines = iter(shown(output))
            missing = [line for line in shown(block.text) if line not in lines]
            assert not missing, (missing, output)
    assert (folder / "demo-output" / "jordan-shoe.png").exists()
    assert (folder / "out.png").exists()
