"""The serving profile "cuda": what runs its graphs, told to the engine models in parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mqspn_backend.tensors import MODELS, ModelSpec

from mqspn.repository.errors import RepositoryError
from mqspn.repository.shape_profiles import profile_sizes

__all__ = ["CudaProfile", "CudaProvider", "engine_parameters"]

CudaProvider = Literal["cuda", "tensorrt", "cpu"]


@dataclass(frozen=True, kw_only=True)
class CudaProfile:
    """What runs the graphs under the serving profile "cuda".

    ``provider``: ONNX Runtime's execution provider "cuda" or "tensorrt"; "cpu" takes the same way
    on a machine without a GPU. ``fp16``: TensorRT may compute in half precision. Raises
    RepositoryError for another provider, or ``fp16`` without TensorRT.
    """

    provider: CudaProvider = "cuda"
    fp16: bool = False

    def __post_init__(self) -> None:
        from mqspn_backend.providers import Provider  # ONNX Runtime: not in the server's image

        try:
            Provider(name=self.provider, fp16=self.fp16)
        except ValueError as error:  # the backend's
            raise RepositoryError(str(error)) from error

    @property
    def on_gpu(self) -> bool:
        return self.provider != "cpu"


def engine_parameters(
    cuda: CudaProfile,
    spec: ModelSpec,
    engines: Sequence[str],
    shape: Callable[[str, int, int], Sequence[int]],
    *,
    max_batch_size: int,
    buckets: Sequence[int],
) -> dict[str, str]:
    """Make the parameters of engine ``spec``, one of ``engines``, by name.

    ``shape``: a tensor's name, B and L to its shape. TensorRT's shape profile has the sizes that
    the plans of `mqspn compile` have.
    """
    parameters = {"provider": cuda.provider, "FORCE_CPU_ONLY_INPUT_TENSORS": "no"}
    read = {name for model in engines for name in MODELS[model].inputs}
    # The scores go to the GPU again with every run, 64 bytes a post; the engine steps and
    # `postprocess` read them on the host.
    if host := [n for n in spec.outputs if n not in read or n == "REGION_SCORES"]:
        parameters["host_outputs"] = ",".join(host)
    if cuda.provider == "tensorrt":
        parameters["fp16"] = str(cuda.fp16).lower()
        sizes = profile_sizes(buckets, max_batch_size)
        for key, (posts, tokens) in zip(("min", "opt", "max"), sizes, strict=True):
            shapes = [
                f"{name}:{'x'.join(map(str, shape(name, posts, tokens)))}" for name in spec.inputs
            ]
            parameters[f"trt_profile_{key}_shapes"] = ",".join(shapes)
    return parameters
