"""Both images, replayed: what is in them, and that it works there.

Not shown by this: NVIDIA's image itself, and plans on its TensorRT, which needs a GPU.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mqspn.repository import ENGINES
from mqspn.repository.manifest import manifest_path, read_manifest
from mqspn.repository.runtime import Gpu, Runtime
from mqspn.serving.ports import free_ports
from mqspn.synthetic import synthesize_posts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
#: No more than an unset environment may matter to what runs in a container.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/tmp", "OMP_NUM_THREADS": "1"}
H100 = Gpu(name="NVIDIA H100 80GB HBM3", compute_capability="9.0")
THERE = Runtime(tensorrt="11.1.0", gpus=(H100,))


def run(image: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the image's Python."""
    return subprocess.run(
        [str(image / "venv" / "bin" / "python"), *arguments],
        cwd="/",
        env={**ENVIRONMENT, "MQSPN_PRECISION": "fp32", **variables},
        capture_output=True,
        text=True,
        timeout=900,
    )


def packages(image: Path) -> set[str]:
    code = "import importlib.metadata as m; print(*(d.name.lower() for d in m.distributions()))"
    return {name.replace("_", "-") for name in run(image, "-c", code).stdout.split()}


@pytest.fixture(scope="module")
def volume(plans_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan volume after the init step ran once on the demo's repository."""
    folder = tmp_path_factory.mktemp("volume") / "plans"
    ran = make_plans(plans_image, folder)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("built in") == len(ENGINES)
    return folder


def make_plans(
    image: Path, volume: Path, *further: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    options = [f"--repository={REPOSITORY}", f"--plans={volume}", "--engine=tensorrt-rtx"]
    return run(image, str(image / "entrypoint.py"), "plans", *options, *further, **variables)


def serve(
    image: Path,
    volume: Path,
    folder: Path,
    *program: str,
    further: tuple[str, ...] = (),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """`entrypoint.py serve`; ``program`` is what Python runs instead of it,
    ``further`` what goes to tritonserver."""
    options = [f"--repository={REPOSITORY}", f"--plans={volume}", f"--run={folder / 'run'}"]
    script = program or (str(image / "entrypoint.py"),)
    return run(image, *script, "serve", *options, *further, **variables)


def test_the_server_has_what_the_python_backend_needs(server_image: Path) -> None:
    found = packages(server_image)
    assert found >= {"mqspn-triton", "numpy", "pillow", "tokenizers", "tritonclient"}
    assert not found & {
        *("torch", "transformers", "onnx", "onnxruntime", "scipy", "nvidia-modelopt"),
        *("tensorrt-rtx-cu13", "nvidia-pytriton", "pip", "pytest"),
    }


def test_the_init_step_has_the_compiler(plans_image: Path) -> None:
    found = packages(plans_image)
    assert found >= {"mqspn-triton", "onnx", "onnxruntime", "nvidia-modelopt", "tensorrt-rtx-cu13"}
    assert not found & {"transformers", "accelerate", "tensorboard", "nvidia-pytriton"}


@pytest.mark.serving
def test_triton_serves_both_python_models_from_links_with_these_packages(
    server_image: Path, entrypoint: Any, tmp_path: Path
) -> None:
    """The wheel's server, 24.10, in place of the image's; the engines need the image's."""
    entrypoint.link_repository(REPOSITORY, tmp_path / "plans", tmp_path / "models")
    wheel = find_spec("pytriton")
    assert wheel is not None
    assert wheel.submodule_search_locations is not None
    server = Path(wheel.submodule_search_locations[0]) / "tritonserver" / "bin" / "tritonserver"
    names = ("grpc", "http", "metrics")
    ports = [f"--{n}-port={p}" for n, p in zip(names, free_ports(3), strict=True)]
    options = [f"--repository={tmp_path / 'models'}", f"--tritonserver={server}", *ports]
    options += [f"--log-file={tmp_path / 'log'}", "--", "--model-control-mode=explicit"]
    options += ["--load-model=preprocess", "--load-model=postprocess"]
    started = subprocess.Popen(
        [str(server_image / "venv" / "bin" / "python"), "-m", "mqspn.cli", "serve", *options],
        env=ENVIRONMENT,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        # The line comes when both are loaded and warmed up, or not at all.
        assert started.stdout.readline().startswith("ready: "), (tmp_path / "log").read_text()
        port = ports[1].partition("=")[2]
        assert run(server_image, *ready(server_image, port)).returncode == 0
    finally:
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
    assert run(server_image, *ready(server_image, port)).returncode == 1


def ready(image: Path, port: str) -> tuple[str, ...]:
    return str(image / "ready.py"), port


def test_a_second_init_step_builds_nothing(volume: Path, plans_image: Path) -> None:
    (folder,) = volume.iterdir()
    assert re.fullmatch(r"tensorrt-unknown-no-gpu-fp32-[0-9a-f]{16}", folder.name)
    plans = {f"{model}.plan" for model in ENGINES}
    assert {p.name for p in folder.iterdir()} == {
        ".lock",
        *plans,
        *(f"{plan}.json" for plan in plans),
    }
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = make_plans(plans_image, volume)
    assert again.returncode == 0
    assert again.stdout.startswith(f"plans: {folder}\n")
    assert again.stderr.count("matches, kept") == len(ENGINES)
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_graph_goes_to_fp16_in_the_init_step(
    plans_image: Path, tiny_export: Any, tmp_path: Path
) -> None:
    code = f"""
import numpy as np
from pathlib import Path
from mqspn.engines.precision import convert_graph
ids = np.ones((2, 8), np.int32)
convert_graph(
    "text_encoder", Path({str(tiny_export.graphs / "text_encoder.onnx")!r}), Path("low.onnx"),
    precision="fp16", samples={{"INPUT_IDS": ids, "ATTENTION_MASK": ids}},
)
"""
    ran = run(plans_image, "-c", f"import os; os.chdir({str(tmp_path)!r}){code}")
    assert ran.returncode == 0, ran.stderr
    import onnx

    types = {i.data_type for i in onnx.load(str(tmp_path / "low.onnx")).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types


def claim_tensorrt(folder: Path, *, but: str = "") -> None:
    """Let the manifests in ``folder`` say what they would on an H100 with TensorRT 11.1."""
    for plan in folder.glob("*.plan"):
        manifest = read_manifest(plan)
        if manifest is not None and plan.stem != but:
            text = replace(
                manifest,
                engine="tensorrt",
                engine_version="11.1.0.106",
                gpu=H100.name,
                compute_capability=H100.compute_capability,
            ).to_json()
            manifest_path(plan).write_text(text)


def tamper(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes() + b"!")


def orphan(plan: Path) -> None:
    manifest_path(plan).unlink()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (Path.unlink, "found no plan, needed one for TensorRT 11.1.0 on NVIDIA H100 80GB HBM3"),
        (orphan, "found a plan without its manifest, needed query_decoder.plan.json beside it"),
        (tamper, "found a plan that is not the one its manifest describes, needed one for"),
        (
            lambda plan: None,
            "found a plan of tensorrt-rtx 1.7.1.116, needed one of TensorRT 11.1.0",
        ),
    ],
)
def test_the_server_refuses_another_plan_in_one_sentence(
    spoil: Callable[[Path], None],
    found: str,
    volume: Path,
    server_image: Path,
    there: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = there(volume)
    claim_tensorrt(folder, but="query_decoder")
    spoil(folder / "query_decoder.plan")
    ran = serve(server_image, folder.parent, tmp_path, *on_an_h100(server_image))
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"mqspn serve: {folder}/query_decoder.plan: {found}")
    assert ran.stderr.endswith("; run `docker compose -f deploy/compose.yaml run --rm plans`\n")
    assert ran.stderr.count("\n") == 1


def test_the_server_looks_for_its_own_version_only(
    volume: Path, server_image: Path, tmp_path: Path
) -> None:
    """The plans made here are for no TensorRT and no GPU; an H100's are in another folder."""
    ran = serve(server_image, volume, tmp_path, *on_an_h100(server_image))
    assert ran.returncode == 1
    assert re.search(r"/tensorrt-11\.1\.0-sm9\.0-fp32-\w{16}/\w+\.plan: found no", ran.stderr)
    other = serve(server_image, volume, tmp_path, MQSPN_PRECISION="fp16")
    assert re.search(
        r"/plans/tensorrt-unknown-no-gpu-fp16-\w{16}/\w+\.plan: found no", other.stderr
    )


def test_the_server_becomes_tritonserver(
    volume: Path, server_image: Path, there: Callable[..., Path], tmp_path: Path
) -> None:
    """TensorRT-RTX's plans under TensorRT's name, an H100 that is not here, and a `tritonserver`
    that only writes down how it was called: this tests the call and nothing behind it."""
    folder = there(volume)
    claim_tensorrt(folder)
    root = tmp_path / "tritonserver"
    for name in ("bin", "backends/python", "backends/tensorrt", "caches"):
        (root / name).mkdir(parents=True)
    (root / "backends" / "python" / "triton_python_backend_stub").touch()
    (root / "bin" / "tritonserver").write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@"; echo "$$" "$PATH"; exec ls -L "${2#*=}"/*/1\n'
    )
    (root / "bin" / "tritonserver").chmod(0o755)
    ran = serve(
        server_image,
        folder.parent,
        tmp_path,
        *on_an_h100(server_image),
        further=("--http-thread-count=2",),
        PATH=f"{root / 'bin'}:{ENVIRONMENT['PATH']}",
        MQSPN_OPERATOR_KEY="key",
    )
    assert ran.returncode == 0, ran.stderr
    (models,) = (tmp_path / "run").glob("mqspn-*/models")
    closed = "model-repository,model-config,shared-memory,statistics,trace,logging"
    lines = ran.stdout.splitlines()
    assert lines[:28] == [
        "--id=mqspn",
        f"--model-repository={models}",
        "--model-control-mode=none",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--disable-auto-complete-config",
        f"--backend-directory={root / 'backends'}",
        f"--cache-directory={root / 'caches'}",
        "--backend-config=python,shm-region-prefix-name=mqspn_",
        "--backend-config=python,stub-timeout-seconds=120",
        "--grpc-address=0.0.0.0",
        "--grpc-port=8001",
        f"--grpc-restricted-protocol={closed}:operator-key=key",
        "--http-address=0.0.0.0",
        "--http-port=8000",
        f"--http-restricted-api={closed}:operator-key=key",
        "--metrics-address=0.0.0.0",
        "--metrics-port=8002",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--exit-timeout-secs=10",
        "--log-verbose=0",
        "--cuda-memory-pool-byte-size=0:0",
        "--pinned-memory-pool-byte-size=1073741824",
        "--backend-config=python,shm-default-byte-size=67108864",
        "--backend-config=python,shm-growth-byte-size=16777216",
        "--allow-client-shm=false",
        "--http-thread-count=2",
    ]
    assert f" {models.parent / 'bin'}:" in lines[28]
    # Triton sees each plan beside its configuration, and nothing was written to the repository.
    for model in ENGINES:
        plan = models / model / "1" / "model.plan"
        assert plan.resolve() == folder.resolve() / f"{model}.plan"
        assert plan.with_name("model.plan.json").is_file()
        assert (models / model / "config.pbtxt").resolve() == REPOSITORY / model / "config.pbtxt"
    assert ran.stdout.count("model.plan\n") == len(ENGINES)
    assert not list(REPOSITORY.rglob("model.plan*"))


@pytest.fixture
def there(entrypoint: Any, tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a volume's plans into a volume's folder for `THERE`; that folder."""

    def copy(volume: Path) -> Path:
        (made,) = volume.iterdir()
        folder: Path = entrypoint.plan_folder(tmp_path / "plans", REPOSITORY, "fp32", THERE)
        shutil.copytree(made, folder)
        return folder

    return copy


def on_an_h100(image: Path) -> tuple[str, ...]:
    """What makes the image's Python run the entry point as if it found `THERE`."""
    code = f"""
import runpy
from mqspn.repository import runtime
from mqspn.repository.runtime import Gpu, Runtime
runtime.find_runtime = lambda: {THERE!r}
runpy.run_path({str(image / "entrypoint.py")!r}, run_name="__main__")
"""
    return "-c", code


@pytest.mark.parametrize("command", ["plans", "serve"])
def test_a_repository_that_is_not_there_is_named(
    command: str, server_image: Path, tmp_path: Path
) -> None:
    script = str(server_image / "entrypoint.py")
    ran = run(server_image, script, command, f"--repository={tmp_path}", f"--plans={tmp_path}")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"mqspn {command}: {tmp_path}: found no text_encoder of the TensorRT backend, needed a "
        "model repository that this user can read; make it with `mqspn build`\n"
    )


@pytest.mark.parametrize("command", ["plans", "serve"])
def test_an_unknown_precision_is_named(command: str, server_image: Path, tmp_path: Path) -> None:
    script = str(server_image / "entrypoint.py")
    ran = run(server_image, script, command, f"--plans={tmp_path}", MQSPN_PRECISION="fp12")
    assert ran.returncode == 1
    assert ran.stderr.startswith(
        f"mqspn {command}: MQSPN_PRECISION is 'fp12', needed fp32 or fp16 or bf16 or int8; set it"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "instead"),
    [("--precision=fp16", "set MQSPN_PRECISION"), ("--output", "plans go to the volume")],
)
def test_an_argument_that_belies_the_folders_name_is_refused(
    argument: str, instead: str, server_image: Path, tmp_path: Path
) -> None:
    ran = make_plans(server_image, tmp_path, argument)
    assert ran.returncode == 1
    assert f"is not for `mqspn compile` here: {instead}" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_more_layers_in_fp32_reach_the_compiler(plans_image: Path, tmp_path: Path) -> None:
    ran = make_plans(
        plans_image, tmp_path, MQSPN_PRECISION="fp16", MQSPN_KEEP="text_encoder:norms, "
    )
    assert ran.returncode == 1
    assert "there are no layers 'text_encoder:norms'" in ran.stderr


def test_the_server_refuses_plans_of_another_precision(
    volume: Path, server_image: Path, there: Callable[..., Path], tmp_path: Path
) -> None:
    folder = there(volume)
    claim_tensorrt(folder)
    path = manifest_path(folder / "text_encoder.plan")
    path.write_text(path.read_text().replace('"precision": "fp32"', '"precision": "fp16"'))
    ran = serve(server_image, folder.parent, tmp_path, *on_an_h100(server_image))
    assert ran.returncode == 1
    assert "text_encoder.plan: found a plan in fp16, needed one in fp32; run" in ran.stderr


def test_a_second_init_step_waits_for_the_first(
    volume: Path, plans_image: Path, tmp_path: Path
) -> None:
    (folder,) = volume.iterdir()
    with (folder / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [str(plans_image / "venv" / "bin" / "python"), str(plans_image / "entrypoint.py")]
        command += ["plans", f"--repository={REPOSITORY}", f"--plans={volume}"]
        second = subprocess.Popen(
            [*command, "--engine=tensorrt-rtx"],
            env={**ENVIRONMENT, "MQSPN_PRECISION": "fp32"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        assert second.stdout.readline() == f"plans: {folder}\n"
        assert "waiting for it" in second.stdout.readline()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0
    assert errors.count("matches, kept") == len(ENGINES)


def test_the_init_step_checks_entities_with_what_is_installed_there(
    plans_image: Path, tmp_path: Path
) -> None:
    """Graphs that find the same pass, one that finds nothing does not; further arguments reach
    `mqspn compile`."""
    synthesize_posts(split="test", count=2, seed=0, output=tmp_path / "posts", progress=False)
    code = f"""
from pathlib import Path
from mqspn.data.reader import read_split
from mqspn.engines.gates import check_entities
from mqspn.engines.gates import require_passed
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.settings import load_settings
labels = load_settings("demo").label_names
posts = read_split(Path({str(tmp_path / "posts")!r}), "test", labels=labels)
pipeline = GraphPipeline(Path({str(REPOSITORY)!r}), threads=1)
print(check_entities(posts, pipeline, pipeline))
class Silent:
    def predict(self, posts):
        return [[] for _ in posts]
require_passed(check_entities(posts, pipeline, Silent()))
"""
    ran = run(plans_image, "-c", code)
    assert ran.stdout.startswith("F1 on 2 posts: MNER "), ran.stderr
    assert re.search(r"GateError: .*MNER 0\.00 .*more than 0\.2 points below FP32", ran.stderr)
    refused = make_plans(plans_image, tmp_path / "volume", "--check-entities=/nowhere")
    assert refused.returncode == 1
    assert "no split 'test' in /nowhere" in refused.stderr
