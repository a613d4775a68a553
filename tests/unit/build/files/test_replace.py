"""A file is replaced whole, and stays as it was where writing the new one fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.files.replace import replace_text, replacing


def test_the_text_takes_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "old")
    replace_text(path, "né")
    assert path.read_bytes() == "né".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
