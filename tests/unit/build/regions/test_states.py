"""Region states: of the proposer's boxes or of boxes on disk, and cached over a kill."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.data.errors import DataError
from mqspn.data.posts import Post
from mqspn.data.proposals import Proposals, write_proposals
from mqspn.regions.states import RegionStates, compute_region_states
from PIL import Image


@pytest.fixture
def posts(tmp_path: Path) -> list[Post]:
    """Five posts, the third without image, of images of several sizes."""
    random = np.random.default_rng(0)
    posts = []
    for i, size in enumerate([(80, 60), (64, 64), None, (50, 90), (33, 70)]):
        path = None
        if size is not None:
            path = tmp_path / f"p{i}.jpg"
            pixels = random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        posts.append(Post(id=f"p{i}", text="x", words=("x",), entities=(), image=path))
    return posts


def compute(checkpoint: Checkpoint, posts: list[Post], **options: Any) -> RegionStates:
    return compute_region_states(
        checkpoint.model, checkpoint.settings, posts, batch_size=2, progress=False, **options
    )


def same(a: RegionStates, b: RegionStates) -> None:
    for name, array in vars(a).items():
        np.testing.assert_array_equal(vars(b)[name], array, err_msg=name)


class Proposer(torch.nn.Module):
    """Counts the images it is asked for, and dies at the given one."""

    def __init__(self, proposer: torch.nn.Module, dies_at: int | None = None) -> None:
        super().__init__()
        self.proposer, self.dies_at, self.images = proposer, dies_at, 0

    def forward(self, pixels: torch.Tensor, sizes: torch.Tensor) -> object:
        self.images += len(pixels)
        if self.dies_at is not None and self.images >= self.dies_at:
            raise KeyboardInterrupt
        return self.proposer(pixels, sizes)


def test_a_post_without_image_has_no_regions(checkpoint: Checkpoint, posts: list[Post]) -> None:
    states = compute(checkpoint, posts)
    assert states.sizes.tolist() == [[80, 60], [64, 64], [0, 0], [50, 90], [33, 70]]
    assert not states.scores[2].any()
    assert not states.visual_states[2].any()
    assert (states.scores[[0, 1, 3, 4]] > 0).any(axis=1).all()


def test_an_empty_image_is_no_post_without_one(checkpoint: Checkpoint, posts: list[Post]) -> None:
    image = posts[1].image
    assert image is not None
    image.write_bytes(b"")
    with pytest.raises(ValueError, match=r"p1\.jpg: is empty"):
        compute(checkpoint, posts)


def test_the_cache_holds_what_is_computed(
    checkpoint: Checkpoint, posts: list[Post], tmp_path: Path
) -> None:
    expected = compute(checkpoint, posts)
    same(expected, compute(checkpoint, posts, cache=tmp_path / "cache"))
    same(expected, compute(checkpoint, posts, cache=tmp_path / "cache"))


def test_a_kill_costs_one_batch(
    checkpoint: Checkpoint, posts: list[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute(checkpoint, posts)
    model = checkpoint.model
    original = model.region_proposer
    dying = Proposer(original, dies_at=3)
    monkeypatch.setitem(model._modules, "region_proposer", dying)
    with pytest.raises(KeyboardInterrupt):
        compute(checkpoint, posts, cache=tmp_path / "cache")
    dying.dies_at, dying.images = None, 0
    same(expected, compute(checkpoint, posts, cache=tmp_path / "cache"))
    assert dying.images == 2  # the first two of the four were kept
    compute(checkpoint, posts, cache=tmp_path / "cache")
    assert dying.images == 2


def test_a_cache_of_another_model_or_data_is_made_again(
    checkpoint: Checkpoint, posts: list[Post], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    compute(checkpoint, posts, cache=cache)
    turned = posts[::-1]
    same(compute(checkpoint, turned), compute(checkpoint, turned, cache=cache))
    weight = next(checkpoint.model.region_encoder.vision.parameters())
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.add_(1.0)
        changed = compute(checkpoint, turned, cache=cache)
        same(compute(checkpoint, turned), changed)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert not np.array_equal(changed.visual_states, compute(checkpoint, turned).visual_states)


@pytest.fixture
def kept(checkpoint: Checkpoint, posts: list[Post], tmp_path: Path) -> Path:
    """The checkpoint's own proposals on disk."""
    folder = tmp_path / "kept"
    folder.mkdir()
    states = compute(checkpoint, posts)
    for row, post in enumerate(posts):
        if post.image is not None:
            scores = states.scores[row][states.scores[row] > 0]
            width, height = states.sizes[row].tolist()
            write_proposals(
                folder / f"{post.id}.npz",
                Proposals(states.proposals(row), scores),
                (width, height),
            )
    return folder


def test_kept_proposals_stand_in_for_the_proposer(
    checkpoint: Checkpoint, posts: list[Post], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute(checkpoint, posts)
    counting = Proposer(checkpoint.model.region_proposer)
    monkeypatch.setitem(checkpoint.model._modules, "region_proposer", counting)
    found = compute(checkpoint, posts, proposals=kept)
    assert counting.images == 0
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.sizes, expected.sizes)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
    np.testing.assert_allclose(found.visual_states, expected.visual_states, atol=1e-3)


def test_the_first_k_are_taken_and_fewer_are_padded(
    checkpoint: Checkpoint, posts: list[Post], kept: Path
) -> None:
    K = checkpoint.settings.network.regions
    many = np.array([[i, 0, i + 10, 30] for i in range(K + 3)], np.float64)
    np.savez(kept / "p0.npz", num_boxes=K + 3, bounding_boxes=many)
    np.savez(kept / "p1.npz", num_boxes=1, bounding_boxes=[[16, 16, 48, 64]])
    found = compute(checkpoint, posts, proposals=kept)
    np.testing.assert_allclose(found.proposals(0), many[:K], atol=1e-4)
    assert found.boxes[1].tolist() == [[0.25, 0.25, 0.75, 1.0], *[[0.0] * 4] * (K - 1)]
    assert found.scores[1].tolist() == [1.0] + [0.0] * (K - 1)


def test_missing_and_foreign_proposals_are_named(
    checkpoint: Checkpoint, posts: list[Post], kept: Path
) -> None:
    shutil.copy(kept / "p0.npz", kept / "p3.npz")
    with pytest.raises(DataError, match=r"p3.npz: image_width, image_height: made of .* 80 x 60"):
        compute(checkpoint, posts, proposals=kept)
    (kept / "p3.npz").unlink()
    with pytest.raises(ValueError, match=r"1 of 4 posts .* the first is 'p3'"):
        compute(checkpoint, posts, proposals=kept)


def test_a_cache_of_other_proposals_is_made_again(
    checkpoint: Checkpoint, posts: list[Post], kept: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    compute(checkpoint, posts, cache=cache)
    same(
        compute(checkpoint, posts, proposals=kept),
        compute(checkpoint, posts, proposals=kept, cache=cache),
    )
    np.savez(kept / "p1.npz", num_boxes=1, bounding_boxes=[[16, 16, 48, 64]])
    found = compute(checkpoint, posts, proposals=kept, cache=cache)
    assert found.boxes[1, 0].tolist() == [0.25, 0.25, 0.75, 1.0]
