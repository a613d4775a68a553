"""Tensors of a lower precision stay near FP32's, and a graph that is off is caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mqspn.engines import precision
from mqspn.engines.bf16_emulation import runnable_graph
from mqspn.engines.errors import BuilderMissingError, GateError, PrecisionError
from mqspn.engines.gates import check_tensors, require_passed
from mqspn.engines.kept_layers import CANDIDATES, find_layers
from mqspn.engines.precision import convert_graph
from mqspn.engines.sensitivity import measure_sensitivity
from mqspn.repository import ENGINES
from mqspn_backend.engine import OnnxEngine
from numpy.typing import NDArray
from onnx import numpy_helper


class Answers:
    """A runner that says the same whatever it is asked."""

    def __init__(self, **arrays: Any) -> None:
        self.arrays = {name: np.array(value, np.float32) for name, value in arrays.items()}

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        return self.arrays


def demo_engine(repository: Path, model: str) -> OnnxEngine:
    return OnnxEngine(repository / model / "1" / "model.onnx", threads=1)


@pytest.mark.parametrize(
    "model",
    [m if m == "text_encoder" else pytest.param(m, marks=pytest.mark.slow) for m in ENGINES],
)
def test_fp16_is_near_fp32(
    model: str, demo_repository: Path, fp16_graph: Callable[[str], Path], batches: Any
) -> None:
    graph = onnx.load(str(fp16_graph(model)))
    halves = [w for w in graph.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 10
    result = check_tensors(
        model,
        demo_engine(demo_repository, model),
        OnnxEngine(fp16_graph(model), threads=1),
        batches[model],
        precision="fp16",
    )
    assert result.refusal is None
    # It was computed in half precision: FP32's rounding alone is smaller.
    assert result.difference.largest > 1e-4
    assert result.difference.against == "FP32 over 2 batches"


def test_the_gate_catches_a_weight_that_is_off(
    demo_repository: Path, fp16_graph: Callable[[str], Path], batches: Any, tmp_path: Path
) -> None:
    model = onnx.load(str(fp16_graph("text_encoder")))
    weight = max(model.graph.initializer, key=lambda w: int(np.prod(w.dims)))
    array = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(array * array.dtype.type(1.5), weight.name))
    onnx.save(model, str(tmp_path / "g.onnx"))
    result = check_tensors(
        "text_encoder",
        demo_engine(demo_repository, "text_encoder"),
        OnnxEngine(tmp_path / "g.onnx", threads=1),
        batches["text_encoder"],
        precision="fp16",
    )
    with pytest.raises(GateError, match=r"TEXT_STATES.*more than 0\.05, the tolerance of fp16"):
        require_passed(result)


@pytest.mark.slow
def test_crops_are_much_nearer_in_fp32(
    demo_repository: Path, fp16_graph: Callable[[str], Path], batches: Any, tmp_path: Path
) -> None:
    """What the entry in the list of kept layers is for."""
    convert_graph(
        "region_encoder",
        demo_repository / "region_encoder" / "1" / "model.onnx",
        tmp_path / "g.onnx",
        precision="fp16",
        samples=batches["region_encoder"][0],
        kept=(),
    )
    without, kept = (
        check_tensors(
            "region_encoder",
            demo_engine(demo_repository, "region_encoder"),
            OnnxEngine(graph, threads=1),
            batches["region_encoder"],
            precision="fp16",
        ).difference.largest
        for graph in (tmp_path / "g.onnx", fp16_graph("region_encoder"))
    )
    assert without > 3 * kept


@pytest.mark.slow
def test_the_measurement_tells_what_to_keep(demo_repository: Path, batches: Any) -> None:
    tried = [c for c in CANDIDATES if c.name in ("crops", "softmaxes")]
    softmaxes, crops = measure_sensitivity(
        "region_encoder",
        demo_repository / "region_encoder" / "1" / "model.onnx",
        batches["region_encoder"],
        precision="fp16",
        candidates=tried,
    )
    assert not softmaxes.worth_keeping
    # The crops, always kept, do not hide what else hurts.
    assert softmaxes.before.largest < 0.01 < crops.before.largest
    assert crops.worth_keeping
    assert "region_encoder:crops (" in str(crops)


def test_layers_that_a_graph_does_not_have_cannot_be_kept(
    demo_repository: Path, batches: Any, tmp_path: Path
) -> None:
    with pytest.raises(PrecisionError, match="has no sigmoids: drop --keep text_encoder:sigmoids"):
        convert_graph(
            "text_encoder",
            demo_repository / "text_encoder" / "1" / "model.onnx",
            tmp_path / "g.onnx",
            precision="fp16",
            samples=batches["text_encoder"][0],
            kept=(find_layers("text_encoder:sigmoids"),),
        )


def test_a_graph_without_what_must_stay_in_fp32_is_refused(
    demo_repository: Path, batches: Any, tmp_path: Path
) -> None:
    with pytest.raises(
        PrecisionError, match=r"has no crops, .* export it again with `mqspn build`"
    ):
        convert_graph(
            "region_encoder",
            demo_repository / "text_encoder" / "1" / "model.onnx",
            tmp_path / "g.onnx",
            precision="fp16",
            samples=batches["text_encoder"][0],
        )


def test_without_the_converter_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(precision, "version", missing)
    with pytest.raises(BuilderMissingError, match=r"pip install 'mqspn-triton\[compile\]'"):
        precision.converter_version()


def test_bf16_is_near_fp32(demo_repository: Path, batches: Any, tmp_path: Path) -> None:
    graph = demo_repository / "text_encoder" / "1" / "model.onnx"
    norms = find_layers("text_encoder:layer norms")
    converted = convert_graph(
        "text_encoder",
        graph,
        tmp_path / "g.onnx",
        precision="bf16",
        samples=batches["text_encoder"][0],
        kept=(norms,),
    )
    assert len(converted.kept) == 7
    # The sums of the attention mask are in FP32 without anybody's asking.
    assert converted.left
    assert not set(converted.left) & set(converted.kept)
    result = check_tensors(
        "text_encoder",
        demo_engine(demo_repository, "text_encoder"),
        OnnxEngine(runnable_graph(tmp_path / "g.onnx", "bf16"), threads=1),
        batches["text_encoder"],
        precision="bf16",
    )
    assert result.refusal is None
    # It was rounded to 8 bits on the way.
    assert result.difference.largest > 1e-2


def test_a_graph_that_cannot_be_converted_is_named(batches: Any, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(b"no graph")
    with pytest.raises(PrecisionError, match=r"g\.onnx does not go to fp16"):
        convert_graph(
            "text_encoder", tmp_path / "g.onnx", tmp_path / "low.onnx", precision="fp16", samples={}
        )


def largest(model: str, reference: Answers, candidate: Answers) -> float:
    return check_tensors(model, reference, candidate, [{}], precision="fp32").difference.largest


@pytest.mark.parametrize("states", [np.full((1, 2, 4), np.nan), np.ones((1, 3, 4))])
def test_another_shape_or_no_number_is_infinitely_far(states: Any) -> None:
    ones = Answers(TEXT_STATES=np.ones((1, 2, 4)))
    assert largest("text_encoder", ones, Answers(TEXT_STATES=states)) == float("inf")


def test_another_type_is_infinitely_far() -> None:
    states = np.ones((1, 2, 4))
    halves = Answers(TEXT_STATES=states)
    halves.arrays["TEXT_STATES"] = states.astype(np.float16)
    assert largest("text_encoder", Answers(TEXT_STATES=states), halves) == float("inf")


def test_boxes_in_another_order_are_the_same_boxes() -> None:
    boxes = np.array([[[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.9, 0.9], [0.3, 0.3, 0.4, 0.4]]])
    reference = Answers(REGION_BOXES=boxes, REGION_SCORES=[[0.9, 0.9, 0.1]])
    swapped = Answers(REGION_BOXES=boxes[:, [1, 0, 2]], REGION_SCORES=[[0.9, 0.9, 0.1]])
    assert largest("region_proposer", reference, swapped) == 0.0
    moved = Answers(
        REGION_BOXES=boxes + np.array([[[0.2], [0], [0]]]), REGION_SCORES=[[0.9, 0.9, 0.1]]
    )
    assert largest("region_proposer", reference, moved) == pytest.approx(0.2)
    # Which box is the last one may differ: its score is a tie with one that was left out.
    last = Answers(
        REGION_BOXES=boxes + np.array([[[0], [0], [0.2]]]), REGION_SCORES=[[0.9, 0.9, 0.1]]
    )
    assert largest("region_proposer", reference, last) == 0.0
