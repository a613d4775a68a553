"""INT8 is in the graph, its scales are the posts', and it is left out where it costs too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mqspn.data.posts import Post
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.errors import GateError
from mqspn.engines.gates import check_tensors, require_passed
from mqspn.engines.job import CompileSettings, plan_jobs
from mqspn.engines.precision import convert_graph
from mqspn.engines.quantisation import calibration_digest, choose_posts
from mqspn.repository import ENGINES
from mqspn.repository.engine_precision import NOT_QUANTISED
from mqspn.repository.shape_profiles import shape_profile
from mqspn_backend.engine import OnnxEngine


def to_int8(repository: Path, target: Path, samples: Any, calibration: Any) -> Path:
    convert_graph(
        "text_encoder",
        repository / "text_encoder" / "1" / "model.onnx",
        target,
        precision="int8",
        samples=samples,
        calibration=calibration,
    )
    return target


@pytest.fixture(scope="module")
def int8(demo_repository: Path, batches: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("int8") / "text_encoder.onnx"
    samples = batches["text_encoder"]
    return to_int8(demo_repository, target, samples[0], samples)


def check(repository: Path, graph: Path, batches: Any) -> float:
    reference = OnnxEngine(repository / "text_encoder" / "1" / "model.onnx", threads=1)
    candidate = OnnxEngine(graph, threads=1)
    result = check_tensors(
        "text_encoder", reference, candidate, batches["text_encoder"], precision="int8"
    )
    return require_passed(result).difference.largest


def test_both_operands_of_the_products_are_quantised_and_the_rest_is_fp16(
    int8: Path, demo_repository: Path, batches: Any
) -> None:
    graph = onnx.load(str(int8)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    quantised = [n for n in products if all(makers[i] == "DequantizeLinear" for i in n.input[:2])]
    assert len(quantised) == len(products) > 20
    halves = [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 10
    assert {o.type.tensor_type.elem_type for o in graph.output} == {onnx.TensorProto.FLOAT}
    # Eight bits were on the way: FP16 alone is nearer.
    assert check(demo_repository, int8, batches) > 0.02


def test_tensorrt_takes_the_graph(int8: Path, demo_repository: Path, rtx: EngineBuilder) -> None:
    profile = shape_profile(demo_repository, "text_encoder")
    assert rtx.build("text_encoder", int8, profile)


def test_the_gate_catches_scales_of_other_posts(
    demo_repository: Path, batches: Any, tmp_path: Path
) -> None:
    """Calibrated on posts without a word, the graph is far off on posts with some."""
    samples = batches["text_encoder"]
    empty = [{name: np.zeros_like(value) for name, value in samples[0].items()}]
    target = to_int8(demo_repository, tmp_path / "g.onnx", samples[0], empty)
    with pytest.raises(GateError, match=r"more than 0\.35, the tolerance of int8"):
        check(demo_repository, target, batches)


def test_a_graph_that_does_not_bear_it_stays_in_fp16(
    demo_repository: Path, posts: list[Post], rtx: EngineBuilder
) -> None:
    """Its gate is FP16's, and so is its manifest; other posts do not change its plan."""
    settings = CompileSettings(precision="int8")
    jobs = plan_jobs(settings, demo_repository, rtx, posts[:40])
    assert [job.model for job in jobs] == list(ENGINES)
    found = {job.model: job.precision for job in jobs}
    assert found == {**dict.fromkeys(NOT_QUANTISED, "fp16"), "text_encoder": "int8"}
    again = plan_jobs(settings, demo_repository, rtx, posts[40:80])
    assert [
        job.model
        for job, before in zip(again, jobs, strict=True)
        if not job.manifest.builds_the_same(before.manifest)
    ] == ["text_encoder"]


@pytest.mark.parametrize(("precision", "calibration"), [("int8", []), ("fp16", [{}])])
def test_calibration_goes_with_int8_alone(
    precision: Any, calibration: Any, demo_repository: Path, tmp_path: Path
) -> None:
    graph = demo_repository / "text_encoder" / "1" / "model.onnx"
    with pytest.raises(ValueError, match="INT8 needs calibration batches"):
        convert_graph(
            "text_encoder",
            graph,
            tmp_path / "g.onnx",
            precision=precision,
            samples={},
            calibration=calibration,
        )


def test_posts_are_spread_over_the_data_and_few_are_refused(posts: list[Post]) -> None:
    many = choose_posts(posts * 5)
    assert len(many) == 128
    assert many[-1] != many[0]
    assert choose_posts(posts) == posts
    with pytest.raises(ValueError, match="31 posts are too few to calibrate on: give 32 or more"):
        choose_posts(posts[:31])


def test_the_digest_is_of_texts_and_images(posts: list[Post]) -> None:
    shown = next(post for post in posts if post.image is not None)
    digests = [
        calibration_digest(p)
        for p in ([shown], [shown.without_image()], [replace(shown, text="other")], [shown, shown])
    ]
    assert len(set(digests)) == 4
    assert calibration_digest([replace(shown, id="other")]) == digests[0]
