"""The manifest beside every plan: what it was made of, by what and for which GPU, and its check.

A plan runs on the TensorRT version and the GPU that it was made for, and answers for one graph.
None of that can be read from the plan; it is written down beside it when it is made.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mqspn_backend.tensors import ENGINES

from mqspn.files.digest import file_sha256
from mqspn.files.replace import replacing
from mqspn.repository.engine_precision import engine_precision
from mqspn.repository.errors import PlanError
from mqspn.repository.runtime import Runtime
from mqspn.repository.shape_profiles import ShapeRange, shape_profile

__all__ = [
    "PLAN",
    "Manifest",
    "check_engine_models",
    "check_manifest",
    "check_plans",
    "engine_models",
    "keep_plans",
    "manifest_path",
    "plan_path",
    "read_manifest",
    "write_plan",
]

#: The name that Triton's TensorRT backend looks for, beside `model.onnx`.
PLAN = "model.plan"
NO_GPU = "none: compiled without a GPU"
_FORMAT = 1
#: What a manifest's fields may be, by their annotation.
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "tuple[str, ...]": (tuple,),
    "dict[str, ShapeRange]": (dict,),
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one plan is.

    ``onnx_sha256`` is of the repository's FP32 graph, ``plan_sha256`` of the plan itself.
    ``engine`` and ``engine_version``: "tensorrt" or "tensorrt-rtx" and what built it.
    ``compute_capability`` and ``gpu``: the GPU it was built on. ``converter`` made the graph of a
    lower precision, with the layers named in ``kept_in_fp32``. ``profile``: the shape profile, each
    input's range of shapes. ``mqspn_version`` wrote this file. ``calibration``: what INT8 was
    calibrated on, see `mqspn.engines.quantisation.calibration_digest`. ``left_in_fp32``: nodes
    that the converter left in FP32 by itself.
    """

    model: str
    onnx_sha256: str
    engine: str
    engine_version: str
    compute_capability: str
    gpu: str
    precision: str
    converter: str | None
    kept_in_fp32: tuple[str, ...]
    profile: dict[str, ShapeRange]
    builder_flags: tuple[str, ...]
    mqspn_version: str
    plan_sha256: str = ""
    calibration: str | None = None
    left_in_fp32: tuple[str, ...] = ()

    def to_json(self) -> str:
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=2)
        # A shape on one line reads better than one number a line.
        return re.sub(r"\[[\s\d,]*\]", lambda m: " ".join(m[0].split()), text) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            values = json.loads(text)
            if values.pop("format") != _FORMAT:
                raise ValueError("it is of another version of mqspn")
            profile = {
                name: ShapeRange(**{key: tuple(shape) for key, shape in shapes.items()})
                for name, shapes in values.pop("profile").items()
            }
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            manifest = cls(profile=profile, **values)
            for item in fields(cls):
                value, kinds = getattr(manifest, item.name), _KINDS[str(item.type)]
                parts = value if isinstance(value, tuple) else ()
                if not isinstance(value, kinds) or not all(isinstance(p, str) for p in parts):
                    raise TypeError(f"{item.name} is {value!r}")
            return manifest
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not a plan's manifest ({error})") from error

    def builds_the_same(self, other: Manifest) -> bool:
        """Whether the plan that ``other`` describes may stand for the one described here.

        No `mqspn.files.fingerprint`: a manifest is read by field, also by who did not make it, and
        another one is built anew instead of refused.
        """
        return self._key() == other._key()

    def _key(self) -> dict[str, Any]:
        # What the converter leaves is known after it ran only, and follows from the rest.
        return {**asdict(self), "plan_sha256": "", "mqspn_version": "", "left_in_fp32": ()}


def plan_path(repository: Path, model: str, plans: Path | None = None) -> Path:
    """Name the plan of ``model``: where Triton looks, or in the folder ``plans``."""
    return repository / model / "1" / PLAN if plans is None else plans / f"{model}.plan"


def manifest_path(plan: Path) -> Path:
    """Name the manifest of ``plan``, which lies beside it."""
    return plan.with_name(f"{plan.name}.json")


def read_manifest(plan: Path) -> Manifest | None:
    """Read the manifest of ``plan``.

    None where plan or manifest is absent or they do not belong together, so that nothing is known
    of the plan.
    """
    try:
        manifest = Manifest.from_json(manifest_path(plan).read_text(encoding="utf-8"))
        return manifest if file_sha256(plan) == manifest.plan_sha256 else None
    except (OSError, ValueError):
        return None


def write_plan(path: Path, plan: bytes, manifest: Manifest) -> None:
    """Write ``plan`` to ``path`` and its manifest beside it, each whole or not at all.

    Cut off between them, the plan counts as unknown (`read_manifest`) and is built again.
    """
    described = replace(manifest, plan_sha256=hashlib.sha256(plan).hexdigest())
    with replacing(path, shared=True) as file:
        file.write(plan)
    with replacing(manifest_path(path), shared=True) as file:
        file.write(described.to_json().encode())


def engine_models(repository: Path) -> list[str]:
    """List the models of ``repository`` that serve a plan under the serving profile "gpu"."""
    return [
        path.parent.name
        for path in sorted(repository.glob("*/config.pbtxt"))
        if 'backend: "tensorrt"' in path.read_text(encoding="utf-8")
    ]


