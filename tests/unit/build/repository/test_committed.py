"""The committed model repository is what `mqspn build` makes of the committed checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mqspn.checkpoint import Checkpoint, load_checkpoint
from mqspn.export.graphs import example_inputs, graph_modules
from mqspn.export.parity import check_parity
from mqspn.export.repository import serving_settings
from mqspn.repository import ENGINES, build_repository
from mqspn_backend.serving_settings import ServingSettings

ROOT = Path(__file__).resolve().parents[4]
REPOSITORY = ROOT / "model_repository"
DEMO = ROOT / "build" / "checkpoints" / "demo"


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    return load_checkpoint(DEMO)


def test_every_text_file_is_the_generators(demo: Checkpoint, tmp_path: Path) -> None:
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for name in ENGINES:
        shutil.copy(REPOSITORY / name / "1" / "model.onnx", graphs / f"{name}.onnx")
    settings = demo.settings
    committed = ServingSettings.from_file(REPOSITORY / "preprocess" / "1" / "serving.json")
    build_repository(
        graphs=graphs,
        tokenizer=DEMO,
        serving=serving_settings(settings, committed.model_version),
        width=settings.network.width,
        queries=settings.network.queries,
        max_batch_size=settings.serving.max_batch_size,
        output=tmp_path / "built",
    )
    made = {p.relative_to(tmp_path / "built") for p in (tmp_path / "built").rglob("*.*")}
    for path in sorted(p for p in made if p.suffix != ".onnx"):
        assert (REPOSITORY / path).read_bytes() == (tmp_path / "built" / path).read_bytes(), path
    kept = {p.relative_to(REPOSITORY) for p in REPOSITORY.rglob("*.*")}
    assert {p for p in kept if "__pycache__" not in p.parts} == made


@pytest.mark.parametrize("name", ENGINES)
def test_its_graphs_are_the_checkpoints(name: str, demo: Checkpoint) -> None:
    inputs = example_inputs(
        name, demo.settings, demo.tokenizer.get_vocab_size(), posts=3, tokens=11, seed=4
    )
    module = graph_modules(demo.model)[name]
    parity = check_parity(name, module, REPOSITORY / name / "1" / "model.onnx", [inputs])
    assert np.isfinite(parity.largest)
    assert parity.largest < 1e-3
