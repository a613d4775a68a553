"""An engine that remembers: the same answers, from the engine only once, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqspn_backend.caching_engine import CachingEngine
from mqspn_backend.engine import OnnxEngine

Array = npt.NDArray[Any]
MIB = 1024 * 1024


class Watched(OnnxEngine):
    """The real engine, that notes the rows it runs on; ``broken`` makes it fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, threads=1)
        self.ran: list[int] = []
        self.broken = False

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        if self.broken:
            raise RuntimeError("out of memory")
        self.ran += feeds["A"][:, 0].astype(int).tolist()
        return super().run(feeds, outputs)


def rows(*numbers: int, b: float = 1) -> dict[str, Array]:
    a = np.array([[n, 2] for n in numbers], np.float32)
    return {"A": a, "B": np.full_like(a, b)}


@pytest.fixture
def engine(graph: Path) -> Watched:
    return Watched(graph)


def test_a_row_runs_once_wherever_it_comes_again(engine: Watched) -> None:
    told: list[tuple[int, int]] = []
    caching = CachingEngine(engine, max_bytes=MIB, report=lambda *counts: told.append(counts))
    sent = ((1,), (1,), (2, 1, 3), (4, 4), (3, 2, 1))
    for numbers in sent:
        found, expected = caching.run(rows(*numbers)), OnnxEngine.run(engine, rows(*numbers))
        assert set(found) == {"SUM", "TWICE"}
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].dtype == expected[name].dtype
    assert told == [(0, 1), (1, 0), (1, 2), (1, 1), (3, 0)]


def test_the_engine_runs_on_what_is_new_alone(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    for numbers in ((1,), (1, 2, 1, 3), (3, 2, 1)):
        caching.run(rows(*numbers))
    assert engine.ran == [1, 2, 3]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=12), st.data())
def test_answers_are_the_engines_in_whatever_memory(
    sent: list[list[int]], data: st.DataObject
) -> None:
    engine = Rule()
    caching = CachingEngine(engine, max_bytes=data.draw(st.sampled_from([0, 1700, MIB])))
    for numbers in sent:
        found = caching.run(rows(*numbers), ["TWICE"])
        assert found["TWICE"][:, 0].tolist() == [2 * n for n in numbers]


class Rule(OnnxEngine):
    """TWICE = A + A without a graph: a test of many examples loads none."""

    def __init__(self) -> None:
        self.inputs, self.outputs = ("A", "B"), ("SUM", "TWICE")

    def run(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        return {"SUM": feeds["A"] + feeds["B"], "TWICE": feeds["A"] + feeds["A"]}


def test_every_input_is_part_of_what_was_seen(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    assert caching.run(rows(1, b=1))["SUM"][0, 0] == 2
    assert caching.run(rows(1, b=5))["SUM"][0, 0] == 6
    longer = {name: np.repeat(value, 2, axis=1) for name, value in rows(1).items()}
    assert caching.run(longer)["SUM"].shape == (1, 4)
    assert engine.ran == [1, 1, 1]


def test_outputs_that_nobody_asked_for_are_there_for_the_next(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    assert set(caching.run(rows(1), ["SUM"])) == {"SUM"}
    assert set(caching.run(rows(1), ["TWICE", "SUM"])) == {"SUM", "TWICE"}
    assert engine.ran == [1]


def test_an_error_is_not_kept(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    engine.broken = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            caching.run(rows(1))
    engine.broken = False
    assert caching.run(rows(1))["TWICE"][0, 0] == 2


def test_what_was_not_asked_for_longest_goes_first(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=1700)  # two rows of some 800 bytes
    for number in (1, 2, 1, 3, 1, 2):
        caching.run(rows(number))
    assert engine.ran == [1, 2, 3, 2]


def test_memory_is_bounded(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    tracemalloc.start()
    try:
        for start in range(0, 6000, 100):
            caching.run(rows(*range(start, start + 100)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MIB // 2 < held < MIB


def test_a_result_is_the_callers_own(engine: Watched) -> None:
    caching = CachingEngine(engine, max_bytes=MIB)
    caching.run(rows(1))["TWICE"][:] = 7
    assert caching.run(rows(1))["TWICE"][0, 0] == 2
