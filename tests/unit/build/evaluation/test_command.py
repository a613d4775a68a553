"""`mqspn evaluate` of a tiny checkpoint on synthetic posts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from mqspn.checkpoint import Checkpoint, save_checkpoint
from mqspn.cli import app
from mqspn.data.reader import read_split
from mqspn.synthetic import synthesize_posts
from mqspn_backend.serving_settings import DecodingSettings
from typer.testing import CliRunner

LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize_posts(split="test", count=6, seed=3, output=folder)
    return folder


@pytest.fixture(scope="module")
def folder(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that answer every post with something."""
    decoding = DecodingSettings(entity_threshold=0.0)
    settings = replace(checkpoint.settings, decoding=decoding)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(replace(checkpoint, settings=settings), folder)
    return folder


def invoke(data: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--data", str(data), *map(str, arguments)])


def test_an_offline_evaluation_and_its_errors(data: Path, folder: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors.jsonl"
    done = invoke(data, "--checkpoint", folder, "--errors", errors)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["checkpoint"], result["posts"]) == ("tiny", 6)
    records = [json.loads(line) for line in errors.read_text(encoding="utf-8").splitlines()]
    kinds = Counter(record["kind"] for record in records)
    assert result["errors"] == {kind: kinds[kind] for kind in result["errors"]}
    gmner = result["gmner"]
    assert len(records) - kinds["spurious"] == gmner["gold"] - gmner["correct"] > 0
    assert len(records) - kinds["missed"] == gmner["predicted"] - gmner["correct"] > 0

    proposals = result["proposals"]
    assert proposals["k"] == 6  # the tiny checkpoint's own K; 8 is past it
    assert [at["k"] for at in proposals["at"]] == [1, 4, 6]
    assert proposals["at"][-1] == {k: v for k, v in proposals.items() if k != "at"}
    for recall in ("box_recall", "entity_recall"):
        assert [at[recall] for at in proposals["at"]] == sorted(
            at[recall] for at in proposals["at"]
        )


def test_kept_proposals_take_the_place_of_the_proposer(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    for post in read_split(data, "test", labels=LABELS):
        boxes = sorted({box for entity in post.entities for box in entity.boxes})
        if post.image is not None:
            np.savez(
                tmp_path / f"{post.id}.npz",
                num_boxes=len(boxes),
                bounding_boxes=np.array(boxes, np.float32).reshape(-1, 4),
            )
    done = invoke(data, "--checkpoint", folder, "--proposals", tmp_path)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["proposals"]["box_recall"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --checkpoint DIR or --url"),
        (("--checkpoint", "a", "--url", "b:1"), "either --checkpoint DIR or --url"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    data: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = invoke(data, *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_an_errors_file_that_cannot_be_written_ends_it_at_once(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    done = invoke(data, "--checkpoint", folder, "--errors", tmp_path / "no" / "errors.jsonl")
    assert isinstance(done.exception, FileNotFoundError)
    assert not done.stdout


def test_an_evaluation_that_fails_leaves_the_errors_file_as_it_was(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.jsonl"
    errors.write_text("earlier\n")
    done = invoke(data, "--checkpoint", tmp_path / "nowhere", "--errors", errors)
    assert isinstance(done.exception, FileNotFoundError)
    assert [path.name for path in tmp_path.iterdir()] == ["errors.jsonl"]
    assert errors.read_text() == "earlier\n"
    done = invoke(data, "--checkpoint", folder, "--errors", tmp_path)
    assert "name a file to write to" in str(done.exception)