def check_plans(
    repository: Path,
    runtime: Runtime,
    *,
    plans: Path | None = None,
    mend: str | None = None,
    precision: str | None = None,
) -> None:
    """Check every plan of ``repository`` (`check_manifest`); raises PlanError for the first.

    A repository without one of them is refused too.
    """
    check_engine_models(repository)
    for model in engine_models(repository):
        check_manifest(repository, model, runtime, plans=plans, mend=mend, precision=precision)


def check_engine_models(repository: Path) -> None:
    """Check that ``repository`` has every model that a GPU runs, and its graph; else PlanError."""
    models = engine_models(repository)
    for model in ENGINES:
        graph = repository / model / "1" / "model.onnx"
        if model not in models:
            found = f"no {model} of the TensorRT backend"
        elif not graph.is_file():
            found = f"no {graph.relative_to(repository)}"
        else:
            continue
        raise PlanError(
            f"{repository}: found {found}, needed a model repository that this user can read; "
            "make it with `mqspn build`"
        )


def check_manifest(
    repository: Path,
    model: str,
    runtime: Runtime,
    *,
    plans: Path | None = None,
    mend: str | None = None,
    precision: str | None = None,
) -> Manifest:
    """Check that ``runtime`` may serve the plan of ``model`` for ``repository``; its manifest.

    ``plans``: the folder with `<model>.plan`, where the plans are not in the repository. ``mend``:
    what makes the right plan, where that is not `mqspn compile` itself. ``precision``: the one that
    was asked for, where it matters.

    Raises PlanError with one sentence: what was found, what is needed, the command that mends it.
    """
    graph = repository / model / "1" / "model.onnx"
    plan = plan_path(repository, model, plans)
    needed = f"TensorRT {runtime.tensorrt}" if runtime.tensorrt else "the server's TensorRT"
    if runtime.gpus:
        needed += f" on {_gpu(runtime.gpus[0].name, runtime.gpus[0].compute_capability)}"
    if mend is None:
        where = "" if plans is None else f" --output {plans}"
        mend = f"run `mqspn compile --repository {repository}{where}` on the machine that serves"

    def refuse(found: str, wanted: str, mending: str = mend) -> PlanError:
        return PlanError(f"{plan}: found {found}, needed {wanted}; {mending}")

    if not plan.is_file():
        raise refuse("no plan", f"one for {needed}")
    if not manifest_path(plan).is_file():
        raise refuse("a plan without its manifest", f"{manifest_path(plan).name} beside it")
    try:
        manifest = Manifest.from_json(manifest_path(plan).read_text(encoding="utf-8"))
        changed = file_sha256(plan) != manifest.plan_sha256
    except (OSError, ValueError) as error:
        where = manifest_path(plan).name
        raise refuse(f"{where} unreadable ({error})", "it as it was written") from error
    if changed:
        raise refuse("a plan that is not the one its manifest describes", f"one for {needed}")
    if manifest.engine != "tensorrt":
        raise refuse(f"a plan of {manifest.engine} {manifest.engine_version}", f"one of {needed}")
    if manifest.model != model:
        raise refuse(f"a plan of {manifest.model}", f"one of {model}")
    if precision is not None and manifest.precision != engine_precision(model, precision):
        raise refuse(
            f"a plan in {manifest.precision}", f"one in {engine_precision(model, precision)}"
        )
    if not graph.is_file():
        raise refuse(
            f"no {graph.name} to hold the plan against",
            str(graph),
            "make the model repository again with `mqspn build`",
        )
    if file_sha256(graph) != manifest.onnx_sha256:
        wanted = f"the {graph.name} beside it" if plans is None else str(graph)
        raise refuse("a plan of another graph", f"one of {wanted}")
    if manifest.profile != shape_profile(repository, model):
        raise refuse(
            "a plan for other batch sizes or token lengths",
            "those of the model configuration and serving.json",
        )
    if not runtime.gpus:
        raise refuse(
            f"a plan for {_gpu(manifest.gpu, manifest.compute_capability)} and no GPU here",
            "such a GPU",
            "start where CUDA shows one (nvidia-smi lists them), or use --profile cpu",
        )
    version = runtime.tensorrt
    if version is not None and _release(manifest.engine_version) != _release(version):
        raise refuse(f"a plan of TensorRT {manifest.engine_version}", f"one of {needed}")
    for gpu in runtime.gpus:
        if (gpu.name, gpu.compute_capability) != (manifest.gpu, manifest.compute_capability):
            raise refuse(
                f"a plan for {_gpu(manifest.gpu, manifest.compute_capability)}",
                f"one for {_gpu(gpu.name, gpu.compute_capability)}",
            )
    return manifest


def keep_plans(old: Path, new: Path) -> None:
    """Copy from one model repository to another the plans whose graph is the same."""
    for model in engine_models(new):
        plan, graph = plan_path(old, model), new / model / "1" / "model.onnx"
        manifest = read_manifest(plan)
        if manifest is not None and manifest.onnx_sha256 == file_sha256(graph):
            for path in (plan, manifest_path(plan)):
                shutil.copyfile(path, new / path.relative_to(old))


def _gpu(name: str, compute_capability: str) -> str:
    return f"{name} (compute capability {compute_capability})"


def _release(version: str) -> list[str]:
    """Major, minor and patch: the build number does not decide whether a plan loads."""
    return version.split(".")[:3]
