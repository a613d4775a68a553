"""`mqspn propose`: one file an image, kept over a kill, taken in the proposer's place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mqspn.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mqspn.cli import app
from mqspn.data.proposals import read_proposals
from mqspn.data.reader import read_split
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.files.lock import lock_folder
from mqspn.regions.propose import load_proposer, propose
from mqspn.regions.recall import proposal_recall
from mqspn.synthetic import synthesize_posts
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner, Result

LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize_posts(split="train", count=7, seed=1, output=folder)
    synthesize_posts(split="dev", count=5, seed=2, output=folder)
    dropped = next(iter(sorted((folder / "images").iterdir())))
    dropped.unlink()  # a text-only post
    return folder


@pytest.fixture(scope="module")
def saved(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    save_checkpoint(checkpoint, folder)
    return folder


def run(data: Path, output: Path, *options: object) -> Result:
    arguments = ["propose", "--data", data, "--output", output, "--device", "cpu", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


def test_every_image_of_every_split_gets_a_file(data: Path, saved: Path, tmp_path: Path) -> None:
    output = tmp_path / "boxes"
    result = run(data, output, "--checkpoint", saved, "--batch-size", 4)
    assert result.exit_code == 0, result.output
    splits = {split: read_split(data, split, labels=LABELS) for split in ("train", "dev")}
    images = {p.id: p for posts in splits.values() for p in posts if p.image is not None}
    assert len(images) == 11
    assert {path.name for path in output.iterdir()} == {
        *("proposer.json", "lock"),
        *(f"{id}.npz" for id in images),
    }
    predictor = CheckpointPredictor(load_checkpoint(saved), progress=False)
    predictor.predict(list(images.values()))
    with np.load(output / f"{next(iter(images))}.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {
            "num_boxes",
            "bounding_boxes",
            "scores",
            "image_width",
            "image_height",
            "image_sha256",
        }
    shares = []
    for split, posts in splits.items():
        seen = [post for post in posts if post.image is not None]
        found = {post.id: read_proposals(output / f"{post.id}.npz").boxes for post in seen}
        for id, kept in found.items():
            np.testing.assert_allclose(kept, predictor.proposals[id], atol=0.01)
        gold = [[entity.boxes for entity in post.entities] for post in posts]
        boxes = [found.get(post.id, np.empty((0, 4))) for post in posts]
        shares.append(f"{split} {proposal_recall(gold, boxes, k=6).box_recall:.3f}")
    (line,) = (line for line in result.stdout.splitlines() if "boxes each" in line)
    assert line == (
        f"11 images, 6.0 boxes each; recall@6 of gold boxes at IoU > 0.5: {', '.join(shares)}"
    )


def test_a_split_and_a_number_of_regions(data: Path, saved: Path, tmp_path: Path) -> None:
    options = ("--checkpoint", saved, "--split", "dev", "--regions", 20)
    assert run(data, tmp_path, *options).exit_code == 0
    ids = {post.id for post in read_split(data, "dev", labels=LABELS) if post.image}
    files = {path.stem: path for path in tmp_path.glob("*.npz")}
    assert set(files) == ids
    assert max(len(read_proposals(path).boxes) for path in files.values()) == 20


def test_what_is_there_is_kept(
    data: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposer, settings = load_proposer(checkpoint=saved, regions=None)
    posts = read_split(data, "dev", labels=LABELS)

    original = proposer.forward

    def dies_at_its_second_batch(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        if list(tmp_path.glob("*.npz")):
            raise KeyboardInterrupt
        return original(*inputs)

    monkeypatch.setattr(proposer, "forward", dies_at_its_second_batch)
    with pytest.raises(KeyboardInterrupt):
        propose(proposer, settings, {"dev": posts}, output=tmp_path, batch_size=2, progress=False)
    kept = stamps(tmp_path)
    assert len(kept) == 2
    assert run(data, tmp_path, "--checkpoint", saved).exit_code == 0
    after = stamps(tmp_path)
    assert len(after) == 11
    assert {name: after[name] for name in kept} == kept
    assert not list(tmp_path.glob("*.partial"))


def test_what_is_damaged_or_of_a_replaced_image_is_made_again(
    data: Path, saved: Path, tmp_path: Path
) -> None:
    copy, output = tmp_path / "data", tmp_path / "boxes"
    shutil.copytree(data, copy)
    command = (copy, output, "--checkpoint", saved, "--split", "dev")
    assert run(*command).exit_code == 0
    before = stamps(output)
    damaged, replaced = sorted(output.glob("*.npz"))[:2]
    content = replaced.read_bytes()
    damaged.write_bytes(damaged.read_bytes()[:100])
    image = copy / "images" / f"{replaced.stem}.jpg"
    with Image.open(image) as drawn:
        turned = drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(image)  # of the same size in pixels
    assert run(*command).exit_code == 0
    after = stamps(output)
    assert {name for name in before if after[name] != before[name]} == {
        damaged.name,
        replaced.name,
    }
    assert len(read_proposals(damaged).boxes) == 6
    assert replaced.read_bytes() != content
    read_proposals(replaced, image=image)


def test_one_process_at_a_time_in_a_folder(data: Path, saved: Path, tmp_path: Path) -> None:
    with lock_folder(tmp_path, option="--output"):
        other = run(data, tmp_path, "--checkpoint", saved, "--split", "dev")
    assert f"another process works in {tmp_path}" in str(other.exception)
    assert not stamps(tmp_path)


def test_a_folder_of_another_detector_is_refused(data: Path, saved: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "a", "--checkpoint", saved, "--split", "dev").exit_code == 0
    other = run(data, tmp_path / "a", "--checkpoint", saved, "--regions", 5)
    assert "holds proposals with other --regions; name another --output" in str(other.exception)
    (tmp_path / "a" / "proposer.json").unlink()  # files of unknown origin, VinVL's perhaps
    assert "no proposer.json" in str(run(data, tmp_path / "a", "--checkpoint", saved).exception)


def test_a_pretrained_detector_needs_no_checkpoint(
    checkpoint: Checkpoint, data: Path, saved: Path, tmp_path: Path
) -> None:
    checkpoint.model.region_proposer.detector.save_pretrained(tmp_path / "detector")
    path = tmp_path / "mine.yaml"
    settings = json.loads((saved / "settings.json").read_text())
    settings["region_proposer"]["pretrained"] = str(tmp_path / "detector")
    path.write_text(json.dumps(settings))
    assert run(data, tmp_path / "a", "--settings", path, "--split", "dev").exit_code == 0
    assert run(data, tmp_path / "b", "--checkpoint", saved, "--split", "dev").exit_code == 0
    for a in (tmp_path / "a").glob("*.npz"):
        np.testing.assert_array_equal(
            read_proposals(a).boxes, read_proposals(tmp_path / "b" / a.name).boxes
        )


def test_images_too_small_for_a_pretrained_detector_are_refused(
    checkpoint: Checkpoint, data: Path, saved: Path, tmp_path: Path
) -> None:
    checkpoint.model.region_proposer.detector.save_pretrained(tmp_path / "detector")
    path = tmp_path / "mine.json"
    settings = json.loads((saved / "settings.json").read_text())
    settings["region_proposer"]["pretrained"] = str(tmp_path / "detector")
    path.write_text(json.dumps({**settings, "image_side": 7}))
    refused = run(data, tmp_path / "a", "--settings", path, "--split", "dev")
    assert "image_side: the region proposer takes no images of 7" in str(refused.exception)
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_done_is_said(data: Path, saved: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path).exit_code == 2
    assert run(data, tmp_path, "--checkpoint", saved, "--settings", "base").exit_code == 2
    named = run(data, tmp_path, "--settings", "demo")
    assert "name no pretrained detector" in str(named.exception)
    many = run(data, tmp_path, "--checkpoint", saved, "--regions", 31)
    assert "the detector has 30 queries, fewer than" in str(many.exception)
    text = tmp_path / "text"
    (text / "txt").mkdir(parents=True)
    (text / "txt" / "dev.txt").write_text("IMGID:a\nTed\tB-PER\n")
    nothing = run(text, tmp_path / "x", "--checkpoint", saved)
    assert "no post has an image" in str(nothing.exception)
    assert not (tmp_path / "x").exists()


def test_evaluation_uses_them_in_the_proposers_place(
    data: Path, saved: Path, tmp_path: Path
) -> None:
    posts = [post for post in read_split(data, "dev", labels=LABELS) if post.image]
    for post in posts:
        np.savez(tmp_path / f"{post.id}.jpg.npz", num_boxes=1, bounding_boxes=[[1, 2, 30, 40]])
    arguments = ["evaluate", "--data", data, "--split", "dev", "--checkpoint", saved]
    arguments += ["--device", "cpu", "--proposals", tmp_path]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    predictor = CheckpointPredictor(load_checkpoint(saved), progress=False, proposals=tmp_path)
    predictor.predict(posts)
    for post in posts:
        np.testing.assert_allclose(predictor.proposals[post.id], [[1, 2, 30, 40]], rtol=1e-6)
