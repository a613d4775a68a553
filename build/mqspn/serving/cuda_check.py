"""Check that serving profile cuda can run here, before a server is started."""

from __future__ import annotations

from pathlib import Path

from mqspn.repository.manifest import engine_models
from mqspn.repository.runtime import find_gpus
from mqspn.serving.cuda_driver import find_cuda_driver
from mqspn.serving.errors import ProviderRefusedError

__all__ = ["check_cuda", "cuda_providers"]


def check_cuda(repository: Path) -> None:
    """Raise ProviderRefusedError where ``repository`` cannot be served here as profile cuda.

    One sentence: what was found, what is needed, the command that mends it. Whether a provider
    that is installed starts as well is seen when the models are loaded, and refused there.
    """
    from mqspn_backend.providers import ProviderError, check_installed

    by_model = cuda_providers(repository)
    providers = set(by_model.values())
    if missing := [model for model in engine_models(repository) if model not in by_model]:
        raise ProviderRefusedError(
            f"found no CUDA profile of {', '.join(missing)} in {repository}, needed a "
            "configs/cuda.pbtxt in every engine; make the repository again with `mqspn build`"
        )
    if providers != {"cpu"} and not find_gpus():
        raise ProviderRefusedError(
            "found no GPU, needed one that CUDA shows; start where `nvidia-smi` lists it, or use "
            "--profile cpu"
        )
    find_cuda_driver()
    try:
        for provider in sorted(providers):
            check_installed(provider)
    except ProviderError as error:
        raise ProviderRefusedError(str(error)) from error


def cuda_providers(repository: Path) -> dict[str, str]:
    """Read which execution provider each engine has under serving profile cuda, by model."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    found = {}
    for path in repository.glob("*/configs/cuda.pbtxt"):
        try:
            config = text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
        except text_format.ParseError as error:
            raise ProviderRefusedError(f"{path} is no model configuration: {error}") from error
        if "provider" in config.parameters:
            model = path.parent.parent.name
            found[model] = config.parameters["provider"].string_value
    return found
