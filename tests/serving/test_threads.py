"""The threads that engines have on a real server: the usable cores, or what `--threads` says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mqspn.serving import ServerError, ServerSettings, TritonServer
from mqspn_backend.cores import usable_cores


def stub_threads(repository: Path, model: str) -> int:
    """How many threads the process has that runs ``model`` of the served ``repository``."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if command.split(b"\0")[1].startswith(f"{repository}/{model}/".encode()):
                return len(list((process / "task").iterdir()))
        except (OSError, IndexError):
            continue
    raise AssertionError(f"nothing runs {model} of {repository}")


def test_threads_for_all_models_and_by_default_the_usable_cores(
    tiny_server: TritonServer, settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(tiny_server.settings.repository, repository)
    threads = usable_cores() + 3
    with TritonServer(settings(repository, threads=threads)):
        for model in ("text_encoder", "region_encoder"):
            default = stub_threads(tiny_server.settings.repository, model)
            assert stub_threads(repository, model) - default == 3


def test_a_bad_number_in_the_environment_is_refused_in_one_sentence(
    settings: Callable[..., ServerSettings],
    echo_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MQSPN_THREADS", "two")
    with pytest.raises(ServerError, match=r"^MQSPN_THREADS must be a whole number.*not 'two'$"):
        TritonServer(settings(echo_repository)).start()
