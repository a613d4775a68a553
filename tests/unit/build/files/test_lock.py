"""A folder is one process's at a time, and nobody's after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mqspn.files.lock import lock_folder

HOLD = """
import sys, time
from pathlib import Path
from mqspn.files.lock import lock_folder
with lock_folder(Path(sys.argv[1]), option="--run folder"):
    print("held", flush=True)
    time.sleep(300)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    try:
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=r"another process works in .*run; .* another --run"),
            lock_folder(run, option="--run folder"),
        ):
            pass
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=60)
    with lock_folder(run, option="--run folder"):
        pass


def test_it_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock_folder(tmp_path, option="--run folder"):
        raise KeyError
    with lock_folder(tmp_path, option="--run folder"):
        pass
