"""Triton's `ModelConfig` of every model of the repository, in every serving profile.

Names, types and axes come from `mqspn_backend.tensors`; the wiring of the ensembles is derived
from them as well: a step's inputs come from the ensemble's inputs or from the last earlier step
that makes them. Axis letters are turned into numbers by `Shapes`; B is left out because every
model batches (`max_batch_size` is at least 1), and L is -1, any of the buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mqspn_backend.tensors import (
    DEFAULT_ENSEMBLE,
    ENGINES,
    MODELS,
    REGIONS_ENSEMBLE,
    TEXT_ENSEMBLE,
    ModelSpec,
    tensor,
)
from tritonclient.grpc import model_config_pb2 as pb

from mqspn.repository.cuda_profile import CudaProfile, engine_parameters
from mqspn.repository.errors import RepositoryError
from mqspn.repository.serving_profiles import SERVING_PROFILES

__all__ = [
    "ENSEMBLES",
    "Shapes",
    "model_configuration",
    "model_configurations",
    "warmup_files",
]

#: The ensembles, each with its composing models in the order of the data's way.
ENSEMBLES: dict[str, tuple[ModelSpec, tuple[str, ...]]] = {
    DEFAULT_ENSEMBLE.name: (
        DEFAULT_ENSEMBLE,
        (
            "preprocess",
            "text_encoder",
            "region_proposer",
            "region_encoder",
            "query_decoder",
            "postprocess",
        ),
    ),
    REGIONS_ENSEMBLE.name: (
        REGIONS_ENSEMBLE,
        ("preprocess", "text_encoder", "region_encoder", "query_decoder", "postprocess"),
    ),
    TEXT_ENSEMBLE.name: (
        TEXT_ENSEMBLE,
        ("preprocess", "text_encoder", "query_decoder", "postprocess"),
    ),
}

#: What an engine step of ONNX Runtime leaves out, told in parameters: posts without a number above
#: 0 in `rows_with`, and the regions behind the last real one of `regions_with`. A plan runs it all.
_LEFT_OUT = {
    "region_proposer": {"rows_with": "IMAGE_SIZE"},
    "region_encoder": {"rows_with": "REGION_SCORES", "regions_with": "REGION_SCORES"},
    "query_decoder": {"regions_with": "REGION_SCORES"},
}

#: Requests that may wait at the first step; what comes after them is refused with UNAVAILABLE.
#: Later steps are not limited: before release 26.02 an ensemble hangs when a later queue is full.
_FIRST_QUEUE_SIZE = 256
#: How long a batch waits for company, where it does at all. Without a word a batch forms from what
#: queued while the model was busy. On a GPU the costliest engine waits; the others would only add
#: up to a wait of five times as long for a post that is alone.
_QUEUE_DELAY_MICROSECONDS: dict[str, dict[str, int]] = {
    "gpu": {"region_proposer": 500},
    "cpu": {},
    "cuda": {"region_proposer": 500},
}
#: Images are decoded and resized on the CPU, and that holds back a GPU. So every core of a machine
#: of 16 is used: 8 processes with 2 threads each. Small batches, so that the first process does not
#: take what the others wait for.
_INSTANCES: dict[str, dict[str, int]] = {
    "gpu": {"preprocess": 8, "postprocess": 2},
    "cpu": {},
    "cuda": {"preprocess": 8, "postprocess": 2},
}
#: The posts of a batch that is not waited for any longer.
_PREFERRED_BATCH: dict[str, dict[str, int]] = {
    "gpu": {"preprocess": 4},
    "cpu": {},
    "cuda": {"preprocess": 4},
}
#: Threads of one instance: ONNX Runtime's in an engine, images decoded at once in preprocess.
#: 0: the cores that the server may use.
_THREADS = {
    "gpu": {"preprocess": 2},
    "cpu": dict.fromkeys(("preprocess", *ENGINES), 0),
    "cuda": {"preprocess": 2},
}

#: Percent of the memory for results of pictures seen before (`mqspn serve --cache-mb`), for models
#: that see an image and no text. A picture's boxes are small, its states are not.
_CACHE_PERCENT: dict[str, dict[str, int]] = {
    "gpu": {},
    "cpu": {"region_proposer": 10, "region_encoder": 90},
    "cuda": {},
}

#: Profiles in which the posts that preprocess takes together get one token length: steps batch only
#: what has one shape. A CPU would pay for the padding more than larger batches save.
_PAD_TOGETHER = ("gpu", "cuda")

_PROTOBUF_TYPES = {
    "BYTES": pb.TYPE_STRING,
    "INT32": pb.TYPE_INT32,
    "FP32": pb.TYPE_FP32,
    "UINT8": pb.TYPE_UINT8,
    "BOOL": pb.TYPE_BOOL,
}


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The numbers behind the axis letters.

    ``queries``: Q. ``types``: T. ``regions``: K. ``width``: D. ``image_side``: S in pixels.
    ``buckets``: every token length L that preprocess makes, increasing. ``max_batch_size``: the
    largest B. Raises RepositoryError for a number below 1 or buckets that do not increase.
    """

    queries: int
    types: int
    regions: int
    width: int
    image_side: int
    buckets: tuple[int, ...]
    max_batch_size: int

    def __post_init__(self) -> None:
        for name in ("queries", "types", "regions", "width", "image_side", "max_batch_size"):
            if getattr(self, name) < 1:
                raise RepositoryError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise RepositoryError(f"buckets must increase, not {list(self.buckets)}")

    def dims(self, name: str, *, tokens: int = -1) -> list[int]:
        """List the dimensions of tensor ``name`` without B; L becomes ``tokens`` (-1: any).

        K of REGIONS is -1: a caller may send fewer regions than the model takes.
        """
        sizes = {
            "L": tokens,
            "Q": self.queries,
            "T+1": self.types + 1,
            "K": -1 if name == "REGIONS" else self.regions,
            "R": self.regions + 1,
            "D": self.width,
            "S": self.image_side,
        }
        return [sizes[a] if isinstance(a, str) else a for a in tensor(name).axes[1:]]


