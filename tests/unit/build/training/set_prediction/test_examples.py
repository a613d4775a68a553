"""Gold spans become tokens, gold boxes become right regions, batches are padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import GoldEntity, Post
from mqspn.regions.states import RegionStates
from mqspn.training.set_prediction.examples import collate, make_examples
from mqspn_backend.text import TextTokenizer

TEXT = "Jordan meets Taylor Swift in New York # Paris @ fan"
TYPES = ["PER", "LOC", "ORG", "MISC"]


def make_post(*entities: GoldEntity, text: str = TEXT) -> Post:
    return Post(id="p", text=text, words=tuple(text.split()), entities=entities, image=None)


def make_regions(posts: int = 1) -> RegionStates:
    """Four regions of a 200 x 100 image, the last one padding."""
    boxes = np.array([[0, 0, 0.5, 1], [0.05, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 0.5, 1]])
    return RegionStates(
        boxes=np.tile(boxes.astype(np.float32), (posts, 1, 1)),
        scores=np.tile(np.array([0.9, 0.8, 0.7, 0.0], np.float32), (posts, 1)),
        visual_states=np.ones((posts, 4, 5), np.float32),
        sizes=np.tile(np.array([200, 100], np.int32), (posts, 1)),
    )


@pytest.fixture
def tokenizer(checkpoint: Checkpoint) -> TextTokenizer:
    return TextTokenizer(checkpoint.tokenizer, (16, 32))


def test_spans_and_types(tokenizer: TextTokenizer) -> None:
    swift = GoldEntity(13, 25, "PER")
    paris = GoldEntity(TEXT.index("Paris"), TEXT.index("Paris") + 5, "LOC")
    assert TEXT[13:25] == "Taylor Swift"
    examples, lost = make_examples(
        [make_post(swift, paris)], make_regions(), tokenizer, types=TYPES, region_iou=0.5
    )
    assert lost == 0
    target = examples[0].target
    assert target.types.tolist() == [1, 2]
    offsets = tokenizer.encode([TEXT]).offsets[0]
    for i, gold in enumerate((swift, paris)):
        assert offsets[target.starts[i], 0] == gold.start
        assert offsets[target.ends[i], 1] == gold.end


def test_every_region_that_overlaps_enough_is_right(tokenizer: TextTokenizer) -> None:
    shown = GoldEntity(0, 6, "PER", ((0, 0, 100, 100),))
    two = GoldEntity(13, 25, "PER", ((0, 0, 100, 100), (100, 0, 200, 100)))
    uncovered = GoldEntity(29, 37, "LOC", ((0, 0, 20, 20),))
    absent = GoldEntity(40, 45, "LOC")
    examples, _ = make_examples(
        [make_post(shown, two, uncovered, absent)],
        make_regions(),
        tokenizer,
        types=TYPES,
        region_iou=0.5,
    )
    assert examples[0].target.regions.tolist() == [
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]


def test_what_cannot_be_kept_is_counted(tokenizer: TextTokenizer) -> None:
    inside_a_word = GoldEntity(0, 3, "PER")
    unknown_type = GoldEntity(13, 25, "EVENT")
    long_text = "Jordan " * 40 + "Paris"
    past_the_end = make_post(GoldEntity(len(long_text) - 5, len(long_text), "LOC"), text=long_text)
    examples, lost = make_examples(
        [make_post(inside_a_word, unknown_type), past_the_end],
        make_regions(2),
        tokenizer,
        types=TYPES,
        region_iou=0.5,
    )
    assert lost == 3
    assert [len(e.target.types) for e in examples] == [0, 0]
    assert examples[0].target.regions.shape == (0, 5)


def test_collate_pads_and_drops(tokenizer: TextTokenizer) -> None:
    shown = GoldEntity(0, 6, "PER", ((0, 0, 100, 100),))
    regions = make_regions(2)
    examples, _ = make_examples(
        [make_post(shown), make_post(text="Paris")],
        regions,
        tokenizer,
        types=TYPES,
        region_iou=0.5,
    )
    plain = collate(examples, regions, pad_token_id=0, unknown_token_id=1)
    lengths = [len(e.input_ids) for e in examples]
    assert plain.attention_mask.sum(dim=1).tolist() == lengths
    assert plain.input_ids[1, lengths[1] :].eq(0).all()
    assert plain.region_scores[0, 0] > 0

    dropped = collate(
        examples,
        regions,
        pad_token_id=0,
        unknown_token_id=1,
        word_dropout=1.0,
        image_dropout=1.0,
        randoms=[np.random.default_rng(i) for i in range(2)],
    )
    assert dropped.region_scores.eq(0).all()
    assert dropped.targets[0].regions.tolist() == [[1, 0, 0, 0, 0]]
    entity = slice(int(examples[0].target.starts[0]), int(examples[0].target.ends[0]) + 1)
    kept = torch.from_numpy(examples[0].input_ids)
    assert torch.equal(dropped.input_ids[0, entity], kept[entity])
    outside = [i for i in range(1, lengths[0] - 1) if not entity.start <= i < entity.stop]
    assert dropped.input_ids[0, outside].eq(1).all()
    assert regions.scores[0, 0] > 0  # the cached states are not touched

    named = collate(
        examples,
        regions,
        pad_token_id=0,
        unknown_token_id=1,
        entity_dropout=1.0,
        randoms=[np.random.default_rng(i) for i in range(2)],
    )
    assert named.input_ids[0, entity].eq(1).all()
    assert torch.equal(named.input_ids[0, outside], kept[outside])
    assert named.input_ids[0, [0, lengths[0] - 1]].tolist() == kept[[0, -1]].tolist()
