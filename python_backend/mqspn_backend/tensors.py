"""The one specification of the tensors between the models of the ensemble.

Export, the model repository, the Python backend and the client tests read names, types and axes
from here. Axis letters: B posts, L subword tokens, Q queries, T entity types, K candidate regions,
R = K + 1 with the null region at index 0, D width, S side of the model's square image.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DEFAULT_ENSEMBLE",
    "ENGINES",
    "MODELS",
    "REGIONS_ENSEMBLE",
    "TEXT_ENSEMBLE",
    "ModelSpec",
    "Tensor",
    "tensor",
]


@dataclass(frozen=True)
class Tensor:
    """One tensor: its name, Triton type ("INT32", "FP32", "UINT8", "BYTES", "BOOL") and axes.

    ``axes`` are axis letters or fixed sizes; the first is always "B".
    """

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True)
class ModelSpec:
    """One Triton model's inputs and outputs, by tensor name; ``optional`` inputs may be absent."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()


_TENSORS = {
    t.name: t
    for t in (
        # From the caller. IMAGE is an encoded JPEG, PNG, WebP or GIF; empty: a post without image.
        Tensor("TEXT", "BYTES", ("B", 1)),
        Tensor("IMAGE", "BYTES", ("B", 1)),
        # The caller's own regions: x1, y1, x2, y2 in pixels of the upright image; a row of four
        # zeros is padding.
        Tensor("REGIONS", "FP32", ("B", "K", 4)),
        # From preprocess.
        Tensor("INPUT_IDS", "INT32", ("B", "L")),
        Tensor("ATTENTION_MASK", "INT32", ("B", "L")),
        # 1 on a word's first (last) subword, where an entity may start (end); 0 elsewhere.
        Tensor("WORD_STARTS", "INT32", ("B", "L")),
        Tensor("WORD_ENDS", "INT32", ("B", "L")),
        # Character offsets (Unicode code points, end exclusive) of each token in TEXT.
        Tensor("OFFSETS", "INT32", ("B", "L", 2)),
        # 1 where the text was longer than the longest bucket.
        Tensor("TRUNCATED", "BOOL", ("B", 1)),
        # RGB of the upright image, stretched to a square; zeros where there is no image.
        Tensor("PIXELS", "UINT8", ("B", 3, "S", "S")),
        # Width, height in pixels of the upright image; 0, 0 where there is none.
        Tensor("IMAGE_SIZE", "INT32", ("B", 2)),
        # Empty, or the JSON {"code", "message"} of a post that could not be read.
        Tensor("POST_ERROR", "BYTES", ("B", 1)),
        # From region_proposer, or from preprocess for the caller's own regions and for posts
        # without image: normalised x1, y1, x2, y2 in [0, 1]; score 0 is padding.
        Tensor("REGION_BOXES", "FP32", ("B", "K", 4)),
        Tensor("REGION_SCORES", "FP32", ("B", "K")),
        # From the encoders; REGION_STATES also from preprocess, zeros, for posts without image.
        Tensor("TEXT_STATES", "FP32", ("B", "L", "D")),
        Tensor("REGION_STATES", "FP32", ("B", "K", "D")),
        # From query_decoder. Index 0 of TYPE_PROBS is "no entity", of REGION_PROBS the null region.
        Tensor("TYPE_PROBS", "FP32", ("B", "Q", "T+1")),
        Tensor("START_PROBS", "FP32", ("B", "Q", "L")),
        Tensor("END_PROBS", "FP32", ("B", "Q", "L")),
        Tensor("REGION_PROBS", "FP32", ("B", "Q", "R")),
        # From postprocess: the JSON answer.
        Tensor("ENTITIES", "BYTES", ("B", 1)),
    )
}

MODELS: dict[str, ModelSpec] = {
    m.name: m
    for m in (
        ModelSpec(
            "preprocess",
            inputs=("TEXT", "IMAGE", "REGIONS"),
            outputs=(
                "INPUT_IDS",
                "ATTENTION_MASK",
                "WORD_STARTS",
                "WORD_ENDS",
                "OFFSETS",
                "TRUNCATED",
                "PIXELS",
                "IMAGE_SIZE",
                "POST_ERROR",
                "REGION_BOXES",
                "REGION_SCORES",
                "REGION_STATES",
            ),
            optional=("IMAGE", "REGIONS"),
        ),
        ModelSpec("text_encoder", ("INPUT_IDS", "ATTENTION_MASK"), ("TEXT_STATES",)),
        ModelSpec("region_proposer", ("PIXELS", "IMAGE_SIZE"), ("REGION_BOXES", "REGION_SCORES")),
        ModelSpec("region_encoder", ("PIXELS", "REGION_BOXES"), ("REGION_STATES",)),
        ModelSpec(
            "query_decoder",
            ("TEXT_STATES", "ATTENTION_MASK", "REGION_STATES", "REGION_SCORES"),
            ("TYPE_PROBS", "START_PROBS", "END_PROBS", "REGION_PROBS"),
        ),
        ModelSpec(
            "postprocess",
            (
                "TEXT",
                "WORD_STARTS",
                "WORD_ENDS",
                "OFFSETS",
                "TRUNCATED",
                "IMAGE_SIZE",
                "POST_ERROR",
                "REGION_BOXES",
                "REGION_SCORES",
                "TYPE_PROBS",
                "START_PROBS",
                "END_PROBS",
                "REGION_PROBS",
            ),
            ("ENTITIES",),
        ),
    )
}

#: The models that run a graph: a TensorRT plan (gpu) or ONNX Runtime (cpu, cuda).
ENGINES = ("text_encoder", "region_proposer", "region_encoder", "query_decoder")
#: The ensemble that proposes its own regions.
DEFAULT_ENSEMBLE = ModelSpec("mqspn", ("TEXT", "IMAGE"), ("ENTITIES",))
#: The ensemble for callers who have a detector of their own.
REGIONS_ENSEMBLE = ModelSpec("mqspn_regions", ("TEXT", "IMAGE", "REGIONS"), ("ENTITIES",))
#: The ensemble for posts without image: it has none of the visual models.
TEXT_ENSEMBLE = ModelSpec("mqspn_text", ("TEXT",), ("ENTITIES",))


def tensor(name: str) -> Tensor:
    """The specification of tensor ``name``; raises KeyError for a name that is not in it."""
    return _TENSORS[name]
