"""The command: its parts are mounted, and what a user can mend is one plain line."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import mqspn_client
import pytest
from mqspn.cli import app, main
from mqspn.configs import packaged_settings
from mqspn.data.errors import DataError, Problem
from mqspn.engines.builder import FLAVOURS
from mqspn.engines.choices import EngineGraph, Flavour, LowPrecision, Precision
from mqspn.engines.errors import EngineError
from mqspn.engines.precision import PRECISIONS
from mqspn.errors import BuildError
from mqspn.evaluation import Metric
from mqspn.export import ExportError
from mqspn.files.fingerprint import FingerprintError
from mqspn.repository.cuda_profile import CudaProvider
from mqspn.repository.errors import RepositoryError
from mqspn.serving import ServerError
from mqspn.settings import Selection
from mqspn.synthetic.command import SyntheticSplit
from mqspn.synthetic.templates import TEMPLATES
from mqspn_backend.providers import PROVIDERS
from mqspn_backend.tensors import ENGINES
from mqspn_client import ServerUnreachableError
from typer.testing import CliRunner


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    script = code or "from mqspn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_is_there() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert names == {
        "draw-posts",
        "train",
        "evaluate",
        "tune",
        "propose",
        "ablate",
        "compile",
        "sensitivity",
        "export",
        "build",
        "serve",
        "predict",
        "batch",
    }
    assert groups == {"data"}
    assert run("evaluate", "--help").returncode == 0


def test_it_says_its_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"mqspn {mqspn_client.__version__}\n")


def test_the_version_waits_until_it_is_asked_for() -> None:
    code = (
        "import sys, mqspn; assert 'mqspn_client' not in sys.modules; print(mqspn.__version__)\n"
        "assert not hasattr(mqspn, '__versoin__')"
    )
    ran = run(code=code)
    assert (ran.returncode, ran.stdout) == (0, f"{mqspn_client.__version__}\n")


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'yaml', 'pydantic', 'onnx', 'onnxruntime', 'scipy', 'tokenizers'):\n"
        "    sys.modules[name] = None\n"
        "from mqspn.cli import main; main()"
    )
    assert run("--help", code=code).returncode == 0
    missing = run("evaluate", "--data", ".", "--checkpoint", ".", code=code)
    assert missing.returncode == 1
    assert "pip install 'mqspn-triton[build]'" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "--checkpoint", "nowhere", "--output", "x"), "not a checkpoint"),
        (
            ("train", "--data", "nowhere", "--output", "x", "--settings", "dmo"),
            "base, base_untrained, demo",
        ),
        (
            ("train", "--data", "nowhere", "--output", "x", "--set", "network.layerz=2"),
            "did you mean 'network.layers'",
        ),
        (("train", "--data", "nowhere", "--output", "x"), "no split 'train' in nowhere"),
        (("evaluate", "--data", "nowhere"), "--checkpoint DIR or --url"),
        (
            ("build", "--checkpoint", "nowhere", "--output", "x", "--cuda-fp16"),
            "fp16 is for tensorrt",
        ),
        (
            ("data", "synthesize", "--split", "tset", "--count", "1", "--output", "x"),
            "'tset' is not one of 'train'",
        ),
        (
            ("train", "--data", "nowhere", "--output", "x", "--set", "network.layers"),
            "--set needs key=value, not 'network.layers'",
        ),
    ],
)
def test_errors_are_plain(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mqspn", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())


def call(monkeypatch: pytest.MonkeyPatch, inside: Callable[[], object]) -> None:
    """`mqspn export`, whose work is ``inside``."""
    monkeypatch.setattr("mqspn.checkpoint.load_checkpoint", lambda folder: inside())
    monkeypatch.setattr("sys.argv", ["mqspn", "export", "--checkpoint", "a", "--output", "b"])
    main()


def fail(error: BaseException) -> Callable[[], object]:
    def inside() -> None:
        raise error

    return inside


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BuildError("a.yaml: mend this"), "a.yaml: mend this"),
        (DataError([Problem(Path("a.txt"), 3, "no tag")]), "a.txt:3: no tag"),
        (RepositoryError("name another folder"), "name another folder"),
        (EngineError("give more posts"), "give more posts"),
        (ExportError("they differ"), "they differ"),
        (ServerError("no server"), "no server"),
        (FingerprintError("a.run is another's"), "a.run is another's"),
        (ServerUnreachableError("127.0.0.1:1: nobody answers"), "127.0.0.1:1: nobody answers"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.jpg"), "a.jpg: No such file"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "c.pt"), "c.pt: No space left on device"),
        (FileNotFoundError("x is not a checkpoint"), "x is not a checkpoint"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    error: Exception,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, fail(error))
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"mqspn: {line}\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    code = (
        "import sys; import numpy as np; import mqspn.checkpoint\n"
        "def load_checkpoint(folder): return np.ones((2, 3)) + np.ones((4, 5))\n"
        "mqspn.checkpoint.load_checkpoint = load_checkpoint\n"
        "from mqspn.cli import main; main()"
    )
    done = run("export", "--checkpoint", "a", "--output", "b", code=code)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "in load_checkpoint" in done.stderr
    assert "ValueError: operands could not be broadcast together with shapes (2,3) (4,5)" in (
        done.stderr
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes differ"),
        KeyError("missing"),
        RuntimeError("out of order"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        ModuleNotFoundError("No module named 'mqspn.gone'", name="mqspn.gone"),
    ],
)
def test_other_errors_are_not_swallowed(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)) as raised:
        call(monkeypatch, fail(error))
    assert raised.value is error
    assert not capsys.readouterr().err


def test_an_interrupt_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, fail(KeyboardInterrupt()))
    assert ended.value.code in (1, 130)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "option", "choices"),
    [
        (("data", "synthesize"), "--split", ("train", "dev", "test")),
        (("build",), "--profile", ("cpu", "cuda", "gpu")),
        (("build",), "--cuda-provider", ("cuda", "tensorrt", "cpu")),
        (("serve",), "--profile", ("cpu", "cuda", "gpu")),
        (("compile",), "--engine", ("tensorrt", "tensorrt-rtx")),
        (("compile",), "--precision", ("fp32", "fp16", "bf16", "int8")),
        (("sensitivity",), "--precision", ("fp16", "bf16")),
        (("sensitivity",), "--graph", ENGINES),
        (("tune",), "--metric", ("gmner", "mner")),
    ],
)
def test_a_choice_is_one_of_those_that_help_shows(
    arguments: tuple[str, ...], option: str, choices: tuple[str, ...]
) -> None:
    refused = CliRunner().invoke(app, [*arguments, option, "neither"], env={"COLUMNS": "400"})
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert f"'neither' is not one of {', '.join(map(repr, choices))}" in said


def test_choices_are_those_of_the_libraries() -> None:
    assert get_args(EngineGraph) == ENGINES
    assert get_args(Precision) == (*PRECISIONS, "int8")
    assert set(get_args(LowPrecision)) < set(PRECISIONS)
    assert get_args(Flavour) == tuple(FLAVOURS)
    assert set(get_args(CudaProvider)) == set(PROVIDERS)
    assert get_args(SyntheticSplit) == tuple(TEMPLATES)
    assert get_args(Metric) == get_args(Selection)


@pytest.mark.parametrize("command", ["train", "ablate", "evaluate", "compile", "propose"])
def test_help_names_the_packaged_settings(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"})
    assert ", ".join(packaged_settings()) in " ".join(shown.output.split())


SYNTHESIZE = ("--split", "dev", "--count", "3", "--seed", "4", "--output")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_synthetic_posts_can_be_read_back(tmp_path: Path) -> None:
    assert run("data", "synthesize", *SYNTHESIZE, str(tmp_path)).returncode == 0
    stats = run("data", "stats", str(tmp_path), "--json")
    assert stats.returncode == 0
    assert json.loads(stats.stdout)["dev"]["posts"] == 3


@pytest.mark.parametrize(
    ("command", "mend"),
    [
        (("data", "stats"), "give the folder that holds txt/"),
        (("serve", "--repository"), "make one with `mqspn build`"),
    ],
)
def test_every_command_ends_with_one_line_of_the_program(
    command: tuple[str, ...], mend: str, tmp_path: Path
) -> None:
    done = run(*command, str(tmp_path / "nope"))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("mqspn")] == lines[-1:]
    assert lines[-1].startswith("mqspn: ")
    assert mend in lines[-1]


def test_the_old_name_writes_the_same_posts_and_names_the_new_one(tmp_path: Path) -> None:
    line = "mqspn draw-posts is now called mqspn data synthesize\n"
    new = CliRunner().invoke(app, ["data", "synthesize", *SYNTHESIZE, str(tmp_path / "new")])
    old = CliRunner().invoke(app, ["draw-posts", *SYNTHESIZE, str(tmp_path / "old")])
    assert (new.exit_code, old.exit_code) == (0, 0)
    assert files(tmp_path / "old") == files(tmp_path / "new") != {}
    assert (old.stdout, old.stderr.count(line)) == ("", 1)
    assert "draw-posts" not in new.stderr


def test_help_shows_the_new_name_only() -> None:
    whole = CliRunner().invoke(app, ["--help"])
    data = CliRunner().invoke(app, ["data", "--help"])
    assert (whole.exit_code, data.exit_code) == (0, 0)
    assert "synthesize" in data.stdout
    assert "draw-posts" not in whole.stdout + data.stdout
