"""The shared library of a Python is found, or its absence says how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.serving.errors import PythonLibraryError
from mqspn.serving.python_library import find_python_library


def test_the_running_pythons_library_is_found() -> None:
    path = find_python_library()
    assert path is None or path.is_file()


def test_the_first_folder_that_has_it_wins(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    for name in ("b", "c"):
        (tmp_path / name / "libpython3.12.so.1.0").touch()
    folders = [tmp_path / name for name in ("a", "b", "c")]
    assert find_python_library((3, 12), folders) == tmp_path / "b" / "libpython3.12.so.1.0"


def test_a_missing_library_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "libpython3.12.so.1.0").touch()
    with pytest.raises(PythonLibraryError) as caught:
        find_python_library((3, 11), [tmp_path])
    message = str(caught.value)
    assert "libpython3.11.so.1.0 is missing" in message
    assert "apt-get install libpython3.11" in message
    assert "--enable-shared" in message
