"""The offline predictor's two halves, on a tiny checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.evaluation.network_output import decode_output
from mqspn.evaluation.offline import network_outputs, predict_with_states
from mqspn.regions.states import RegionStates, compute_region_states
from mqspn_backend.serving_settings import DecodingSettings


@pytest.fixture
def lenient(checkpoint: Checkpoint) -> Checkpoint:
    decoding = DecodingSettings(entity_threshold=0.0, max_entity_words=2)
    return replace(checkpoint, settings=replace(checkpoint.settings, decoding=decoding))


@pytest.fixture
def posts() -> list[Post]:
    texts = ["Jordan meets Taylor Swift", "", "in New York # Paris @ fan " * 3, "Jordan", "x " * 40]
    return [
        Post(id=str(i), text=text, words=tuple(text.split()), entities=(), image=None)
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def regions(lenient: Checkpoint, posts: list[Post]) -> RegionStates:
    """Random regions with random states, as of images of 200 by 100 pixels."""
    empty = compute_region_states(lenient.model, lenient.settings, posts, progress=False)
    random = np.random.default_rng(0)
    corners = random.random((*empty.scores.shape, 2, 2))
    return RegionStates(
        boxes=np.concatenate([corners.min(axis=2), corners.max(axis=2)], -1).astype(np.float32),
        scores=random.random(empty.scores.shape).astype(np.float32),
        visual_states=random.normal(size=empty.visual_states.shape).astype(np.float32),
        sizes=np.tile(np.array([200, 100], np.int32), (len(posts), 1)),
    )


def test_the_halves_make_the_whole(
    lenient: Checkpoint, posts: list[Post], regions: RegionStates
) -> None:
    types = [t.name for t in lenient.settings.types]
    outputs = list(network_outputs(lenient, posts, regions, batch_size=2))
    assert [len(output.posts) for output in outputs] == [2, 2, 1]
    answers = [
        a for output in outputs for a in decode_output(output, lenient.settings.decoding, types)
    ]
    assert answers == predict_with_states(lenient, posts, regions, batch_size=2)
    assert sum(map(len, answers)) > 0
    for output in outputs:
        for array in (output.type_probs, output.start_probs, output.end_probs, output.region_probs):
            assert array.dtype == np.float32


def test_the_batch_does_not_matter(
    lenient: Checkpoint, posts: list[Post], regions: RegionStates
) -> None:
    for one, other in zip(
        predict_with_states(lenient, posts, regions, batch_size=1),
        predict_with_states(lenient, posts, regions, batch_size=5),
        strict=True,
    ):
        assert [(e.start, e.end, e.type, e.box) for e in one] == [
            (e.start, e.end, e.type, e.box) for e in other
        ]
        assert [e.score for e in one] == pytest.approx([e.score for e in other], abs=2e-4)


def test_boxes_are_in_pixels_of_the_image(
    lenient: Checkpoint, posts: list[Post], regions: RegionStates
) -> None:
    boxes = [e.box for a in predict_with_states(lenient, posts, regions) for e in a if e.box]
    known = np.round(regions.boxes.reshape(-1, 4) * [200, 100, 200, 100], 1)
    for box in boxes:
        assert np.abs(known - box).max(axis=1).min() < 0.06


def test_no_posts(lenient: Checkpoint, regions: RegionStates) -> None:
    assert predict_with_states(lenient, [], regions) == []
