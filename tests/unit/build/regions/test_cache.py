"""Rows on disk: appended, kept over a kill, begun again where they are of something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mqspn.regions.cache import RegionCache, weights_digest

ARRAYS = {"states": ((5, 2, 3), np.float32), "sizes": ((5, 2), np.int32)}
STATES = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
SIZES = np.arange(10, dtype=np.int32).reshape(5, 2)


def cache(folder: Path, made_of: str = "x") -> RegionCache:
    return RegionCache(folder, ARRAYS, fingerprint=made_of)


def append(kept: RegionCache, first: int, last: int) -> None:
    kept.append({"states": STATES[first:last], "sizes": SIZES[first:last]})


def test_rows_are_kept_over_a_kill(tmp_path: Path) -> None:
    append(cache(tmp_path / "c"), 0, 2)
    again = cache(tmp_path / "c")
    assert again.done == 2
    np.testing.assert_array_equal(again.load()["states"][:2], STATES[:2])
    append(again, 2, 5)
    arrays = cache(tmp_path / "c").load()
    np.testing.assert_array_equal(arrays["states"], STATES)
    np.testing.assert_array_equal(arrays["sizes"], SIZES)
    assert {name: array.dtype for name, array in arrays.items()} == {
        "states": np.float32,
        "sizes": np.int32,
    }


def test_rows_without_their_mark_are_written_again(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    append(kept, 0, 2)
    before = (tmp_path / "progress.json").read_text()
    kept.append({"states": STATES[:2] - 1, "sizes": SIZES[:2]})
    (tmp_path / "progress.json").write_text(before)  # as a kill between rows and mark leaves it
    again = cache(tmp_path)
    append(again, 2, 5)
    np.testing.assert_array_equal(again.load()["states"], STATES)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("progress.json", empty),
        ("states.npy", empty),
        ("states.npy", cut),
        ("sizes.npy", Path.unlink),
    ],
)
def test_a_damaged_cache_is_begun_again(
    name: str, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    append(cache(tmp_path), 0, 2)
    damage(tmp_path / name)
    again = cache(tmp_path)
    assert again.done == 0
    append(again, 0, 5)
    np.testing.assert_array_equal(cache(tmp_path).load()["states"], STATES)


def test_other_content_is_begun_again(tmp_path: Path) -> None:
    append(cache(tmp_path), 0, 5)
    other = cache(tmp_path, "y")
    assert other.done == 0
    assert not other.load()["states"].any()
    assert cache(tmp_path, "x").done == 0


def test_what_is_loaded_may_be_changed_but_not_on_disk(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    append(kept, 0, 5)
    states = kept.load()["states"]
    torch.from_numpy(states)[:] = 0
    assert not states.any()
    np.testing.assert_array_equal(kept.load()["states"], STATES)


def test_rows_of_zeros_take_no_room(tmp_path: Path) -> None:
    kept = RegionCache(tmp_path, {"states": ((3, 1 << 20), np.float32)}, fingerprint="x")
    kept.append({"states": np.zeros((1, 1 << 20), np.float32)})
    assert (tmp_path / "states.npy").stat().st_blocks * 512 < 1 << 20
    kept.append({"states": np.ones((1, 1 << 20), np.float32)})
    kept.append({"states": np.zeros((1, 1 << 20), np.float32)})
    assert kept.done == 3
    assert kept.load()["states"].mean(axis=1).tolist() == [0, 1, 0]


def test_no_rows(tmp_path: Path) -> None:
    kept = RegionCache(tmp_path, {"states": ((0, 2, 3), np.float32)}, fingerprint="x")
    assert kept.load()["states"].shape == (0, 2, 3)


def test_rows_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="equal number"):
        cache(tmp_path).append({"states": STATES, "sizes": SIZES[:2]})
    with pytest.raises(ValueError, match="equal number"):
        cache(tmp_path).append({"states": STATES})
    assert not (tmp_path / "progress.json").exists()


def test_the_mark_is_one_small_file(tmp_path: Path) -> None:
    append(cache(tmp_path), 0, 1)
    assert json.loads((tmp_path / "progress.json").read_text()) == {"made_of": "x", "done": 1}


def test_the_digest_is_of_weights_and_buffers() -> None:
    module = torch.nn.BatchNorm1d(2)
    digests = {weights_digest(module)}
    with torch.no_grad():
        module.weight[0] = 2
    digests.add(weights_digest(module))
    assert module.running_mean is not None
    module.running_mean[0] = 3
    digests.add(weights_digest(module))
    assert len(digests) == 3
    assert weights_digest(module) in digests
