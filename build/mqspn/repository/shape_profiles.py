"""Shape profiles: the shapes that an engine must take, from the serving configuration.

A shape profile (TensorRT's optimisation profile) is the smallest, best and largest shape of each
input. The *serving* profiles are something else: `mqspn.repository.serving_profiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import MODELS, tensor
from tritonclient.grpc import model_config_pb2 as pb

from mqspn.repository.errors import ShapeProfileError

__all__ = ["ShapeRange", "profile_sizes", "read_configuration", "shape_at", "shape_profile"]


@dataclass(frozen=True, kw_only=True)
class ShapeRange:
    """The shapes of one input, B first: smallest, the one to be fastest at, largest."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    def __post_init__(self) -> None:
        ranks = {len(self.min), len(self.opt), len(self.max)}
        if len(ranks) > 1 or not all(
            1 <= a <= b <= c for a, b, c in zip(self.min, self.opt, self.max, strict=True)
        ):
            raise ShapeProfileError(
                f"sizes must not fall from the smallest over the best to the largest: "
                f"{self.min}, {self.opt}, {self.max}"
            )


def read_configuration(repository: Path, model: str) -> Any:
    """Read the `ModelConfig` of ``model`` under the serving profile "gpu".

    Raises ShapeProfileError where there is none or it cannot be read.
    """
    path = repository / model / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (OSError, text_format.ParseError) as error:
        raise ShapeProfileError(
            f"{path} cannot be read ({error}); make the model repository with `mqspn build`"
        ) from error


def profile_sizes(
    buckets: Sequence[int], max_batch_size: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Choose (posts, tokens) of the smallest, best and largest shapes that serving sends.

    From one post of the shortest bucket to the largest batch of the longest. Engines are tuned for
    the largest batch, which is where the load is, at the middle bucket.
    """
    middle = buckets[(len(buckets) - 1) // 2]
    return (1, buckets[0]), (max_batch_size, middle), (max_batch_size, buckets[-1])


def shape_profile(repository: Path, model: str) -> dict[str, ShapeRange]:
    """Work out the shape profile of engine ``model``: what Triton may send it, by input name.

    The sizes are those of `profile_sizes`, of the configuration and its buckets.
    """
    config = read_configuration(repository, model)
    settings = repository / "preprocess" / "1" / "serving.json"
    try:
        buckets = ServingSettings.from_file(settings).buckets
    except (OSError, ValueError) as error:
        raise ShapeProfileError(
            f"{settings} cannot be read ({error}); make the model repository with `mqspn build`"
        ) from error
    sizes = profile_sizes(buckets, config.max_batch_size)
    profile = {}
    for item in config.input:
        shapes = [
            shape_at(item.name, item.dims, posts=posts, tokens=tokens) for posts, tokens in sizes
        ]
        profile[item.name] = ShapeRange(min=shapes[0], opt=shapes[1], max=shapes[2])
    missing = sorted(set(MODELS[model].inputs) - set(profile))
    if missing:
        raise ShapeProfileError(
            f"the configuration of {model} lacks input {', '.join(missing)}; make the model "
            "repository again with `mqspn build`"
        )
    return profile


def shape_at(name: str, dims: Sequence[int], *, posts: int, tokens: int) -> tuple[int, ...]:
    """Fill in the shape of input ``name`` with ``dims`` (B left out, -1 open) at B and L."""
    sizes = []
    for axis, size in zip(tensor(name).axes[1:], dims, strict=True):
        if size == -1 and axis != "L":
            raise ShapeProfileError(
                f"axis {axis} of {name} is open: only B and L have a known range"
            )
        sizes.append(tokens if size == -1 else size)
    return (posts, *sizes)
