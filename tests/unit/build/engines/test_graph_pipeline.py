"""The pipeline over the graphs answers what the checkpoint answers in PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.checkpoint import load_checkpoint
from mqspn.data.posts import Post
from mqspn.engines.errors import GraphError
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.evaluation.offline import CheckpointPredictor


def test_it_finds_what_the_checkpoint_finds(posts: list[Post], demo_repository: Path) -> None:
    some = posts[:10]
    assert any(post.image is None for post in some)
    checkpoint = load_checkpoint(demo_repository.parent / "build" / "checkpoints" / "demo")
    expected = CheckpointPredictor(checkpoint, progress=False).predict(some)
    # A batch is not the posts' number: the last one is smaller.
    found = GraphPipeline(demo_repository, batch_size=4).predict(some)
    assert sum(map(len, expected)) > 5
    for before, after in zip(expected, found, strict=True):
        assert [(e.start, e.end, e.type) for e in before] == [
            (e.start, e.end, e.type) for e in after
        ]
        for one, other in zip(before, after, strict=True):
            assert one.box == (None if other.box is None else pytest.approx(other.box, abs=1))


def test_a_missing_graph_is_named(demo_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"gone\.onnx"):
        GraphPipeline(demo_repository, {"text_encoder": tmp_path / "gone.onnx"})
