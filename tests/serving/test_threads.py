"""The threads that engines have on a real server: the usable cores, or what `--threads` says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mqspn.serving import ServerError, ServerSettings, TritonServer
from mqspn_backend.cores import usable_cores
from mqspn_client import Client


def stub_threads(repository: Path, model: str) -> list[int]:
    """How many threads each process has that runs ``model`` of the served ``repository``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if command.split(b"\0")[1].startswith(f"{repository}/{model}/".encode()):
                found.append(len(list((process / "task").iterdir())))
        except (OSError, IndexError):
            continue
    return found


def test_threads_for_all_models_and_by_default_the_usable_cores(
    tiny_server: TritonServer, settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(tiny_server.settings.repository, repository)
    threads = usable_cores() + 3
    with TritonServer(settings(repository, threads=threads)):
        for model in ("text_encoder", "region_encoder"):
            (default,) = stub_threads(tiny_server.settings.repository, model)
            (found,) = stub_threads(repository, model)
            # An engine that has seen a large batch has one more for each thread but the first.
            assert found - default in range(4 - usable_cores(), 4)


def test_instances_of_the_vision_engines(
    tiny_server: TritonServer, settings: Callable[..., ServerSettings]
) -> None:
    with TritonServer(settings(tiny_server.settings.repository, instances=2)) as server:
        repository = server._folder / "models"
        for model, count in (("region_proposer", 2), ("region_encoder", 2), ("text_encoder", 1)):
            assert len(stub_threads(repository, model)) == count
        with Client(tiny_server.url) as one, Client(server.url) as two:
            for text in ("Jordan", "lands in Jordan"):
                assert two.predict(text) == one.predict(text)


def test_a_bad_number_in_the_environment_is_refused_in_one_sentence(
    settings: Callable[..., ServerSettings],
    echo_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MQSPN_THREADS", "two")
    with pytest.raises(ServerError, match=r"^MQSPN_THREADS must be a whole number.*not 'two'$"):
        TritonServer(settings(echo_repository)).start()
