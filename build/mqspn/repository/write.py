"""Write a whole Triton model repository for one checkpoint's graphs, or nothing at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import ENGINES, MODELS

from mqspn.repository.cuda_profile import CudaProfile
from mqspn.repository.graph_check import check_graph
from mqspn.repository.manifest import keep_plans
from mqspn.repository.model_configuration import (
    ENSEMBLES,
    Shapes,
    model_configurations,
)
from mqspn.serving.server_settings import PROFILES

__all__ = ["ENGINES", "RepositoryError", "build_repository"]

_ABOUT = {
    "mqspn": "A post in, its entities out; proposes its own regions.",
    "mqspn_regions": "A post and the caller's own regions in, its entities out.",
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


class RepositoryError(ValueError):
    """The repository cannot be written there; the message says what to change."""


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
    runs the graphs under the CUDA profile.

    The same arguments give the same bytes. An existing repository is replaced only with
    ``overwrite``, and any other folder that is not empty never; its plans stay where their graph
    is the same. A build that fails leaves ``output`` as it was.

    Raises FileNotFoundError for a missing graph or tokenizer, GraphMismatchError for a graph that
    does not fit the sizes, RepositoryError where ``output`` may not be written.
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
        raise FileNotFoundError(
            f"cannot build a model repository without {', '.join(missing)}; "
            "`mqspn export` writes the graphs of a checkpoint"
        )
    _check_output(output, overwrite)
    for model, path in graph_files.items():
        check_graph(path, model, shapes)
    with _replacing(output) as folder:
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
    """``config`` as a `.pbtxt` file's text, with a comment that says where it comes from."""
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
    for profile in PROFILES:
        file = "config.pbtxt" if profile == "gpu" else f"configs/{profile}.pbtxt"
        for name, config in model_configurations(shapes, profile, cuda).items():
            _write(folder / name / file, configuration_text(config, profile, model_version))


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
    if not all((output / name / "config.pbtxt").is_file() for name in ENSEMBLES):
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


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A temporary folder beside ``output`` that takes its place when the block ends well."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.", suffix=".partial"))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        yield new
        if output.exists():
            os.rename(output, old)
        try:
            os.rename(new, output)
        except OSError:
            if old.exists():
                os.rename(old, output)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
