"""A file's digest is that of its bytes, however many."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mqspn.files.digest import file_sha256


def test_it_is_of_all_bytes(tmp_path: Path) -> None:
    for content in (b"", b"abc", bytes(range(256)) * 9000):  # the last one: more than two blocks
        (tmp_path / "file").write_bytes(content)
        assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
