"""Tuning of decoding: on probabilities made by hand, and of a checkpoint through the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mqspn.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mqspn.cli import app
from mqspn.data.posts import GoldEntity, Post
from mqspn.evaluation.network_output import NetworkOutput, decode_output
from mqspn.evaluation.offline import network_outputs
from mqspn.evaluation.tune import tune, write_decoding
from mqspn.export import build_from_checkpoint
from mqspn.network import Mqspn
from mqspn.regions.states import compute_region_states
from mqspn.settings import EntityType, Settings
from mqspn.training.tokenizer import train_wordpiece
from mqspn_backend.serving_settings import DecodingSettings, ServingSettings
from mqspn_backend.text import TextBatch
from tokenizers.models import WordPiece
from tokenizers.processors import TemplateProcessing
from typer.testing import CliRunner, Result

TYPES = ["PER", "LOC"]


def output(posts: int) -> NetworkOutput:
    """Posts of the words a b c d: "a" is a PER entity with score 0.6, "c" is none but has 0.4.

    The only region is answered with probability 0.5 for "a", which is not in the image.
    """
    text = "a b c d"
    Q, L = 2, 4
    offsets = np.array([[2 * i, 2 * i + 1] for i in range(L)], np.int32)
    ones = np.ones((posts, L), np.int32)
    start = np.full((posts, Q, L), 0.01, np.float32)
    start[:, 0, 0] = start[:, 1, 2] = 1.0
    types = np.zeros((posts, Q, 3), np.float32)
    types[:, 0] = (0.3, 0.6, 0.1)
    types[:, 1] = (0.3, 0.3, 0.4)
    post = Post(
        id="1",
        text=text,
        words=tuple(text.split()),
        entities=(GoldEntity(0, 1, "PER"),),
        image=Path("1.jpg"),
    )
    return NetworkOutput(
        posts=[post] * posts,
        tokens=TextBatch(
            input_ids=ones,
            attention_mask=ones,
            word_starts=ones,
            word_ends=ones,
            offsets=np.tile(offsets, (posts, 1, 1)),
            truncated=np.zeros(posts, bool),
        ),
        type_probs=types,
        start_probs=start,
        end_probs=start,
        region_probs=np.tile(np.array([0.2, 0.5], np.float32), (posts, Q, 1)),
        region_boxes=np.tile(np.array([0.1, 0.1, 0.4, 0.4], np.float32), (posts, 1, 1)),
        region_scores=np.ones((posts, 1), np.float32),
        sizes=np.full((posts, 2), 100, np.int32),
    )


def test_thresholds_are_found_between_right_and_wrong_answers() -> None:
    present = DecodingSettings(entity_threshold=0.3)
    tuning = tune([output(3), output(2)], present, types=TYPES, metric="gmner")
    assert 0.4 < tuning.chosen.entity_threshold < 0.6
    assert tuning.chosen.region_threshold > 0.5
    assert tuning.before.gmner.f1 == 0
    assert (tuning.after.gmner.f1, tuning.gain) == (1, 1)
    assert tuning.held_out == (1.0,) * 10
    assert tuning.holds
    assert "10 of 10 cases, +1.0000 on average" in tuning.verdict()


def test_mner_leaves_the_region_threshold_alone() -> None:
    present = DecodingSettings(entity_threshold=0.3)
    tuning = tune([output(4)], present, types=TYPES, metric="mner")
    assert tuning.chosen.region_threshold == present.region_threshold
    assert tuning.before.mner.f1 == pytest.approx(2 / 3)
    assert tuning.after.mner.f1 == 1


def test_good_settings_stay() -> None:
    present = DecodingSettings(entity_threshold=0.52, region_threshold=0.77, max_entity_words=7)
    tuning = tune([output(4)], present, types=TYPES, metric="gmner")
    assert tuning.chosen == present
    assert not tuning.holds
    assert tuning.verdict() == "no candidate does better than the present settings"


def test_too_little_to_tune_on_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two posts"):
        tune([output(1)], DecodingSettings(), types=TYPES, metric="gmner")
    empty = output(3)
    posts = [replace(post, entities=()) for post in empty.posts]
    with pytest.raises(ValueError, match="an entity in them"):
        tune([replace(empty, posts=posts)], DecodingSettings(), types=TYPES, metric="gmner")


def test_a_choice_that_does_not_hold_is_called_noise() -> None:
    tuning = tune([output(4)], DecodingSettings(entity_threshold=0.3), types=TYPES, metric="mner")
    assert tuning.holds
    unlucky = replace(tuning, held_out=(0.02, -0.03))
    assert not unlucky.holds
    assert unlucky.verdict().endswith("noise, the present settings stay")
    # A small mean gain among large differences: chosen so, test posts once lost by it.
    scattered = (0.0038, 0.0006, 0.002, 0.0053, 0.0099, 0.0005, -0.0082, 0.0088, -0.0121, 0.0005)
    assert not replace(tuning, held_out=scattered).holds
    assert replace(tuning, held_out=tuple(gain + 0.006 for gain in scattered)).holds
    assert unlucky.to_json()["held_out"] == {
        "choices": 2,
        "gained": 1,
        "lost": 1,
        "mean_gain": pytest.approx(-0.005),
        "gains": [0.02, -0.03],
    }


def test_only_the_decoding_settings_of_a_checkpoint_change(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    types = (EntityType(name="Ünit", prompt="person", label="PER"), *checkpoint.settings.types[1:])
    settings = replace(checkpoint.settings, types=types)
    save_checkpoint(replace(checkpoint, settings=settings), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    decoding = DecodingSettings(entity_threshold=0.45, region_threshold=0.2, max_entity_words=3)
    write_decoding(tmp_path, decoding)
    assert load_checkpoint(tmp_path).settings == replace(settings, decoding=decoding)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {p.name for p in after if after[p] != before[p]} == {"settings.json"}
    write_decoding(tmp_path, settings.decoding)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_write_that_fails_leaves_the_settings_whole(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path)
    before = (tmp_path / "settings.json").read_bytes()
    (tmp_path / "settings.json.partial").mkdir()  # stands in for a disk that refuses the write
    with pytest.raises(OSError, match=r"settings\.json'"):
        write_decoding(tmp_path, DecodingSettings(entity_threshold=0.9))
    assert (tmp_path / "settings.json").read_bytes() == before


@pytest.fixture
def answering(settings: Settings, tmp_path: Path) -> Path:
    """A checkpoint that finds entities in any text, none of which its threshold lets through.

    Training a WordPiece breaks ties at random, so its vocabulary is written out: ids and weights
    are the same in every run.
    """
    folder = tmp_path / "answering"
    trained = train_wordpiece(["person"], size=300)
    words = "person location organization miscellaneous is an entity type about"
    words += " jordan meets taylor swift in new york paris fan"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words.split()]
    trained.model = WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    trained.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, pieces.index(name)) for name in ("[CLS]", "[SEP]")],
    )
    strict = DecodingSettings(entity_threshold=0.95, max_entity_words=3)
    torch.manual_seed(0)
    model = Mqspn(settings, trained)
    save_checkpoint(Checkpoint(replace(settings, decoding=strict), trained, model), folder)
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        loaded.model.query_decoder.span_head.score.bias.fill_(2.0)
        loaded.model.query_decoder.entity_head.classify.bias[1] += 2.0
    save_checkpoint(loaded, folder)
    return folder


def labelled_by(folder: Path, data: Path) -> None:
    """A data set whose gold entities are the checkpoint's own answers without a threshold."""
    loaded = load_checkpoint(folder)
    words = ["Jordan", "meets", "Taylor", "Swift", "in", "New", "York", "Paris", "fan"]
    posts = []
    for i in range(len(words)):
        turned = tuple(words[i:] + words[:i])
        posts.append(Post(id=str(i), text=" ".join(turned), words=turned, entities=(), image=None))
    regions = compute_region_states(loaded.model, loaded.settings, posts, progress=False)
    (output,) = network_outputs(loaded, posts, regions)
    lenient = replace(loaded.settings.decoding, entity_threshold=0.0)
    answers = decode_output(output, lenient, [t.name for t in loaded.settings.types])
    assert sum(map(len, answers)) >= 9
    lines = []
    for post, entities in zip(posts, answers, strict=True):
        lines.append(f"IMGID:{post.id}")
        offset = 0
        for word in post.words:
            label = "O"
            for entity in entities:
                if entity.start <= offset < entity.end:
                    label = ("B-" if entity.start == offset else "I-") + entity.type
            lines.append(f"{word}\t{label}")
            offset += len(word) + 1
        lines.append("")
    (data / "txt").mkdir(parents=True)
    (data / "txt" / "dev.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(*arguments: str | Path) -> dict:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_command_tunes_a_checkpoint_and_serving_uses_the_choice(
    answering: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    labelled_by(answering, data)
    before = (answering / "settings.json").read_bytes()
    command = ("tune", "--checkpoint", answering, "--data", data)
    dry = run(*command, "--dry-run")
    assert (answering / "settings.json").read_bytes() == before
    assert (dry["written"], dry["holds"], dry["posts"]) == (False, True, 9)
    assert dry["before"]["gmner"]["f1"] == 0
    assert dry["after"]["gmner"]["f1"] > 0.8

    written = run(*command)
    assert written == {**dry, "written": True}
    chosen = DecodingSettings(**written["after"]["decoding"])
    assert chosen != DecodingSettings(**written["before"]["decoding"])
    assert load_checkpoint(answering).settings.decoding == chosen
    assert (
        run("evaluate", "--checkpoint", answering, "--data", data, "--split", "dev")["gmner"]["f1"]
        == written["after"]["gmner"]["f1"]
    )

    list(build_from_checkpoint(answering, tmp_path / "repository"))
    serving = tmp_path / "repository" / "postprocess" / "1" / "serving.json"
    assert ServingSettings.from_file(serving).decoding == chosen


def test_the_command_refuses_another_metric(answering: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["tune", "--checkpoint", str(answering), "--data", str(tmp_path), "--metric", "eeg"],
        env={"COLUMNS": "200"},
    )
    assert done.exit_code == 2
    assert "'eeg' is not one of 'gmner', 'mner'" in " ".join(done.output.split())


def dev(data: Path, content: str) -> Path:
    (data / "txt").mkdir(parents=True)
    (data / "txt" / "dev.txt").write_text(content, encoding="utf-8")
    return data


def tune_in_vain(checkpoint: Path, data: Path) -> Result:
    command = ["tune", "--checkpoint", str(checkpoint), "--data", str(data)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    return done


def test_posts_without_entities_are_refused_before_the_network_runs(
    answering: Path, tmp_path: Path
) -> None:
    data = dev(tmp_path / "data", "IMGID:a\nfan\tO\n\nIMGID:b\nfan\tO\n")
    done = tune_in_vain(answering, data)
    assert "has 2 posts with 0 entities" in str(done.exception)
    assert "region states" not in done.output  # the bar of the network's pass


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_network_runs(
    answering: Path, tmp_path: Path
) -> None:
    data = dev(tmp_path / "data", "IMGID:a\nfan\tB-PER\n\nIMGID:b\nfan\tO\n")
    (answering / "settings.json.partial").mkdir()  # stands in for a folder without the right
    done = tune_in_vain(answering, data)
    assert isinstance(done.exception, OSError)
    assert "region states" not in done.output


def test_what_was_found_is_printed_even_where_its_write_fails(
    answering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    labelled_by(answering, tmp_path / "data")
    monkeypatch.setattr("mqspn.evaluation.tune.write_decoding", full)
    done = tune_in_vain(answering, tmp_path / "data")
    assert "No space left" in str(done.exception)
    found = json.loads(done.stdout)
    assert (found["holds"], found["written"]) == (True, False)
    assert "region states" in done.output
