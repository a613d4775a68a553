"""The engine that leaves tensors where they lie, on the host: the same way as on a GPU."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from mqspn_backend.device_engine import DeviceEngine, from_dlpack, to_dlpack
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.providers import Provider
from mqspn_backend.selection import gather, scatter

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repository"
HOST = Provider(name="cpu")


class Capsule:
    """A capsule as an object that NumPy takes."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU


def value(array: np.ndarray) -> ort.OrtValue:
    return from_dlpack(array.__dlpack__())


def array(value: ort.OrtValue) -> np.ndarray:
    return np.from_dlpack(Capsule(to_dlpack(value)))


def test_capsules_share_memory_and_keep_it() -> None:
    source = np.arange(6, dtype=np.int32).reshape(2, 3)
    shared = value(source)
    assert shared.data_ptr() == source.ctypes.data
    back = array(shared)
    assert back.ctypes.data == source.ctypes.data
    del shared, source
    np.testing.assert_array_equal(back, [[0, 1, 2], [3, 4, 5]])


def device_of(capsule: Any) -> Any:
    """Type and index of the device in a capsule, which begins with the data's address."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return (ctypes.c_int * 2).from_address(pointer(capsule, b"dltensor") + 8)


def test_a_gpu_in_a_capsule_stays_the_gpu() -> None:
    capsule = np.zeros((2, 3), np.float32).__dlpack__()
    device_of(capsule)[:] = (2, 1)  # kDLCUDA
    shared = from_dlpack(capsule)
    assert shared.device_name() == "cuda"
    assert list(device_of(to_dlpack(shared))) == [2, 1]


@pytest.mark.parametrize("shape", [(1, 3), (4, 7)])
def test_results_are_those_of_the_engine_on_arrays(shape: tuple[int, int], graph: Path) -> None:
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    assert (engine.inputs, engine.outputs) == (("A", "B"), ("SUM", "TWICE"))
    rng = np.random.default_rng(1)
    feeds = {"B": rng.random(shape, np.float32), "A": rng.random(shape, np.float32)}
    expected = OnnxEngine(graph, threads=1).run(feeds)
    values = {name: value(a) for name, a in feeds.items()}
    found = engine.run(values)
    assert list(found) == ["SUM", "TWICE"]
    for name in found:
        assert engine.shape(found[name]) == shape
        np.testing.assert_array_equal(array(found[name]), expected[name])
    # Names and tensors stay together in whatever order the outputs are asked for.
    for names in (["TWICE", "SUM"], ["TWICE"]):
        found = engine.run(values, names)
        assert list(found) == names
        for name in names:
            np.testing.assert_array_equal(array(found[name]), expected[name])


def test_two_runs_do_not_share_their_outputs(graph: Path) -> None:
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    ones, twos = (np.full((2, 2), n, np.float32) for n in (1, 2))
    first = array(engine.run({"A": value(ones), "B": value(ones)})["SUM"])
    engine.run({"A": value(twos), "B": value(twos)})
    np.testing.assert_array_equal(first, 2 * ones)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("regions", [None, 1, 2, 3])
@pytest.mark.parametrize("left", ["all", "some", "one request", "few"])
def test_rows_are_gathered_and_put_back_as_in_numpy(
    left: str, regions: int | None, dtype: type, graph: Path
) -> None:
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    rng = np.random.default_rng(2)
    pieces: list[np.ndarray] = [rng.integers(1, 200, (b, 3, 5)).astype(dtype) for b in (2, 1, 6)]
    rows = {
        "all": [np.arange(2), np.arange(1), np.arange(6)],
        "some": [np.array([1]), np.array([], np.intp), np.array([0, 1, 3, 4, 5])],
        "one request": [np.arange(2)],
        "few": [np.array([1])],
    }[left]
    pieces = pieces[: len(rows)]
    joint = engine.gather([value(piece) for piece in pieces], rows, regions)
    expected = gather(pieces, rows, regions)
    np.testing.assert_array_equal(array(joint), expected)
    shapes = [piece.shape for piece in pieces]
    parts = engine.scatter(joint, rows, shapes)
    del joint
    for part, whole in zip(parts, scatter(expected, rows, shapes), strict=True):
        assert engine.shape(part) == whole.shape
        np.testing.assert_array_equal(array(part), whole)


def test_a_last_axis_that_is_shorter_is_filled_up(graph: Path) -> None:
    """As REGION_PROBS (B, Q, R) are."""
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    cut = np.arange(1, 13, dtype=np.float32).reshape(2, 3, 2)
    rows, shapes = [np.array([0, 2])], [(3, 3, 4)]
    (part,) = engine.scatter(value(cut), rows, shapes)
    np.testing.assert_array_equal(array(part), scatter(cut, rows, shapes)[0])


def test_what_is_alone_and_whole_is_not_copied(graph: Path) -> None:
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    source = value(np.ones((2, 3), np.float32))
    joint = engine.gather([source], [np.arange(2)], 3)
    assert joint.data_ptr() == source.data_ptr()
    (part,) = engine.scatter(joint, [np.arange(2)], [(2, 3)])
    assert part.data_ptr() == source.data_ptr()


def test_zeros_and_numbers(graph: Path) -> None:
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    zeros = engine.zeros((2, 3))
    np.testing.assert_array_equal(engine.array(zeros), np.zeros((2, 3), np.float32))
    assert engine.is_open("A", 1)
    assert not engine.is_open("C", 1)


def test_the_committed_graph_gives_the_same_bits(graph: Path) -> None:
    path = REPOSITORY / "query_decoder" / "1" / "model.onnx"
    rng = np.random.default_rng(3)
    feeds = {
        "TEXT_STATES": rng.standard_normal((3, 11, 128)).astype(np.float32),
        "ATTENTION_MASK": np.ones((3, 11), np.int32),
        "REGION_STATES": rng.standard_normal((3, 16, 128)).astype(np.float32),
        "REGION_SCORES": rng.random((3, 16), np.float32),
    }
    expected = OnnxEngine(path, threads=1).run(feeds)
    engine = DeviceEngine(path, threads=1, provider=HOST, host_outputs=("END_PROBS",))
    found = engine.run({name: value(a) for name, a in feeds.items()})
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(array(found[name]), expected[name])


def test_errors_name_what_is_missing(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        DeviceEngine(tmp_path / "nowhere.onnx", threads=1, provider=HOST)
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(ValueError, match=r"broken\.onnx"):
        DeviceEngine(tmp_path / "broken.onnx", threads=1, provider=HOST)
    engine = DeviceEngine(graph, threads=1, provider=HOST)
    ones = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="needs B"):
        engine.run({"A": value(ones)})
    with pytest.raises(Exception, match="data type"):
        engine.run({"A": value(ones), "B": value(ones.astype(np.int32))})