def model_configurations(
    shapes: Shapes, profile: str, cuda: CudaProfile | None = None
) -> dict[str, Any]:
    """Make the `ModelConfig` of every model under serving profile ``profile``, ensembles first."""
    return {
        name: model_configuration(name, shapes, profile, cuda) for name in (*ENSEMBLES, *MODELS)
    }


def model_configuration(
    name: str, shapes: Shapes, profile: str, cuda: CudaProfile | None = None
) -> Any:
    """Make one model's `ModelConfig` under serving profile ``profile``.

    ``cuda`` is what the profile of that name says (default: `CudaProfile()`), and nothing to the
    others. Raises KeyError for an unknown model, ValueError for an unknown profile.
    """
    if profile not in SERVING_PROFILES:
        raise ValueError(f"unknown profile {profile!r}; there are {', '.join(SERVING_PROFILES)}")
    cuda = cuda or CudaProfile()
    if name in ENSEMBLES:
        return _ensemble(name, shapes, profile)
    spec = MODELS[name]
    parameters = _left_out(name, profile, cuda)
    needed = set(parameters.values())
    config = _base(_served(spec, profile), shapes)
    batching = config.dynamic_batching
    batching.SetInParent()
    batching.max_queue_delay_microseconds = _QUEUE_DELAY_MICROSECONDS[profile].get(name, 0)
    if name in _PREFERRED_BATCH[profile]:
        preferred = min(_PREFERRED_BATCH[profile][name], shapes.max_batch_size)
        batching.preferred_batch_size.append(preferred)
    if name == "preprocess":
        batching.default_queue_policy.max_queue_size = _FIRST_QUEUE_SIZE
        if profile in _PAD_TOGETHER:
            config.parameters["pad_together"].string_value = "true"
    on_gpu = name in ENGINES and (profile == "gpu" or (profile == "cuda" and cuda.on_gpu))
    if profile == "gpu" and name in ENGINES:
        config.backend = "tensorrt"
        config.default_model_filename = "model.plan"
    else:
        config.backend = "python"
    if profile == "cuda" and name in ENGINES:
        parameters |= engine_parameters(
            cuda,
            spec,
            ENGINES,
            lambda t, posts, tokens: (posts, *shapes.dims(t, tokens=tokens)),
            max_batch_size=shapes.max_batch_size,
            buckets=shapes.buckets,
        )
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    if name in _THREADS[profile]:
        config.parameters["threads"].string_value = str(_THREADS[profile][name])
    if name in _CACHE_PERCENT[profile]:
        config.parameters["cache_percent"].string_value = str(_CACHE_PERCENT[profile][name])
    config.instance_group.add(
        count=_INSTANCES[profile].get(name, 1),
        kind=pb.ModelInstanceGroup.KIND_GPU if on_gpu else pb.ModelInstanceGroup.KIND_CPU,
    )
    for batch_size, tokens in _warmup_sizes(spec, shapes, profile):
        _add_warmup(config, spec, shapes, batch_size, tokens, needed)
    return config


