"""ONNX Runtime sessions over small real graphs."""

from pathlib import Path

import numpy as np
import pytest
from mqspn_backend.engine import OnnxEngine


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
