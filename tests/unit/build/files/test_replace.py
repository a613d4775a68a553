"""A file is replaced whole, and stays as it was where writing the new one fails."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
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


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, make_socket])
def test_what_is_no_regular_file_is_refused_and_stays(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    special = Path("special")
    make(special)
    link = Path("link")
    link.symlink_to(special)
    kind = stat.S_IFMT(special.stat().st_mode)
    for path in (special, link):
        with pytest.raises(OSError, match="name a regular file") as refused:
            replace_text(path, "new")
        assert refused.value.filename == str(path)
        with pytest.raises(OSError, match="name a regular file"):
            check_replaceable(path)
    assert stat.S_IFMT(special.stat().st_mode) == kind
    assert {path.name for path in tmp_path.iterdir()} == {"special", "link"}


@pytest.mark.parametrize("there", [True, False])
def test_a_links_target_is_replaced_and_the_link_stays(there: bool, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "a.json"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(Path("elsewhere") / "a.json")
    check_replaceable(link)
    replace_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links") as refused:
        replace_text(link, "new")
    assert refused.value.filename == str(link)
    assert link.is_symlink()


@pytest.mark.parametrize("under", ["nowhere", "file"])
def test_a_file_that_cannot_be_made_is_called_as_the_user_did(under: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / under / "a.json"
    for write in (check_replaceable, lambda path: replace_text(path, "new")):
        with pytest.raises(OSError, match=r"directory") as refused:
            write(path)
        assert refused.value.filename == str(path)


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


def test_a_linked_folder_is_replaced_where_it_is(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "repository"
    target.mkdir(parents=True)
    (target / "old").touch()
    link = tmp_path / "link"
    link.symlink_to(target)
    with replacing_folder(link) as new:
        (new / "new").touch()
    assert link.is_symlink()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_a_folder_may_be_named_by_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "repository" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    with replacing_folder(Path("..")) as new:
        (new / "new").touch()
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["repository", "new"]


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


#: A child that dies by `kill -9` in the block (0), or after that many renames.
KILLED = """
import os, signal, sys
from pathlib import Path
from mqspn.files import replace

folder, mechanism, renames = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def counted(rename):
    def and_die(*args):
        global renames
        rename(*args)
        renames -= 1
        if not renames:
            die()

    return and_die


Path.replace, os.rename = counted(Path.replace), counted(os.rename)
if mechanism == "file":
    with replace.replacing(folder / "weights") as file:
        file.write(b"new" * 100_000)
        file.flush()
        if not renames:
            die()
else:
    block = (
        replace.replacing_contents(folder, last="weights", gone="report")
        if mechanism == "contents"
        else replace.replacing_folder(folder)
    )
    with block as new:
        for name in ("config", "settings", "weights"):
            (new / name).write_text("new" * 100_000)
        if not renames:
            die()
sys.exit("it was not killed")
"""
OLD, NEW = "old", "new" * 100_000


def kill(folder: Path, mechanism: str, renames: int) -> None:
    command = [sys.executable, "-c", KILLED, str(folder), mechanism, str(renames)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr


def held(folder: Path) -> dict[str, str]:
    """What each file of ``folder`` holds, those in work left out."""
    return {path.name: path.read_text() for path in folder.glob("[!.]*") if path.suffix == ""}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config", "settings", "weights", "report"):
        (folder / name).write_text(OLD)
    return folder


@pytest.mark.parametrize(("renames", "text"), [(0, OLD), (1, NEW)])
def test_a_killed_writer_leaves_the_old_file_or_the_new(renames: int, text: str, old: Path) -> None:
    kill(old, "file", renames)
    assert held(old)["weights"] == text
    replace_text(old / "weights", "next")
    assert held(old) == {"config": OLD, "settings": OLD, "weights": "next", "report": OLD}
    assert len(list(old.iterdir())) == 4


@pytest.mark.parametrize("renames", range(4))
def test_killed_between_the_moves_no_parts_of_two_pass_for_one(renames: int, old: Path) -> None:
    """Without the last file, the others are nothing; it is there with its own alone."""
    kill(old, "contents", renames)
    found = held(old)
    assert found.get("weights") == {0: OLD, 3: NEW}.get(renames)
    if renames == 0:
        assert set(found.values()) == {OLD}
    else:
        assert "report" not in found
    if renames == 3:
        assert set(found.values()) == {NEW}
    with replacing_contents(old, last="weights", gone="report") as staged:
        for name in ("config", "settings", "weights"):
            (staged / name).write_text("next")
    assert held(old) == dict.fromkeys(("config", "settings", "weights"), "next")
    assert len(list(old.iterdir())) == 3


@pytest.mark.parametrize(("renames", "text"), [(0, OLD), (1, None), (2, NEW)])
def test_a_killed_writer_leaves_one_whole_folder(renames: int, text: str | None, old: Path) -> None:
    kill(old, "folder", renames)
    if text is not None:
        assert set(held(old).values()) == {text}
        return
    assert not old.exists()
    (beside,) = old.parent.glob(".checkpoint.*.partial/old")
    assert set(held(beside).values()) == {OLD}
    assert len(held(beside)) == 4
