"""Write a whole Triton model repository for one checkpoint's graphs, or nothing at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import DEFAULT_ENSEMBLE, ENGINES, MODELS, REGIONS_ENSEMBLE

from mqspn.files.replace import replacing_folder
from mqspn.repository.cuda_profile import CudaProfile
from mqspn.repository.errors import RepositoryError
from mqspn.repository.graph_check import check_graph
from mqspn.repository.manifest import keep_plans
from mqspn.repository.model_configuration import (
    ENSEMBLES,
    Shapes,
    model_configurations,
    warmup_files,
)
from mqspn.repository.serving_profiles import SERVING_PROFILES

__all__ = ["build_repository"]

_ABOUT = {
    "mqspn": "A post in, its entities out; proposes its own regions.",
    "mqspn_regions": "A post and the caller's own regions in, its entities out.",
    "mqspn_text": "The text of a post without image in, its entities out.",
    "preprocess": "Text to padded tokens, image to a square of pixels, regions to [0, 1].",
    "text_encoder": "Tokens to text states.",
    "region_proposer": "Pixels to candidate boxes with scores.",
    "region_encoder": "Pixels and boxes to region states; crops inside the graph.",
    "query_decoder": "Text and region states to the set of predictions.",
    "postprocess": "Predictions to entities in JSON.",
}
_PROFILE = {
    "gpu": "GPU profile: engines are TensorRT plans.",
    "cpu": "CPU profile (--model-config-name=cpu): engines are ONNX Runtime in the Python backend.",
    "cuda": "CUDA profile (--model-config-name=cuda): engines are ONNX Runtime on a GPU.",
}


def build_repository(
    *,
    graphs: Path,
    tokenizer: Path,
    serving: ServingSettings,
    width: int,
    queries: int,
    max_batch_size: int,
    output: Path,
    overwrite: bool = False,
    cuda: CudaProfile | None = None,
) -> None:
    """Write the model repository ``output`` for the graphs of one checkpoint.

    ``graphs``: a folder with `text_encoder.onnx`, `region_proposer.onnx`, `region_encoder.onnx`
    and `query_decoder.onnx`. ``tokenizer``: the `tokenizer.json` or a folder with it. ``width``:
    D. ``queries``: Q. The rest of the sizes (T, K, S, buckets) are in ``serving``. ``cuda``: what
    runs the graphs under the serving profile "cuda".

    The same arguments give the same bytes. An existing repository is replaced only with
    ``overwrite``, and any other folder that is not empty never; its plans stay where their graph
    is the same. A build that fails leaves ``output`` as it was.

    Raises GraphMismatchError for a graph that does not fit the sizes, RepositoryError for a missing
    graph or tokenizer and where ``output`` may not be written.
    """
    shapes = Shapes(
        queries=queries,
        types=len(serving.types),
        regions=serving.regions,
        width=width,
        image_side=serving.image_side,
        buckets=serving.buckets,
        max_batch_size=max_batch_size,
    )
    tokenizer_file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    graph_files = {model: graphs / f"{model}.onnx" for model in ENGINES}
    missing = [str(p) for p in (*graph_files.values(), tokenizer_file) if not p.is_file()]
    if missing:
        raise RepositoryError(
            f"cannot build a model repository without {', '.join(missing)}; "
            "`mqspn export` writes the graphs of a checkpoint"
        )
    _check_output(output, overwrite)
    for model, path in graph_files.items():
        check_graph(path, model, shapes)
    with replacing_folder(output) as folder:
        _write_configurations(folder, shapes, serving.model_version, cuda)
        for name in ENSEMBLES:
            # Triton wants a version folder even of a model without files; git drops empty ones.
            _write(folder / name / "1" / ".gitkeep", "")
        for name in MODELS:
            module = "engine" if name in ENGINES else name
            _write(
                folder / name / "1" / "model.py",
                '"""Triton looks for `TritonPythonModel` here."""\n\n'
                f"from mqspn_backend.models.{module} import TritonPythonModel  # noqa: F401\n",
            )
        for name, path in graph_files.items():
            shutil.copyfile(path, folder / name / "1" / "model.onnx")
        shutil.copyfile(tokenizer_file, folder / "preprocess" / "1" / "tokenizer.json")
        for name in ("preprocess", "postprocess"):
            _write(folder / name / "1" / "serving.json", serving.to_json())
        keep_plans(output, folder)


def configuration_text(config: Any, profile: str, model_version: str) -> str:
    """Write ``config`` as a `.pbtxt` file's text, with a comment that says where it comes from."""
    header = (
        f"# {_ABOUT[config.name]}\n# {_PROFILE[profile]}\n"
        f"# Generated by `mqspn build` from checkpoint {' '.join(model_version.split())}; "
        "build again rather than edit.\n\n"
    )
    text = str(text_format.MessageToString(config, use_short_repeated_primitives=True))
    return header + re.sub(r"\{\n([^{}]*)\}", _on_one_line, text)


def _on_one_line(block: re.Match[str]) -> str:
    """A block without inner blocks, on the line where it starts if it is short."""
    line = " ".join(["{", *block[1].split(), "}"])
    return line if len(line) < 80 else block[0]


def _write_configurations(
    folder: Path, shapes: Shapes, model_version: str, cuda: CudaProfile | None
) -> None:
    for profile in SERVING_PROFILES:
        file = "config.pbtxt" if profile == "gpu" else f"configs/{profile}.pbtxt"
        for name, config in model_configurations(shapes, profile, cuda).items():
            _write(folder / name / file, configuration_text(config, profile, model_version))
            for input_name, content in warmup_files(config).items():
                (folder / name / "warmup").mkdir(exist_ok=True)
                (folder / name / "warmup" / input_name).write_bytes(content)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise RepositoryError(f"{output} is a file; name a folder for the model repository")
    found = {p.name for p in output.iterdir()}
    if not found:
        return
    ours = {*ENSEMBLES, *MODELS}
    # These two are in the repositories of every version.
    ensembles = (DEFAULT_ENSEMBLE.name, REGIONS_ENSEMBLE.name)
    if not all((output / name / "config.pbtxt").is_file() for name in ensembles):
        raise RepositoryError(
            f"{output} is not empty and not a model repository of this project; "
            "nothing was written: name another folder"
        )
    if found - ours:
        raise RepositoryError(
            f"{output} also holds {', '.join(sorted(found - ours))}, which would be lost; "
            "move that away or name another folder"
        )
    if not overwrite:
        raise RepositoryError(f"{output} is a model repository already; allow overwriting it")
