"""A complete model repository of a checkpoint: graphs exported, checked and put in their places."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mqspn_backend.serving_settings import ServingSettings

from mqspn.checkpoint import load_checkpoint
from mqspn.export.graphs import export_graphs
from mqspn.parity import Difference
from mqspn.repository import CudaProfile, build_repository
from mqspn.settings import Settings

__all__ = ["build_from_checkpoint", "serving_settings"]


def serving_settings(settings: Settings, model_version: str) -> ServingSettings:
    """Make what the Python models must know of a checkpoint of ``settings``."""
    return ServingSettings(
        model_version=model_version,
        types=tuple(t.name for t in settings.types),
        image_side=settings.image_side,
        regions=settings.network.regions,
        buckets=settings.serving.buckets,
        decoding=settings.decoding,
        max_image_bytes=settings.serving.max_image_bytes,
        max_image_pixels=settings.serving.max_image_pixels,
    )


def build_from_checkpoint(
    folder: Path,
    output: Path,
    *,
    version: str | None = None,
    overwrite: bool = False,
    cuda: CudaProfile | None = None,
) -> Iterator[Difference]:
    """Export the checkpoint in ``folder`` and write its model repository to ``output``.

    Yields each graph's parity with PyTorch as it is exported; the repository is whole when the
    iteration ends. ``version`` is the answers' model_version, by default the folder's name;
    ``cuda`` is what runs the graphs under the serving profile "cuda".
    Raises as `load_checkpoint`, `export_graphs` and `build_repository` do.
    """
    checkpoint = load_checkpoint(folder)
    settings = checkpoint.settings
    with tempfile.TemporaryDirectory(prefix="mqspn-graphs-") as temporary:
        graphs = Path(temporary)
        yield from export_graphs(checkpoint, graphs)
        build_repository(
            graphs=graphs,
            tokenizer=folder / "tokenizer.json",
            serving=serving_settings(settings, version or folder.resolve().name),
            width=settings.network.width,
            queries=settings.network.queries,
            max_batch_size=settings.serving.max_batch_size,
            output=output,
            overwrite=overwrite,
            cuda=cuda,
        )
