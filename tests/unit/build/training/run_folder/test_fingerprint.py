"""A run's folder belongs to its settings and inputs once something was done in it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from mqspn.data.posts import AnnotatedObject, GoldEntity, Post
from mqspn.files.fingerprint import fingerprint_digest
from mqspn.settings import load_settings
from mqspn.training.run_folder.fingerprint import begin_run, data_digest, run_fingerprint

POST = Post(id="1", text="Jordan", words=("Jordan",), entities=(), image=None)


def begin(
    run: Path, *posts: Post, layers: int = 2, visual: Path | None = None, boxes: Path | None = None
) -> None:
    settings = load_settings("demo", {"network.layers": layers})
    begin_run(run, run_fingerprint(settings, posts, visual_from=visual, proposals=boxes))


def test_the_same_inputs_may_go_on(tmp_path: Path) -> None:
    for name in ("visual", "moved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    begin(tmp_path / "run", POST, visual=tmp_path / "visual")
    (tmp_path / "run" / "network.pt").touch()
    begin(tmp_path / "run", POST, visual=tmp_path / "moved")


def test_other_inputs_are_named(tmp_path: Path) -> None:
    run, boxes, visual = (tmp_path / name for name in ("run", "boxes", "visual"))
    boxes.mkdir()
    visual.mkdir()
    (boxes / "1.npz").write_bytes(b"1")
    image = tmp_path / "1.jpg"
    image.touch()
    post = replace(POST, image=image)
    (visual / "model.safetensors").write_bytes(b"weights")
    begin(run, post, visual=visual, boxes=boxes)
    (run / "regions_train").mkdir()
    # Boxes of other posts, as another `mqspn propose` adds them, are nothing to this run.
    (boxes / "2.npz").write_bytes(b"2")
    begin(run, post, visual=visual, boxes=boxes)
    with pytest.raises(ValueError, match=r"other settings \(network.layers\)"):
        begin(run, post, layers=3, visual=visual, boxes=boxes)
    with pytest.raises(ValueError, match="other data;"):
        begin(run, post, post, visual=visual, boxes=boxes)
    (boxes / "1.npz").write_bytes(b"more")
    with pytest.raises(ValueError, match="other proposals;"):
        begin(run, post, visual=visual, boxes=boxes)
    (visual / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ValueError, match="other visual side;"):
        begin(run, post, visual=visual, boxes=boxes)


def test_a_run_that_did_nothing_yet_can_be_mended(tmp_path: Path) -> None:
    begin(tmp_path, POST, layers=3)
    (tmp_path / "tokenizer.json").touch()
    begin(tmp_path, POST, layers=2)
    assert not (tmp_path / "tokenizer.json").exists()
    (tmp_path / "network.pt").touch()
    begin(tmp_path, POST, layers=2)


def test_a_damaged_fingerprint_is_named(tmp_path: Path) -> None:
    (tmp_path / "claim.json").touch()
    with pytest.raises(ValueError, match=r"claim\.json is damaged"):
        begin(tmp_path, POST)


def test_an_older_versions_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "region_proposer.pt").touch()
    with pytest.raises(ValueError, match="older version"):
        begin(tmp_path, POST)


def test_the_digest_follows_its_inputs() -> None:
    def digest(*posts: Post, layers: int = 2) -> str:
        settings = load_settings("demo", {"network.layers": layers})
        return fingerprint_digest(
            run_fingerprint(settings, posts, visual_from=None, proposals=None)
        )

    assert digest(POST) == digest(POST)
    assert len({digest(POST), digest(POST, POST), digest(POST, layers=3)}) == 3


def test_the_digest_of_data_is_that_of_earlier_runs(tmp_path: Path) -> None:
    image = tmp_path / "1.jpg"
    image.write_bytes(b"12345")
    jordan = GoldEntity(0, 6, "PER", ((1.0, 2.0, 3.0, 4.0),))
    shoe = AnnotatedObject("product/shoe", (1.0, 2.0, 3.0, 4.0), 0.5, True)
    post = replace(POST, entities=(jordan,), objects=(shoe,), image=image)
    written = (
        "('1', 'Jordan', (GoldEntity(start=0, end=6, type='PER', boxes=((1.0, 2.0, 3.0, 4.0),)),), "
        "(DrawnObject(look='product/shoe', box=(1.0, 2.0, 3.0, 4.0), visible=0.5, named=True),), 5)"
    )
    assert data_digest([post]) == hashlib.sha256(written.encode()).hexdigest()


def test_proposals_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .* with proposals"):
        begin(tmp_path / "run", POST, boxes=tmp_path / "nope")
