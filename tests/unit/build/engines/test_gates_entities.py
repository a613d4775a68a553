"""The FP16 pipeline finds the entities of the FP32 one, and one that does not is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from mqspn.data.posts import Post
from mqspn.engines.errors import GateError
from mqspn.engines.gates import ALLOWED_LOSS, check_entities, require_passed
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.repository import ENGINES
from onnx import numpy_helper


@pytest.mark.slow
def test_fp16_costs_no_f1(
    posts: list[Post], demo_repository: Path, fp16_graph: Callable[[str], Path]
) -> None:
    fp16 = {model: fp16_graph(model) for model in ENGINES}
    loss = check_entities(
        posts, GraphPipeline(demo_repository), GraphPipeline(demo_repository, fp16)
    )
    assert loss.refusal is None
    assert loss.posts == 100
    # The demo checkpoint is not a bad one: a gate over nothing would pass too.
    assert loss.reference.gmner.f1 > 0.5
    assert max(loss.losses.values()) <= ALLOWED_LOSS


def test_the_gate_catches_a_damaged_graph(
    posts: list[Post], demo_repository: Path, tmp_path: Path
) -> None:
    model = onnx.load(str(demo_repository / "query_decoder" / "1" / "model.onnx"))
    random = np.random.default_rng(0)
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.ndim == 2:
            noise = random.normal(0, 0.5 * array.std(), array.shape).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(array + noise, weight.name))
    onnx.save(model, str(tmp_path / "g.onnx"))
    damaged = GraphPipeline(demo_repository, {"query_decoder": tmp_path / "g.onnx"})
    loss = check_entities(posts[:24], GraphPipeline(demo_repository), damaged)
    with pytest.raises(GateError, match=r"more than 0\.2 points below FP32"):
        require_passed(loss)


def test_posts_without_an_answer_prove_nothing(posts: list[Post], demo_repository: Path) -> None:
    class Silent:
        def predict(self, posts: object) -> list[list[object]]:
            return [[], []]

    loss = check_entities(posts[:2], Silent(), Silent())  # type: ignore[arg-type]
    with pytest.raises(GateError, match="nothing can be compared"):
        require_passed(loss)
