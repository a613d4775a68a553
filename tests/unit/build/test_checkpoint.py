"""A checkpoint is whole in its folder, and says what is missing where it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mqspn.checkpoint import Checkpoint, load_checkpoint, read_report, save_checkpoint


def test_round_trip_gives_the_same_numbers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "demo")
    loaded = load_checkpoint(tmp_path / "demo")
    assert loaded.settings == checkpoint.settings
    assert not loaded.model.training
    ids = torch.randint(5, 90, (2, 7), dtype=torch.int32)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        a = checkpoint.model.text_encoder(ids, mask)
        b = loaded.model.text_encoder(ids, mask)
    torch.testing.assert_close(a, b, atol=0, rtol=0)
    saved = checkpoint.model.state_dict()
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, saved[name], atol=0, rtol=0)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "settings.json", "tokenizer.json", "region_encoder/config.json"],
)
def test_a_missing_file_is_named(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    save_checkpoint(checkpoint, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_checkpoint(tmp_path)


def test_weights_of_other_settings_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text(settings.read_text().replace('"queries": 8', '"queries": 16'))
    with pytest.raises(ValueError, match="do not fit the settings"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b""),
        ("settings.json", b"{"),
        ("settings.json", b"\xff"),
        ("settings.json", b'{"name": "a"}'),
        ("model.safetensors", b"nothing"),
        ("text_encoder/config.json", b"{"),
    ],
)
def test_a_damaged_file_is_named(
    checkpoint: Checkpoint, tmp_path: Path, name: str, content: bytes
) -> None:
    save_checkpoint(checkpoint, tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=str(tmp_path)):
        load_checkpoint(tmp_path)


def test_a_checkpoint_takes_the_place_of_another(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path, report={"run": "first"})
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".partial").mkdir()  # what a kill left
    (tmp_path / ".partial" / "old.json").touch()
    names = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    save_checkpoint(_renamed(checkpoint), tmp_path)
    assert load_checkpoint(tmp_path).settings.name == "second"
    assert read_report(tmp_path) == {}
    gone = {Path(".partial"), Path(".partial/old.json"), Path("training_report.json")}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == names - gone


class Killed(BaseException):
    """What nothing in a save catches: the rest of it is not done."""


def test_a_kill_never_leaves_parts_of_two(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Ended before each of the file operations that a save makes in the checkpoint's folder."""
    first = tmp_path / "first"
    save_checkpoint(checkpoint, first, report={"run": "first"})
    found = []
    for left in range(12):
        folder = tmp_path / str(left)
        shutil.copytree(first, folder)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            _end_after(left, patch)
            save_checkpoint(_renamed(checkpoint), folder)
        if (folder / "model.safetensors").exists():
            found.append(load_checkpoint(folder).settings.name)
        else:
            found.append("none")
        if left == 5:  # a later save mends it
            assert found[-1] == "none"
            save_checkpoint(_renamed(checkpoint), folder)
            assert load_checkpoint(folder).settings.name == "second"
    # Once the old one is gone nothing but the new one comes.
    order = [checkpoint.settings.name, "none", "second"]
    assert found == sorted(found, key=order.index)
    assert set(found) == set(order)


def _renamed(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, settings=replace(checkpoint.settings, name="second"))


def _end_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """Let ``count`` calls of ``Path.unlink`` and ``Path.replace`` through, and no more."""
    left = [count]

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return operation(*arguments, **keywords)

        return wrapped

    patch.setattr(Path, "unlink", counted(Path.unlink))
    patch.setattr(Path, "replace", counted(Path.replace))