def _served(spec: ModelSpec, profile: str) -> ModelSpec:
    """``spec`` with the inputs that its step reads beside the graph's; a caller may omit those."""
    read = () if profile == "gpu" else _LEFT_OUT.get(spec.name, {}).values()
    more = tuple(name for name in dict.fromkeys(read) if name not in spec.inputs)
    return replace(spec, inputs=spec.inputs + more, optional=spec.optional + more)


def _left_out(name: str, profile: str, cuda: CudaProfile) -> dict[str, str]:
    if profile == "gpu":
        return {}
    left_out = dict(_LEFT_OUT.get(name, {}))
    if profile == "cuda" and cuda.provider == "tensorrt":
        left_out.pop("regions_with", None)  # its shape profile fixes K
    return left_out


def _base(spec: ModelSpec, shapes: Shapes) -> Any:
    config = pb.ModelConfig(name=spec.name, max_batch_size=shapes.max_batch_size)
    for name in spec.inputs:
        config.input.add(
            name=name,
            data_type=_PROTOBUF_TYPES[tensor(name).dtype],
            dims=shapes.dims(name),
            optional=name in spec.optional,
        )
    for name in spec.outputs:
        config.output.add(
            name=name, data_type=_PROTOBUF_TYPES[tensor(name).dtype], dims=shapes.dims(name)
        )
    return config


def _ensemble(name: str, shapes: Shapes, profile: str) -> Any:
    spec, models = ENSEMBLES[name]
    steps = {model: _served(MODELS[model], profile) for model in models}
    config = _base(spec, shapes)
    config.platform = "ensemble"
    last_maker = {out: model for model in models for out in steps[model].outputs}
    wanted = {t for model in models for t in steps[model].inputs} | set(spec.outputs)
    made = set(spec.inputs)
    for model in models:
        step = config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
        for t in steps[model].inputs:
            if t in steps[model].optional and t not in made:
                continue
            step.input_map[t] = t
        for t in steps[model].outputs:
            if t in wanted and last_maker[t] == model:
                step.output_map[t] = t
                made.add(t)
    return config


def _warmup_sizes(spec: ModelSpec, shapes: Shapes, profile: str) -> Iterator[tuple[int, int]]:
    """(batch size, tokens) of each warm-up request: every bucket where the model has the L axis.

    The GPU's profiles also warm the largest batch; on the CPU that only makes the start slower.
    """
    has_tokens = any("L" in tensor(t).axes for t in (*spec.inputs, *spec.outputs))
    lengths = shapes.buckets if has_tokens and spec.name != "preprocess" else shapes.buckets[:1]
    sizes = sorted({1, shapes.max_batch_size}) if profile != "cpu" else [1]
    for batch_size in sizes:
        for tokens in lengths:
            yield batch_size, tokens


def _add_warmup(
    config: Any, spec: ModelSpec, shapes: Shapes, batch_size: int, tokens: int, needed: set[str]
) -> None:
    """A request of zeros and empty strings: a text of no characters, no image, no regions.

    Inputs without which the step would leave all out, ``needed``, come from `warmup_files`.
    """
    has_tokens = any("L" in tensor(t).axes for t in spec.inputs)
    name = f"batch of {batch_size}" + (f", {tokens} tokens" if has_tokens else "")
    warmup = config.model_warmup.add(name=name, batch_size=batch_size)
    for t in spec.inputs:
        if t in spec.optional:
            continue
        warmup.inputs[t].data_type = _PROTOBUF_TYPES[tensor(t).dtype]
        warmup.inputs[t].dims.extend(shapes.dims(t, tokens=tokens))
        if t in needed:
            warmup.inputs[t].input_data_file = f"{t}.bin"
        else:
            warmup.inputs[t].zero_data = True


def warmup_files(config: Any) -> dict[str, bytes]:
    """Make the files of ones that the warm-up of ``config`` reads, below its `warmup/`, by name."""
    types = {pb.TYPE_INT32: np.int32, pb.TYPE_FP32: np.float32}
    return {
        value.input_data_file: np.ones(value.dims, types[value.data_type]).tobytes()
        for warmup in config.model_warmup
        for value in warmup.inputs.values()
        if value.input_data_file
    }
