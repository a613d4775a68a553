"""A file is replaced whole, and stays as it was where writing the new one fails."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest
from mqspn.files.replace import (
    check_replaceable,
    replace_text,
    replacing,
    replacing_contents,
    replacing_folder,
    replacing_text,
)


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


def test_a_mode_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.touch(mode=0o640)
    replace_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_failure_without_a_name_is_given_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(OSError, match="No space left") as full, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_lines_of_text_take_the_files_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with replacing_text(path) as file:
        file.write("é\n")
        file.write("b\n")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "é\nb\n"

    def fail() -> None:
        with replacing_text(path) as file:
            file.write("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text(encoding="utf-8") == "é\nb\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_files_place_is_said_at_once(tmp_path: Path) -> None:
    begun = False
    with pytest.raises(IsADirectoryError, match="name a file"), replacing(tmp_path):
        begun = True
    assert not begun


def test_two_writers_of_a_shared_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with replacing(path, shared=True) as file:
        file.write(b"one")
        assert not (tmp_path / "cache.partial").exists()
        with replacing(path) as other:
            other.write(b"another")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_is_found_before(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "a.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        check_replaceable(tmp_path / "nowhere" / "a.json")


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    with replacing_folder(folder) as new:
        (new / "a").mkdir()
        (new / "a" / "1").write_text("first")
    with replacing_folder(folder) as new:
        (new / "b").write_text("second")
        assert (folder / "a" / "1").exists()
    assert [path.name for path in folder.iterdir()] == ["b"]

    def fail() -> None:
        with replacing_folder(folder) as new:
            (new / "c").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_without_its_last_file_gets_the_others_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").touch()
    for text in ("first", "second"):
        with replacing_contents(tmp_path, last="weights", gone="report") as staged:
            (staged / "part").mkdir()
            for name in ("weights", "settings", "part/config"):
                (staged / name).write_text(text)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"mine", "weights", "settings", "part", "part/config"}
    assert {(tmp_path / n).read_text() for n in ("weights", "settings", "part/config")} == {text}
    put: list[str] = []
    original = Path.replace

    def replace(self: Path, place: Path) -> Path:
        put.append(self.name)
        return original(self, place)

    monkeypatch.setattr(Path, "replace", replace)
    with replacing_contents(tmp_path, last="weights", gone="settings") as staged:
        for name in ("weights", "z"):
            (staged / name).touch()
        assert (tmp_path / "weights").read_text() == "second"
    assert put == ["z", "weights"]
    assert not (tmp_path / "settings").exists()
