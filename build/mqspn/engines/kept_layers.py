"""The layers that stay in FP32 in a lower precision, each found by measurement and with its reason.

AutoCast keeps by itself what leaves a type's range (`mqspn.engines.precision`). This list is for
what stays in range and is too coarse all the same; `mqspn.engines.sensitivity` measures candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mqspn.engines.errors import CompileSettingsError

__all__ = [
    "CANDIDATES",
    "KEPT",
    "KeptLayers",
    "find_layers",
    "find_nodes",
]

#: Operators with weights or a reduction; walking back from a tensor ends before them.
_LAYERS = frozenset({"Conv", "Gemm", "LayerNormalization", "MatMul", "Softmax", "TopK"})


@dataclass(frozen=True, kw_only=True)
class KeptLayers:
    """Nodes of one graph that stay in FP32.

    ``op_types``: every node of these ONNX operators. ``arithmetic_of``: the nodes that make a
    tensor out of the results of the last layers (convolutions, matrix products, norms, softmaxes,
    top-k) before it. ``all_before``: every node that a tensor is made by, from the inputs on. A
    tensor is an output's name, or "Operator:index" for that input of every such operator.
    """

    graph: str
    name: str
    reason: str
    op_types: tuple[str, ...] = ()
    arithmetic_of: tuple[str, ...] = ()
    all_before: tuple[str, ...] = ()


def find_layers(place: str) -> KeptLayers:
    """Look up the one of `CANDIDATES` that ``place`` names, as "graph:layers".

    Raises CompileSettingsError for any other.
    """
    known = {f"{layers.graph}:{layers.name}": layers for layers in CANDIDATES}
    if place not in known:
        raise CompileSettingsError(
            f"there are no layers {place!r}; there are {', '.join(sorted(known))}"
        )
    return known[place]


def find_nodes(graph: Any, kept: KeptLayers) -> list[str]:
    """Find the nodes of an ONNX ``graph`` that ``kept`` means: their names, in its order."""
    chosen = {node.name for node in graph.node if node.op_type in kept.op_types}
    makers = {output: node for node in graph.node for output in node.output}
    for places, end in ((kept.arithmetic_of, _LAYERS), (kept.all_before, frozenset[str]())):
        for place in places:
            for tensor in _tensors_at(graph, place):
                chosen |= set(_makers_of(tensor, makers, end))
    return [node.name for node in graph.node if node.name in chosen]


def _tensors_at(graph: Any, place: str) -> Iterator[str]:
    operator, _, index = place.partition(":")
    if not index:
        yield operator
        return
    for node in graph.node:
        if node.op_type == operator:
            yield node.input[int(index)]


def _makers_of(tensor: str, makers: dict[str, Any], end: frozenset[str]) -> Iterator[str]:
    """Walk back from ``tensor``, to the inputs or the operators of ``end``."""
    waiting: list[str] = [tensor]
    seen: set[str] = set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in seen or node.op_type in end:
            continue
        seen.add(node.name)
        waiting += node.input
        yield node.name


def _everywhere(name: str, reason: str, *op_types: str) -> Sequence[KeptLayers]:
    return [
        KeptLayers(graph=graph, name=name, reason=reason, op_types=op_types)
        for graph in ("text_encoder", "region_proposer", "region_encoder", "query_decoder")
    ]


#: Pixels and boxes become crops before the region encoder's one convolution, its patch embedding.
_CROPS = ("Conv:0",)

#: What a measurement tries: the places where half precision is known to hurt.
CANDIDATES: tuple[KeptLayers, ...] = (
    *_everywhere("layer norms", "a mean of squares", "LayerNormalization"),
    *_everywhere("softmaxes", "a sum of exponentials", "Softmax", "LogSoftmax"),
    *_everywhere("sigmoids", "flat near 0 and 1", "Sigmoid"),
    KeptLayers(
        graph="region_proposer",
        name="box arithmetic",
        reason="boxes are refined by logit and sigmoid in every decoder layer",
        arithmetic_of=("REGION_BOXES", "GridSample:1"),
    ),
    KeptLayers(
        graph="region_encoder",
        name="crops",
        reason="a position in the image has 11 bits in FP16, 8 in BF16",
        all_before=_CROPS,
    ),
)

#: What stays in FP32, as `mqspn sensitivity` measures it on the demo checkpoint: the largest
#: difference from FP32, before and after.
KEPT: tuple[KeptLayers, ...] = (
    KeptLayers(
        graph="region_encoder",
        name="crops",
        reason=(
            "positions in the image have 11 bits in FP16 and 8 in BF16, so that crops shift by a "
            "pixel and more: 0.13 -> 0.0043 in FP16, 1.3 -> 0.053 in BF16"
        ),
        all_before=_CROPS,
    ),
    KeptLayers(
        graph="region_proposer",
        name="layer norms",
        reason=(
            "rounded states change which of its candidates the detector refines, and so whole "
            "boxes: 0.064 -> 0.021 in FP16, 0.054 -> 0.047 in BF16"
        ),
        op_types=("LayerNormalization",),
    ),
)
