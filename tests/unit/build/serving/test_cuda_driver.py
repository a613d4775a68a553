"""The driver's library under the name that Triton asks for, with a shared object in its place.

A process reads LD_LIBRARY_PATH when it starts, so each case is a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mqspn.serving.cuda_driver import find_cuda_driver
from mqspn.serving.errors import ProviderRefusedError

NAME = "libmqspn-test.so"
FOUND = f"from mqspn.serving.cuda_driver import find_cuda_driver; print(find_cuda_driver({NAME!r}))"
LOADED = f"import ctypes; print(ctypes.CDLL({NAME!r})._name)"


def shared_object() -> Path:
    """A library that every Linux has: the one of mathematics."""
    ctypes.CDLL("libm.so.6")
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(path) for line in maps if "/libm" in (path := line.split()[-1]))


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_driver_of_one_name_only_is_found_and_loads_through_the_link(tmp_path: Path) -> None:
    driver = tmp_path / f"{NAME}.1"
    shutil.copy(shared_object(), driver)
    found = run(FOUND, tmp_path)
    assert found.stdout.strip() == str(driver), found.stderr
    assert run(LOADED, tmp_path).returncode != 0
    (tmp_path / NAME).symlink_to(found.stdout.strip())
    assert run(LOADED, tmp_path).stdout.strip() == NAME
    assert run(FOUND, tmp_path).stdout.strip() == "None"


def test_the_file_that_a_link_leads_to_is_found(tmp_path: Path) -> None:
    shutil.copy(shared_object(), tmp_path / f"{NAME}.580.65")
    (tmp_path / f"{NAME}.1").symlink_to(f"{NAME}.580.65")
    found = Path(run(FOUND, tmp_path).stdout.strip())
    assert found.samefile(tmp_path / f"{NAME}.580.65")


def test_without_a_driver_there_is_nothing_to_link(tmp_path: Path) -> None:
    assert run(FOUND, tmp_path).stdout.strip() == "None"


def test_a_driver_that_cannot_be_located_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name loads with .1, but under another one: `maps` does not show it."""

    def load(name: str) -> object:
        if name == NAME:
            raise OSError
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(ProviderRefusedError, match=rf"found {NAME}\.1, needed {NAME} as well"):
        find_cuda_driver(NAME)
