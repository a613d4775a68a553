"""The committed repository, a tiny one, and a builder that needs no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mqspn.data.posts import Post
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.graph_pipeline import GraphPipeline, graph_paths
from mqspn.engines.precision import convert_graph
from mqspn.engines.samples import sample_batches, synthetic_posts
from numpy.typing import NDArray

Batches = dict[str, list[Mapping[str, NDArray[Any]]]]


@pytest.fixture(scope="session")
def rtx() -> EngineBuilder:
    return EngineBuilder("tensorrt-rtx")


@pytest.fixture(scope="session")
def posts() -> Iterator[list[Post]]:
    with synthetic_posts(100) as made:
        yield made


@pytest.fixture(scope="session")
def batches(demo_repository: Path, posts: list[Post]) -> Batches:
    return sample_batches(GraphPipeline(demo_repository), posts)


@pytest.fixture(scope="session")
def fp16_graph(
    demo_repository: Path, batches: Batches, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A committed graph in FP16, by its model's name; each is converted once."""
    folder = tmp_path_factory.mktemp("fp16")
    graphs = graph_paths(demo_repository)

    @cache
    def convert(model: str) -> Path:
        target = folder / f"{model}.onnx"
        convert_graph(model, graphs[model], target, precision="fp16", samples=batches[model][0])
        return target

    return convert
