"""Run a part of the container: make the plans (init step), or serve.

    entrypoint.py plans    compile what the plan volume lacks (image `plans`)
    entrypoint.py serve    check the plans, then become tritonserver (image `server`)

Further arguments go to `mqspn compile` and to tritonserver. MQSPN_PRECISION names the precision
(fp16 where it is not set), MQSPN_KEEP more layers that stay in FP32 ("graph:layers, ..."),
MQSPN_OPERATOR_KEY the key that opens statistics and the like (docs/serving.md).
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from mqspn.engines.kept_layers import KEPT
from mqspn.errors import BuildError
from mqspn.files.digest import file_sha256
from mqspn.files.fingerprint import fingerprint_digest
from mqspn.repository.manifest import (
    PLAN,
    check_engine_models,
    check_plans,
    engine_models,
    manifest_path,
)
from mqspn.repository.runtime import Runtime, find_runtime
from mqspn.repository.shape_profiles import shape_profile
from mqspn.serving.backend_directory import link_backends, server_environment
from mqspn.serving.find_server import find_server
from mqspn.serving.server_settings import ServerSettings
from mqspn_backend.tensors import ENGINES

__all__ = ["link_repository", "main", "make_plans", "plan_folder", "serve", "timing_cache"]

#: Those of `mqspn compile`, whose module needs the compiler's packages.
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
#: The versions that both images install, beside this file; in a checkout, one folder up.
_VERSIONS = "constraints.txt"
#: What the folder of the plans is named after is set for both images alike.
_NAMED = {
    "--precision": "set MQSPN_PRECISION",
    "--keep": "set MQSPN_KEEP",
    "--repository": "set MQSPN_REPOSITORY",
    "--output": "plans go to the volume",
}
_MEND = "run `docker compose -f deploy/compose.yaml run --rm plans`"


def plan_folder(
    plans: Path, repository: Path, precision: str, runtime: Runtime, keep: Sequence[str] = ()
) -> Path:
    """Name the folder on the volume ``plans`` for ``repository`` as ``runtime`` serves it.

    Its name is made of what the plans' manifests say of their origin (graphs, shapes, precision,
    converter, layers in FP32, TensorRT, GPU), so that the plans of two checkpoints or two releases
    lie side by side.
    """
    for folder in (repository, *(repository / model for model in ENGINES)):
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "", str(folder))
    check_engine_models(repository)
    engines = {
        model: {
            "onnx_sha256": file_sha256(repository / model / "1" / "model.onnx"),
            "profile": {
                name: asdict(shapes) for name, shapes in shape_profile(repository, model).items()
            },
        }
        for model in engine_models(repository)
    }
    gpu = runtime.gpus[0] if runtime.gpus else None
    origin: list[object] = [
        engines,
        precision,
        runtime.tensorrt,
        None if gpu is None else asdict(gpu),
    ]
    if precision != "fp32":
        origin += [_converter(), sorted({*keep, *(f"{k.graph}:{k.name}" for k in KEPT)})]
    key = fingerprint_digest(origin)
    return plans / f"{_machine(runtime)}-{precision}-{key[:16]}"


def _machine(runtime: Runtime) -> str:
    where = f"sm{runtime.gpus[0].compute_capability}" if runtime.gpus else "no-gpu"
    return f"tensorrt-{runtime.tensorrt or 'unknown'}-{where}"


def timing_cache(plans: Path, runtime: Runtime) -> Path:
    """Name the file on the volume ``plans`` of what TensorRT timed on this kind of GPU.

    It holds for every checkpoint. An H100 and an H200 are both sm9.0 and take different times.
    """
    name = runtime.gpus[0].name if runtime.gpus else ""
    kind = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plans / f"{'-'.join(filter(None, (_machine(runtime), kind)))}.timing"


def _converter() -> str:
    """The version of ModelOpt that both images were built with; the server's does not hold it."""
    here = Path(__file__).resolve().parent
    lists = [path for folder in (here, here.parent) if (path := folder / _VERSIONS).is_file()]
    pin = re.search(r"^nvidia-modelopt==(\S+)", lists[0].read_text() if lists else "", re.M)
    if pin is None:
        raise FileNotFoundError(f"{here} lacks {_VERSIONS}, or it does not name nvidia-modelopt")
    return pin[1]


