"""Ways to the same outputs with less work, taken while a graph is traced.

A trained network computes more than its answers need. Here parts of detectors of the RT-DETR family
are traced in a shorter form; weights and outputs stay as they are, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["shortcuts"]

#: By name: other detectors of `transformers` have parts of these kinds that are built otherwise.
_REP_VGG = frozenset({"RTDetrRepVggBlock", "RTDetrV2RepVggBlock", "DFineRepVggBlock"})
_TWO_STAGE = frozenset({"RTDetrModel", "RTDetrV2Model", "DFineModel"})


@contextmanager
def shortcuts(module: nn.Module) -> Iterator[None]:
    """Let every part of ``module`` that has a shorter form take it inside the block."""
    shorter: dict[nn.Module, Callable[..., Any]] = {}
    for part in module.modules():
        if type(part).__name__ in _REP_VGG:
            shorter[part] = _one_convolution(part)
        if type(part).__name__ in _TWO_STAGE:
            shorter |= _boxes_of_chosen_candidates(part)
    for part, forward in shorter.items():
        part.forward = forward
    try:
        yield
    finally:
        for part in shorter:
            del part.forward


def _one_convolution(block: Any) -> Callable[[Tensor], Tensor]:
    """RepVGG's branches of 3x3 and 1x1 as one 3x3 convolution (Ding et al., 2021)."""
    wide = fuse_conv_bn_eval(block.conv1.conv, block.conv1.norm)
    narrow = fuse_conv_bn_eval(block.conv2.conv, block.conv2.norm)
    with torch.no_grad():
        wide.weight += nn.functional.pad(narrow.weight, (1, 1, 1, 1))
        wide.bias += narrow.bias
    wide.requires_grad_(False)  # a constant of the graph

    def forward(states: Tensor) -> Tensor:
        return block.activation(wide(states))  # type: ignore[no-any-return]

    return forward


def _boxes_of_chosen_candidates(detector: Any) -> dict[nn.Module, Callable[[Tensor], Tensor]]:
    """Compute boxes only where the score is among the highest: the others are never read.

    Of all places in the feature maps (thousands) the detector goes on with `num_queries`. It makes
    every place's box before it chooses. Here the others' are left at 0.
    """
    score_head, box_head = detector.enc_score_head, detector.enc_bbox_head
    score, box = score_head.forward, box_head.forward
    chosen: list[Tensor] = []

    def scores(states: Tensor) -> Tensor:
        found: Tensor = score(states)  # (B, places, classes)
        best = found.max(-1).values
        chosen[:] = [torch.topk(best, detector.config.num_queries, dim=1).indices]
        return found

    def boxes(states: Tensor) -> Tensor:
        index = chosen[0].unsqueeze(-1)  # (B, queries, 1)
        of_chosen = box(states.gather(1, index.repeat(1, 1, states.shape[-1])))
        everywhere = torch.zeros_like(states[..., :4])
        return everywhere.scatter(1, index.repeat(1, 1, 4), of_chosen)

    return {score_head: scores, box_head: boxes}
