"""Replace files and folders so that they are there whole or not at all.

What is new is written beside its place, reaches the disk, and then takes the place. A file takes it
in one step: a kill, a full disk or a power cut leaves the old one or the new one. A folder takes it
in two renames: a kill between them leaves nothing in the place, and the old one whole beside it.

An operating-system error in one of these blocks names the file that the caller named, as a full
disk by itself does not.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

__all__ = [
    "check_replaceable",
    "named_in_errors",
    "replace_text",
    "replacing",
    "replacing_contents",
    "replacing_folder",
    "replacing_text",
]


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[BinaryIO]:
    """Write a file whole or not at all: the block's bytes take ``path``'s place at its end.

    A block that raises leaves ``path`` as it was. A file that is replaced hands on its mode. Where
    ``path`` is a symbolic link, the file it points to is replaced and the link stays.
    ``shared``: several processes may write ``path`` at once; the last one stays.

    Raises OSError where ``path`` is a folder, a device, a pipe or a socket.
    """
    place = _regular_file(path)
    partial = _partial(place, shared)
    with named_in_errors(path, instead_of=partial):
        file = partial.open("wb")
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if place.exists():
                    shutil.copymode(place, partial)
            partial.replace(place)
            _sync(place.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """Write a text file in UTF-8 whole or not at all, see `replacing`."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        try:
            yield text
        finally:
            text.detach()


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all, see `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def check_replaceable(path: Path) -> None:
    """Raise OSError where `replacing` could not write ``path``: before work that ends there."""
    partial = _partial(_regular_file(path))
    with named_in_errors(path, instead_of=partial):
        partial.touch()
        partial.unlink()


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Write a folder whole or not at all: the one given to the block takes its place at the end.

    Between two renames at the end a kill leaves the old one beside ``folder``, and not in it. Where
    ``folder`` is a symbolic link, the folder it points to is replaced and the link stays.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
    new, old = work / "new", work / "old"
    try:
        with named_in_errors(folder):
            new.mkdir()
            yield new
            _sync_files(new)
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(new, folder)
        except OSError:
            if old.exists():
                os.rename(old, folder)
            raise
        _sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def replacing_contents(folder: Path, *, last: str, gone: str) -> Iterator[Path]:
    """Replace files in ``folder``, made if absent, by those that the block writes elsewhere.

    ``last`` is the file without which the others are nothing: it goes first and comes last;
    ``gone`` speaks of it and goes with it. A kill in the block changes nothing; a kill while the
    files are put in their places leaves no ``last``: never parts of two. Other files stay.
    (``folder`` itself is not renamed: it may be a mount.)
    """
    staged = folder / ".partial"
    if staged.exists():
        shutil.rmtree(staged)
    staged.mkdir(parents=True)
    with named_in_errors(folder):
        yield staged
        _sync_files(staged)
    for name in (last, gone):
        (folder / name).unlink(missing_ok=True)
    for path in sorted(staged.rglob("*")):
        if path.is_file() and path != staged / last:
            place = folder / path.relative_to(staged)
            place.parent.mkdir(exist_ok=True)
            path.replace(place)
    for path in (folder, *(path for path in sorted(folder.iterdir()) if path.is_dir())):
        _sync(path)
    (staged / last).replace(folder / last)
    _sync(folder)
    shutil.rmtree(staged)


@contextmanager
def named_in_errors(path: Path, *, instead_of: Path | None = None) -> Iterator[None]:
    """Let an operating-system error of the block that names no file name ``path``.

    ``instead_of``: a file that the user did not name, whose errors name ``path`` too.
    """
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None or str(error.filename) == str(instead_of)
        if error.errno is not None and unnamed:
            error.filename = str(path)
        raise


def _regular_file(path: Path) -> Path:
    """Follow ``path``'s links to the file to replace, there or not yet; OSError for another kind.

    Renaming a file over a device or a pipe would take it away from every other program.
    """
    place = Path(os.path.realpath(path))
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return place
    except OSError as error:
        error.filename = str(path)
        raise
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file to write to", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no regular file; name a regular file", str(path))
    return place


def _partial(path: Path, shared: bool = False) -> Path:
    return path.with_name(
        f"{path.name}.{os.getpid()}.partial" if shared else f"{path.name}.partial"
    )


def _sync_files(folder: Path) -> None:
    """Bring a folder's files, and the folders in it, to the disk."""
    for path in (folder, *folder.rglob("*")):
        _sync(path)


def _sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
