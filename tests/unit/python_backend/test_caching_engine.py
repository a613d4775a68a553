"""An engine that remembers: the same answers, from the engine only once, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mqspn_backend.caching_engine import CachingEngine
from mqspn_backend.engine import OnnxEngine

Array = npt.NDArray[Any]
MIB = 1024 * 1024


def rows(*numbers: int, b: float = 1) -> dict[str, Array]:
    a = np.array([[n, 2] for n in numbers], np.float32)
    return {"A": a, "B": np.full_like(a, b)}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that the engine underneath ran on, by their first number."""
    run, numbers = OnnxEngine.run, list[int]()

    def watched(engine: OnnxEngine, feeds: Mapping[str, Array], outputs: Any = None) -> Any:
        numbers.extend(feeds["A"][:, 0].astype(int).tolist())
        return run(engine, feeds, outputs)

    monkeypatch.setattr(OnnxEngine, "run", watched)
    return numbers


def caching(graph: Path, **options: Any) -> CachingEngine:
    return CachingEngine(graph, **{"threads": 1, "max_bytes": MIB, **options})


def test_a_row_runs_once_wherever_it_comes_again(graph: Path) -> None:
    told: list[tuple[int, int]] = []
    engine = caching(graph, report=lambda *counts: told.append(counts))
    plain = OnnxEngine(graph, threads=1)
    for numbers in ((1,), (1,), (2, 1, 3), (4, 4), (3, 2, 1)):
        found, expected = engine.run(rows(*numbers)), plain.run(rows(*numbers))
        assert set(found) == {"SUM", "TWICE"}
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].dtype == expected[name].dtype
    assert told == [(0, 1), (1, 0), (1, 2), (1, 1), (3, 0)]


def test_the_engine_runs_on_what_is_new_alone(graph: Path, ran: list[int]) -> None:
    engine = caching(graph)
    for numbers in ((1,), (1, 2, 1, 3), (3, 2, 1)):
        engine.run(rows(*numbers))
    assert ran == [1, 2, 3]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=12),
    st.sampled_from([0, 1700, MIB]),
)
def test_answers_are_the_engines_in_whatever_memory(
    graph: Path, sent: list[list[int]], max_bytes: int
) -> None:
    engine = caching(graph, max_bytes=max_bytes)
    for numbers in sent:
        found = engine.run(rows(*numbers), ["TWICE"])
        assert found["TWICE"][:, 0].tolist() == [2 * n for n in numbers]


def test_every_input_is_part_of_what_was_seen(graph: Path, ran: list[int]) -> None:
    engine = caching(graph)
    assert engine.run(rows(1, b=1))["SUM"][0, 0] == 2
    assert engine.run(rows(1, b=5))["SUM"][0, 0] == 6
    longer = {name: np.repeat(value, 2, axis=1) for name, value in rows(1).items()}
    assert engine.run(longer)["SUM"].shape == (1, 4)
    assert ran == [1, 1, 1]


def test_outputs_that_nobody_asked_for_are_there_for_the_next(graph: Path, ran: list[int]) -> None:
    engine = caching(graph)
    assert set(engine.run(rows(1), ["SUM"])) == {"SUM"}
    assert set(engine.run(rows(1), ["TWICE", "SUM"])) == {"SUM", "TWICE"}
    assert ran == [1]


def test_an_error_is_not_kept(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    engine = caching(graph)
    with monkeypatch.context() as broken:
        broken.setattr(OnnxEngine, "run", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="out of memory"):
                engine.run(rows(1))
    assert engine.run(rows(1))["TWICE"][0, 0] == 2


def test_what_was_not_asked_for_longest_goes_first(graph: Path, ran: list[int]) -> None:
    engine = caching(graph, max_bytes=1700)  # two rows of some 800 bytes
    for number in (1, 2, 1, 3, 1, 2):
        engine.run(rows(number))
    assert ran == [1, 2, 3, 2]


def test_memory_is_bounded(graph: Path) -> None:
    engine = caching(graph)
    tracemalloc.start()
    try:
        for start in range(0, 6000, 100):
            engine.run(rows(*range(start, start + 100)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MIB // 2 < held < MIB


def test_a_result_is_the_callers_own(graph: Path) -> None:
    engine = caching(graph)
    engine.run(rows(1))["TWICE"][:] = 7
    assert engine.run(rows(1))["TWICE"][0, 0] == 2
