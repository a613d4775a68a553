"""The entry point's own decisions, in this process: folders of plans, and whom it may not read."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pytest
from mqspn.engines.precision import Precision
from mqspn.repository.runtime import Gpu, Runtime

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repository"
THERE = Runtime(
    tensorrt="11.1.0", gpus=(Gpu(name="NVIDIA H100 80GB HBM3", compute_capability="9.0"),)
)


def test_the_entry_point_knows_the_compilers_precisions(entrypoint: Any) -> None:
    assert get_args(Precision) == entrypoint.PRECISIONS


def test_the_folder_is_another_ones_for_another_converter_or_other_layers(
    entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(precision: str) -> Path:
        found: Path = entrypoint.plan_folder(tmp_path, REPOSITORY, precision, THERE)
        return found

    before = {precision: folder(precision) for precision in ("fp32", "fp16")}
    assert entrypoint._converter() == version("nvidia-modelopt")
    monkeypatch.setattr(entrypoint, "_converter", lambda: "0.48.0")
    other = folder("fp16")
    monkeypatch.setattr(entrypoint, "KEPT", ())
    assert len({before["fp16"], other, folder("fp16")}) == 3
    assert folder("fp32") == before["fp32"]
    kept = entrypoint.plan_folder(tmp_path, REPOSITORY, "fp16", THERE, ["query_decoder:softmaxes"])
    assert kept != folder("fp16")


def test_an_unreadable_repository_is_named(
    entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may read everything: the answer of the system is made up."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr("sys.argv", ["entrypoint.py", "serve", f"--repository={tmp_path}"])
    with pytest.raises(SystemExit, match=rf"may not read {tmp_path}; let everyone read"):
        entrypoint.main()


def test_a_folder_of_plans_that_is_unreadable_is_not_called_the_repository(
    entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", f"{tmp_path}/plans/a.plan")

    monkeypatch.setattr(entrypoint, "serve", refuse)
    monkeypatch.setattr("sys.argv", ["entrypoint.py", "serve", f"--plans={tmp_path}/plans"])
    with pytest.raises(SystemExit, match=r"a\.plan; mount a plan volume that this user owns"):
        entrypoint.main()


def refusal(
    entrypoint: Any, monkeypatch: pytest.MonkeyPatch, command: str, plans: Path, *further: str
) -> str:
    """What the command ends with on an H100 of ours: a sentence that goes to standard error."""
    monkeypatch.setattr(entrypoint, "find_runtime", lambda: THERE)
    monkeypatch.setattr("sys.argv", ["entrypoint.py", command, f"--plans={plans}", *further])
    with pytest.raises(SystemExit) as ended:
        entrypoint.main()
    assert isinstance(ended.value.code, str)
    return ended.value.code


@pytest.mark.parametrize("command", ["plans", "serve"])
def test_a_folder_that_holds_no_repository_is_refused(
    command: str, entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(entrypoint, monkeypatch, command, tmp_path, f"--repository={tmp_path}")
    assert said == (
        f"mqspn {command}: {tmp_path}: found no text_encoder of the TensorRT backend, needed a "
        "model repository that this user can read; make it with `mqspn build`"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["plans", "serve"])
def test_a_precision_that_is_none_is_refused(
    command: str, entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQSPN_PRECISION", "fp12")
    said = refusal(entrypoint, monkeypatch, command, tmp_path)
    assert "MQSPN_PRECISION is 'fp12', needed fp32 or fp16 or bf16 or int8; set it" in said


@pytest.mark.parametrize("option", ["--precision=fp32", "--keep=x", "--output"])
def test_what_names_the_folder_is_no_argument(
    option: str, entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(entrypoint, monkeypatch, "plans", tmp_path, f"--repository={REPOSITORY}", option)
    assert f"{option.partition('=')[0]} is not for `mqspn compile` here: " in said
    assert not list(tmp_path.iterdir())


def test_the_server_refuses_to_start_without_plans(
    entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQSPN_PRECISION", "fp32")
    said = refusal(entrypoint, monkeypatch, "serve", tmp_path, f"--repository={REPOSITORY}")
    folder = entrypoint.plan_folder(tmp_path, REPOSITORY, "fp32", THERE)
    assert said.startswith(f"mqspn serve: {folder}/")
    assert "found no plan, needed one for TensorRT 11.1.0 on NVIDIA H100 80GB HBM3" in said
    assert said.endswith("run `docker compose -f deploy/compose.yaml run --rm plans`")


def test_each_kind_of_gpu_has_its_timings(
    entrypoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An H100 and an H200 have one compute capability, and TensorRT refuses the other's timings."""
    other = Runtime(tensorrt="11.1.0", gpus=(Gpu(name="NVIDIA H200", compute_capability="9.0"),))
    names = []
    for runtime in (THERE, other, Runtime(tensorrt=None, gpus=())):
        monkeypatch.setattr(entrypoint, "find_runtime", lambda found=runtime: found)
        command: list[str] = []
        monkeypatch.setattr(os, "execv", lambda _, given, to=command: to.extend(given))
        entrypoint.make_plans(tmp_path, REPOSITORY, "fp32", "tensorrt", (), ())
        (option,) = [a for a in command if a.startswith("--timing-cache=")]
        names.append(Path(option.partition("=")[2]))
    assert names == [
        tmp_path / "tensorrt-11.1.0-sm9.0-nvidia-h100-80gb-hbm3.timing",
        tmp_path / "tensorrt-11.1.0-sm9.0-nvidia-h200.timing",
        tmp_path / "tensorrt-unknown-no-gpu.timing",
    ]