def make_plans(
    plans: Path,
    repository: Path,
    precision: str,
    engine: str,
    keep: Sequence[str],
    arguments: Sequence[str],
) -> NoReturn:
    """Run `mqspn compile` in place of this process, into the folder of these plans.

    It keeps every plan that matches.

    Raises BuildError for an argument that would make other plans than the folder's name says.
    """
    for option, instead in _NAMED.items():
        if any(a == option or a.startswith(f"{option}=") for a in arguments):
            raise BuildError(f"{option} is not for `mqspn compile` here: {instead}")
    runtime = find_runtime()
    folder = plan_folder(plans, repository, precision, runtime, keep)
    print(f"plans: {folder}", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Two init steps on one volume take turns. The lock lasts until the compiler ends.
        lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise OSError(
            f"cannot write to {plans} as user {os.getuid()} ({error.strerror}); mount a volume "
            "that this user owns"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("plans: another init step is making these; waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    command = ["compile", f"--repository={repository}", f"--output={folder}"]
    command += [f"--engine={engine}", f"--precision={precision}"]
    command += [f"--keep={layers}" for layers in keep]
    if engine == "tensorrt":
        command.append(f"--timing-cache={timing_cache(plans, runtime)}")
    os.execv(sys.executable, [sys.executable, "-m", "mqspn.cli", *command, *arguments])


def serve(
    plans: Path,
    repository: Path,
    precision: str,
    run: Path,
    keep: Sequence[str],
    arguments: Sequence[str],
) -> NoReturn:
    """Run tritonserver in place of this process, on ``repository`` linked with its plans.

    The links lie in a folder in ``run``.

    Raises PlanError for a plan that is absent or not the right one, ServerError without a server.
    """
    runtime = find_runtime()
    folder = plan_folder(plans, repository, precision, runtime, keep)
    check_plans(repository, runtime, plans=folder, mend=_MEND, precision=precision)
    installation = find_server("gpu")
    run.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="mqspn-", dir=run))
    link_repository(repository, folder, run / "models")
    settings = ServerSettings(
        repository=run / "models",
        profile="gpu",
        host="0.0.0.0",  # which of it leaves the machine is for the published ports to say
        operator_key=os.environ.get("MQSPN_OPERATOR_KEY") or None,
        extra_args=("--allow-client-shm=false", *arguments),
    )
    command = settings.arguments(
        backends=link_backends(installation, run), caches=installation.caches, shm_prefix="mqspn_"
    )
    environment = server_environment(installation, run, None)
    executable = str(installation.executable)
    sys.stdout.flush()
    os.execve(executable, [executable, *command], environment)


def link_repository(repository: Path, plans: Path, target: Path) -> None:
    """Make the model repository ``target`` of links: ``repository``'s files, the plans' files."""
    target.mkdir(parents=True)
    for source in sorted(repository.absolute().rglob("*")):
        link = target / source.relative_to(repository.absolute())
        if source.is_dir():
            link.mkdir()
        elif not source.name.startswith(PLAN):
            link.symlink_to(source)
    for model in engine_models(repository):
        plan, link = plans.absolute() / f"{model}.plan", target / model / "1" / PLAN
        link.symlink_to(plan)
        manifest_path(link).symlink_to(manifest_path(plan))


def main() -> None:
    """Make plans or serve; what a user can mend ends it with one sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=_Formatter, allow_abbrev=False
    )
    parser.add_argument("command", choices=("plans", "serve"))
    parser.add_argument("--repository", type=Path, default="/models")
    parser.add_argument("--plans", type=Path, default="/plans")
    parser.add_argument(
        "--run", type=Path, default="/tmp", help="serve: where a folder of links goes"
    )
    parser.add_argument("--engine", default="tensorrt", help="plans: for trials without a GPU")
    options, further = parser.parse_known_args()
    precision = os.environ.get("MQSPN_PRECISION") or "fp16"
    if precision not in PRECISIONS:
        sys.exit(
            f"mqspn {options.command}: MQSPN_PRECISION is {precision!r}, needed "
            f"{' or '.join(PRECISIONS)}; set it in the environment of Compose or in deploy/.env"
        )
    keep = [layers.strip() for layers in os.environ.get("MQSPN_KEEP", "").split(",")]
    keep = [layers for layers in keep if layers]
    try:
        if options.command == "plans":
            make_plans(options.plans, options.repository, precision, options.engine, keep, further)
        else:
            serve(options.plans, options.repository, precision, options.run, keep, further)
    except KeyboardInterrupt:
        sys.exit(130)
    except PermissionError as error:
        mend = "let everyone read the model repository (chmod -R a+rX) before it is mounted"
        if str(error.filename).startswith(f"{options.plans}/"):
            mend = "mount a plan volume that this user owns"
        sys.exit(
            f"mqspn {options.command}: user {os.getuid()} may not read {error.filename}; {mend}"
        )
    except (BuildError, OSError) as error:
        sys.exit(f"mqspn {options.command}: {error}")


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The text above as it is written, defaults after each option."""


if __name__ == "__main__":
    main()
