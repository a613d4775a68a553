"""Decoding against a slow and obvious reference, and its invariants."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn_backend.decoding import Prediction, decode
from mqspn_backend.serving_settings import DecodingSettings

Batch = dict[str, np.ndarray]


def reference(batch: Batch, settings: DecodingSettings) -> list[list[Prediction]]:
    """Every pair of tokens of every query, one after another."""
    answers = []
    for b in range(len(batch["type_probs"])):
        candidates = []
        L = batch["word_starts"].shape[1]
        for q, type_probs in enumerate(batch["type_probs"][b]):
            kind = int(np.argmax(type_probs))
            if kind == 0:
                continue
            starts, ends = batch["start_probs"][b, q], batch["end_probs"][b, q]
            best = None  # product, start's probability, start, end
            for j in range(L):
                for i in range(j, -1, -1):
                    words = int(np.count_nonzero(batch["word_starts"][b, i : j + 1]))
                    if settings.max_entity_words and words > settings.max_entity_words:
                        continue
                    if batch["word_starts"][b, i] and batch["word_ends"][b, j]:
                        rank = (starts[i] * ends[j], starts[i])
                        if best is None or rank[0] > best[0] or (rank > best[:2] and j == best[3]):
                            best = (*rank, i, j)
            if best is None:
                continue
            _, _, i, j = best
            mean = (float(starts[i]) + float(ends[j])) / 2
            score = float(type_probs[kind]) * mean
            if score < settings.entity_threshold:
                continue
            region = 0
            for r in range(1, batch["region_probs"].shape[2]):
                real = batch["region_scores"][b, r - 1] > 0
                if real and batch["region_probs"][b, q, r] > batch["region_probs"][b, q, region]:
                    region = r
            # As FP32, which the probabilities are in: 0.9 reaches 0.9.
            if batch["region_probs"][b, q, region] < np.float32(settings.region_threshold):
                region = 0
            box = tuple(batch["region_boxes"][b, region - 1].tolist()) if region else None
            box_score = float(batch["region_probs"][b, q, region])
            candidates.append(Prediction(i, j, kind - 1, score, region, box, box_score))
        kept: list[Prediction] = []
        for new in sorted(candidates, key=lambda p: -p.score):  # stable: ties by query
            if all(new.end_token < p.start_token or p.end_token < new.start_token for p in kept):
                kept.append(new)
        answers.append(kept)
    return answers


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    B, Q, L = draw(st.integers(1, 4)), draw(st.integers(1, 8)), draw(st.integers(1, 9))
    T, K = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([2, 4, 1000]))  # few steps: many ties

    def probs(*shape: int) -> np.ndarray:
        return (rng.integers(0, steps + 1, shape) / steps).astype(np.float32)

    density = draw(st.sampled_from([0.0, 0.4, 1.0]))
    return {
        "type_probs": probs(B, Q, T + 1),
        "start_probs": probs(B, Q, L),
        "end_probs": probs(B, Q, L),
        "region_probs": probs(B, Q, K + 1),
        "word_starts": (rng.random((B, L)) < density).astype(np.int32),
        "word_ends": (rng.random((B, L)) < density).astype(np.int32),
        "region_boxes": probs(B, K, 4),
        "region_scores": (rng.random((B, K)) * (rng.random((B, K)) < 0.6)).astype(np.float32),
    }


THRESHOLDS = st.builds(
    DecodingSettings,
    entity_threshold=st.sampled_from([0.0, 0.25, 0.5]),
    region_threshold=st.sampled_from([0.0, 0.5, 0.9]),
    max_entity_words=st.sampled_from([0, 1, 2, 4]),
)


def one(tokens: int = 6, regions: int = 2, queries: int = 1) -> Batch:
    """A post of one-token words whose queries say nothing."""
    L, K, Q, T = tokens, regions, queries, 4
    return {
        "type_probs": np.tile(np.eye(T + 1, dtype=np.float32)[0], (1, Q, 1)),
        "start_probs": np.zeros((1, Q, L), np.float32),
        "end_probs": np.zeros((1, Q, L), np.float32),
        "region_probs": np.zeros((1, Q, K + 1), np.float32),
        "word_starts": np.ones((1, L), np.int32),
        "word_ends": np.ones((1, L), np.int32),
        "region_boxes": np.tile(np.array([0, 0, 0.5, 0.5], np.float32), (1, K, 1)),
        "region_scores": np.ones((1, K), np.float32),
    }


def say(batch: Batch, q: int, kind: int, p: float, start: int, end: int, region: int = 0) -> None:
    batch["type_probs"][0, q] = (1 - p) / 10
    batch["type_probs"][0, q, kind] = p
    batch["start_probs"][0, q, start] = batch["end_probs"][0, q, end] = 1
    batch["region_probs"][0, q, region] = 1


@given(batches(), THRESHOLDS)
@settings(max_examples=300, deadline=None)
def test_decode_equals_the_reference(batch: Batch, thresholds: DecodingSettings) -> None:
    assert decode(**batch, settings=thresholds) == reference(batch, thresholds)


@given(batches(), THRESHOLDS)
@settings(max_examples=100, deadline=None)
def test_a_batch_equals_its_items(batch: Batch, thresholds: DecodingSettings) -> None:
    together = decode(**batch, settings=thresholds)
    for b, expected in enumerate(together):
        item = {name: array[b : b + 1] for name, array in batch.items()}
        assert decode(**item, settings=thresholds) == [expected]


@given(batches(), THRESHOLDS, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_padding_changes_nothing(batch: Batch, thresholds: DecodingSettings, extra: int) -> None:
    padded = dict(batch)
    for name in ("start_probs", "end_probs", "region_probs"):
        padded[name] = np.pad(batch[name], ((0, 0), (0, 0), (0, extra)), constant_values=1)
    for name in ("word_starts", "word_ends", "region_scores"):
        padded[name] = np.pad(batch[name], ((0, 0), (0, extra)))
    padded["region_boxes"] = np.pad(batch["region_boxes"], ((0, 0), (0, extra), (0, 0)))
    assert decode(**padded, settings=thresholds) == decode(**batch, settings=thresholds)


@given(batches(), THRESHOLDS, st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_values_that_are_no_numbers_never_come_out(
    batch: Batch, thresholds: DecodingSettings, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    broken, zeroed = dict(batch), dict(batch)
    for name in ("type_probs", "start_probs", "end_probs", "region_probs"):
        holes = rng.random(batch[name].shape) < 0.3
        broken[name] = np.where(holes, np.float32("nan"), batch[name])
        zeroed[name] = np.where(holes, np.float32(0), batch[name])
    assert decode(**broken, settings=thresholds) == decode(**zeroed, settings=thresholds)


def test_one_entity_in_full() -> None:
    batch = one()
    say(batch, 0, kind=3, p=0.9, start=1, end=2, region=2)
    batch["start_probs"][0, 0, 1] = 0.8
    batch["region_probs"][0, 0] = (0.1, 0.2, 0.7)
    batch["region_boxes"][0, 1] = (0.25, 0.5, 0.75, 1)
    [[found]] = decode(**batch, settings=DecodingSettings())
    score = float(np.float32(0.9)) * (float(np.float32(0.8)) + 1) / 2
    expected = Prediction(1, 2, 2, score, 2, (0.25, 0.5, 0.75, 1.0), float(np.float32(0.7)))
    assert found == expected
    assert all(type(v) in (int, float, tuple) for v in dataclasses.astuple(found))


def test_thresholds_are_inclusive() -> None:
    batch = one()
    say(batch, 0, kind=1, p=0.5, start=0, end=0, region=1)
    batch["region_probs"][0, 0] = (0.125, 0.25, 0)
    exact = DecodingSettings(entity_threshold=0.5, region_threshold=0.25)
    [[found]] = decode(**batch, settings=exact)
    assert (found.region, found.box_score) == (1, 0.25)
    assert decode(**batch, settings=DecodingSettings(entity_threshold=0.501)) == [[]]
    [[found]] = decode(**batch, settings=dataclasses.replace(exact, region_threshold=0.26))
    assert (found.region, found.box, found.box_score) == (0, None, 0.125)


def test_overlaps_lose_to_the_better_score_whatever_their_order() -> None:
    batch = one(queries=4)
    say(batch, 0, kind=1, p=0.7, start=1, end=3)
    say(batch, 1, kind=2, p=0.9, start=3, end=4)
    say(batch, 2, kind=2, p=0.8, start=3, end=4)  # a duplicate
    say(batch, 3, kind=3, p=0.6, start=5, end=5)  # side by side with the best
    [found] = decode(**batch, settings=DecodingSettings())
    assert [(p.start_token, p.end_token, p.type_index) for p in found] == [(3, 4, 1), (5, 5, 2)]


def test_equal_scores_go_by_query() -> None:
    batch = one(queries=2)
    say(batch, 0, kind=2, p=0.9, start=1, end=1)
    say(batch, 1, kind=1, p=0.9, start=1, end=1)
    [[found]] = decode(**batch, settings=DecodingSettings())
    assert found.type_index == 1


def test_equal_spans_take_the_first_end_and_the_nearest_start() -> None:
    batch = one()
    say(batch, 0, kind=1, p=1, start=1, end=3)
    say(batch, 0, kind=1, p=1, start=2, end=5)
    [[found]] = decode(**batch, settings=DecodingSettings())
    assert (found.start_token, found.end_token) == (2, 3)


def test_padded_regions_never_win() -> None:
    batch = one()
    say(batch, 0, kind=1, p=1, start=0, end=0, region=2)
    batch["region_scores"][0, 1] = 0
    batch["region_probs"][0, 0] = (0, 0, 1)
    [[found]] = decode(**batch, settings=DecodingSettings())
    assert (found.region, found.box) == (0, None)


def test_nothing_to_find() -> None:
    silent = one(queries=3)
    assert decode(**silent, settings=DecodingSettings(entity_threshold=0)) == [[]]
    masked = one()
    say(masked, 0, kind=1, p=1, start=2, end=3)
    masked["word_starts"][:] = 0
    assert decode(**masked, settings=DecodingSettings(entity_threshold=0)) == [[]]
    ends_first = one()
    say(ends_first, 0, kind=1, p=1, start=3, end=2)
    ends_first["word_starts"][0, :3] = 0
    ends_first["word_ends"][0, 3:] = 0
    assert decode(**ends_first, settings=DecodingSettings(entity_threshold=0)) == [[]]
    for shape in ({"tokens": 0}, {"queries": 0}, {"regions": 0}):
        empty = one(**shape)
        empty["type_probs"][:] = 0.2
        empty["type_probs"][..., 1] = 1
        entities = decode(**empty, settings=DecodingSettings(entity_threshold=0))[0]
        assert len(entities) == (1 if "regions" in shape else 0)
    nobody = {name: array[:0] for name, array in one().items()}
    assert decode(**nobody, settings=DecodingSettings()) == []


@pytest.mark.parametrize("name", list(one()))
def test_shapes_that_disagree_are_refused(name: str) -> None:
    batch = one()
    batch[name] = batch[name][..., :-1]
    if name == "type_probs":
        batch[name] = batch[name][:, :0]
    with pytest.raises(ValueError, match="shape"):
        decode(**batch, settings=DecodingSettings())
    with pytest.raises(ValueError, match="batches"):
        decode(**{n: a[0] for n, a in one().items()}, settings=DecodingSettings())


def test_a_query_that_sees_two_mentions_does_not_join_them() -> None:
    batch = one(tokens=9)
    say(batch, 0, 1, 0.9, start=0, end=1)
    batch["start_probs"][0, 0, 6] = 0.9
    batch["end_probs"][0, 0, 7] = 1.0
    batch["end_probs"][0, 0, 1] = 0.9
    [[joined]] = decode(**batch, settings=DecodingSettings())
    assert (joined.start_token, joined.end_token) == (0, 7)
    [[apart]] = decode(**batch, settings=DecodingSettings(max_entity_words=3))
    assert (apart.start_token, apart.end_token) == (0, 1)
