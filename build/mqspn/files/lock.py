"""One process at a time in a folder that holds a run."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqspn.errors import BuildError

__all__ = ["lock_folder"]


@contextmanager
def lock_folder(folder: Path, *, option: str) -> Iterator[None]:
    """Hold ``folder``, made if absent, by a lock on its file ``lock``; a kill lets go of it.

    ``option`` is the one that names the folder. Raises BuildError where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildError(
                f"another process works in {folder}; wait for its end, or name another {option}"
            ) from error
        yield
