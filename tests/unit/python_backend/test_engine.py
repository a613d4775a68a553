"""ONNX Runtime sessions over small real graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from mqspn_backend import engine as engine_module
from mqspn_backend.engine import OnnxEngine, session_options


def test_runs_by_name_at_any_batch_and_length(graph: Path) -> None:
    engine = OnnxEngine(graph, threads=2)
    assert engine.inputs == ("A", "B")
    assert engine.outputs == ("SUM", "TWICE")
    for shape in ((1, 3), (4, 7)):
        a, b = np.full(shape, 2, np.float32), np.full(shape, 5, np.float32)
        found = engine.run({"B": b, "A": a})
        assert list(found) == ["SUM", "TWICE"]
        np.testing.assert_array_equal(found["SUM"], a + b)
        np.testing.assert_array_equal(found["TWICE"], a + a)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 12])
def test_rows_come_back_in_their_order_whoever_computed_them(
    graph: Path, threads: int, rows: int
) -> None:
    engine = OnnxEngine(graph, threads=threads)
    a = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    found = engine.run({"A": a, "B": a + 1})
    np.testing.assert_array_equal(found["SUM"], a + a + 1)
    assert engine.rows_run == rows


def test_threads_share_a_batch_by_rows_where_it_is_large_enough(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OnnxEngine(graph, threads=2)
    shares: list[int] = []
    session: Any = engine._row_session

    class Noting:
        def run(self, names: list[str], fed: dict[str, Any]) -> list[Any]:
            shares.append(len(fed["A"]))
            return list(session.run(names, fed))

    monkeypatch.setattr(engine, "_row_session", Noting())
    for rows in (1, 2, 5):
        a = np.zeros((rows, 1), np.float32)
        engine.run({"A": a, "B": a})
    assert sorted(shares) == [1, 1, 2, 2]  # the fifth of five is computed by both


def test_a_large_graph_is_loaded_once(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_LOADED_TWICE_BYTES", graph.stat().st_size - 1)
    engine = OnnxEngine(graph, threads=2)
    assert engine._row_session is None
    a = np.ones((4, 1), np.float32)
    np.testing.assert_array_equal(engine.run({"A": a, "B": a})["SUM"], a + a)


@pytest.mark.parametrize("version", ["1.23.2", ort.__version__])
def test_threads_spin_for_a_bounded_time_or_not_at_all(
    version: str, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "__version__", version)
    options = session_options(graph, 2)
    if version == "1.23.2":  # what has no bound there stays off
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    else:
        assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "50"
        assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_only_the_asked_outputs_and_feeds_that_are_not_contiguous(graph: Path) -> None:
    engine = OnnxEngine(graph, threads=1)
    a = np.arange(12, dtype=np.float32).reshape(3, 4).T
    found = engine.run({"A": a, "B": a, "UNUSED": a}, ["TWICE"])
    assert list(found) == ["TWICE"]
    np.testing.assert_array_equal(found["TWICE"], 2 * a)


def test_errors_name_what_is_missing(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        OnnxEngine(tmp_path / "nowhere.onnx", threads=1)
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(ValueError, match=r"broken\.onnx"):
        OnnxEngine(tmp_path / "broken.onnx", threads=1)
    with pytest.raises(ValueError, match="thread"):
        OnnxEngine(graph, threads=0)
    with pytest.raises(ValueError, match="needs B"):
        OnnxEngine(graph, threads=1).run({"A": np.zeros((1, 1), np.float32)})
