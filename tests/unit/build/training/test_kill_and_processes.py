"""The command itself: killed and called again; started as two processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mqspn.checkpoint import load_checkpoint
from mqspn.settings import Settings, load_settings
from mqspn.synthetic import synthesize_posts
from mqspn.training.stage_state import StateFiles
from mqspn.training.train import train

SHORT = {
    "training.vocabulary_size": 400,
    "training.region_proposer.epochs": 0,
    "training.region_encoder.epochs": 0,
    "training.frozen_epochs": 1,
}


@pytest.fixture(scope="module")
def short(tiny_settings: dict[str, Any]) -> dict[str, Any]:
    return {**tiny_settings, **SHORT}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize_posts(split="train", count=22, seed=1, output=folder)
    synthesize_posts(split="dev", count=6, seed=2, output=folder)
    return folder


def command(settings: Settings, data: Path, output: Path) -> list[str]:
    file = output.with_suffix(".json")
    file.write_text(settings.to_json())
    return [
        *("mqspn.cli", "train", "--data", str(data), "--settings", str(file)),
        *("--output", str(output), "--device", "cpu"),
    ]


def environment() -> dict[str, str]:
    """The same number of threads as here: sums are then the same to the last bit."""
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def results(output: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    report = json.loads((output / "training_report.json").read_text())
    return load_checkpoint(output).model.state_dict(), report


def share_tokenizer(done: Path, run: Path) -> None:
    """Training WordPiece twice gives two vocabularies; a run keeps its own."""
    run.mkdir()
    for name in ("claim.json", "tokenizer.json"):
        shutil.copy(done / name, run / name)


def kill_in(stage: str, process: subprocess.Popen[str], files: StateFiles) -> None:
    """Send SIGKILL once the stage's saved state is in the middle of an epoch."""
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up and process.poll() is None:
        state = files.load()
        if state is not None and state.batch > 0:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.05)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    state = files.load()
    assert state is not None
    assert not state.finished


def test_a_run_killed_in_two_stages_ends_as_one_that_was_not(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    settings = load_settings(
        "demo",
        {
            **short,
            "training.save_every_minutes": 0,
            "training.region_encoder.epochs": 3,
            "training.region_encoder.batch_size": 8,
            "training.network.epochs": 8,
            "training.network.batch_size": 4,
            "training.network.accumulation": 2,
        },
    )
    assert settings.network.dropout > 0
    assert settings.training.word_dropout > 0
    train(
        settings,
        data=data,
        run=tmp_path / "whole.run",
        output=tmp_path / "whole",
        device="cpu",
        progress=False,
    )
    share_tokenizer(tmp_path / "whole.run", tmp_path / "killed.run")
    arguments = [sys.executable, "-m", *command(settings, data, tmp_path / "killed")]
    for stage in ("region_encoder", "network"):
        process = subprocess.Popen(
            arguments, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        kill_in(stage, process, StateFiles(tmp_path / "killed.run", stage))
        assert not (tmp_path / "killed").exists()
    subprocess.run(arguments, env=environment(), check=True, capture_output=True, timeout=300)
    expected, report = results(tmp_path / "whole")
    found, resumed = results(tmp_path / "killed")
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    timed = {"seconds", "training_seconds", "posts_per_second"}
    assert [{k: v for k, v in s.items() if k not in timed} for s in resumed["stages"]] == [
        {k: v for k, v in s.items() if k not in timed} for s in report["stages"]
    ]


KILLED_IN_THE_NETWORK_STAGE = """
import os, signal, sys
from pathlib import Path
from mqspn.settings import load_settings
from mqspn.training.stage_state import StateFiles
from mqspn.training.train import train

save = StateFiles.save
def save_or_die(files, state):
    if files.stage == "network":
        os.kill(os.getpid(), signal.SIGKILL)
    save(files, state)
StateFiles.save = save_or_die
settings, data, output = sys.argv[1:]
train(
    load_settings(settings), data=Path(data), run=Path(output + ".run"), output=Path(output),
    device="cpu", progress=False,
)
"""


def test_a_kill_before_a_stages_first_save_changes_nothing(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    """The earlier stage is then taken from disk, and its random draws are not made again."""
    settings = load_settings(
        "demo",
        {
            **short,
            "loss.token_weight": 1.0,
            "training.region_encoder.epochs": 1,
            "training.network.epochs": 1,
        },
    )
    arguments: dict[str, Any] = {"data": data, "device": "cpu", "progress": False}
    train(settings, run=tmp_path / "whole.run", output=tmp_path / "whole", **arguments)
    share_tokenizer(tmp_path / "whole.run", tmp_path / "killed.run")
    file = tmp_path / "settings.json"
    file.write_text(settings.to_json())
    killed = subprocess.run(
        [
            *(sys.executable, "-c", KILLED_IN_THE_NETWORK_STAGE),
            *(str(file), str(data), str(tmp_path / "killed")),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    names = {path.name for path in (tmp_path / "killed.run").glob("*.pt")}
    assert "region_encoder.pt" in names
    assert "network.pt" not in names
    train(settings, run=tmp_path / "killed.run", output=tmp_path / "killed", **arguments)
    expected, report = results(tmp_path / "whole")
    found, resumed = results(tmp_path / "killed")
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert resumed["stages"][1]["epochs"] == report["stages"][1]["epochs"]


def test_two_processes_learn_what_one_does(
    short: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    """The text encoder is frozen in the first epoch only; one batch has an odd number of posts."""
    settings = load_settings(
        "demo",
        {
            **short,
            "network.dropout": 0.0,
            "text_encoder.config.hidden_dropout_prob": 0.0,
            "text_encoder.config.attention_probs_dropout_prob": 0.0,
            "training.network.epochs": 3,
            "training.network.batch_size": 4,
            "training.network.accumulation": 2,
            "training.network.learning_rate": 1e-3,
        },
    )
    train(
        settings,
        data=data,
        run=tmp_path / "one.run",
        output=tmp_path / "one",
        device="cpu",
        progress=False,
    )
    share_tokenizer(tmp_path / "one.run", tmp_path / "two.run")
    # What `accelerate launch` runs, but that on the CPU it would want MPI.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc_per_node", "2", "-m"]
    done = subprocess.run(
        [*launch, *command(settings, data, tmp_path / "two")],
        env={**environment(), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint:") == 1
    expected, report = results(tmp_path / "one")
    found, shared = results(tmp_path / "two")
    assert shared["processes"] == 2
    for name, value in expected.items():
        # No softmax depends on a key's bias: its gradient is rounding, which AdamW makes steps of.
        atol = 1e-3 if name.endswith(".key.bias") else 1e-5
        torch.testing.assert_close(found[name], value, atol=atol, rtol=0, msg=name)
    for a, b in zip(report["stages"][0]["epochs"], shared["stages"][0]["epochs"], strict=True):
        assert a == pytest.approx(b, abs=1e-4)
