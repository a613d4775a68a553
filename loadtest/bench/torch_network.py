"""Run the served network in PyTorch, as one function of tensors, in any precision.

The modules are those that export traces, so the same work is done: the type prompts' states are
constants, and the four parts pass on the same tensors.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mqspn.checkpoint import Checkpoint
from mqspn.data.posts import Post
from mqspn.export.graphs import graph_modules
from mqspn.regions.states import read_pixels
from mqspn_backend.text import TextTokenizer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["TorchNetwork", "count_flops", "flops_by_engine", "network_inputs"]


class TorchNetwork(nn.Module):
    """Runs a checkpoint's four parts one after the other, weights and arithmetic in ``dtype``.

    Boxes, scores and the cutting of crops stay in FP32, as in engines of lower precision. The
    checkpoint is not changed.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        self.parts = nn.ModuleDict(graph_modules(model)).eval().to(device)
        self.dtype = dtype
        if dtype == torch.float32:
            return
        encoder, detector = model.region_encoder, model.region_proposer.detector
        for module in (
            *(self.parts["text_encoder"], self.parts["query_decoder"], detector),
            *(encoder.vision, encoder.projection, encoder.geometry, encoder.norm),
        ):
            module.to(dtype)
        for module in (detector, encoder.vision, encoder.geometry):
            module.register_forward_pre_hook(self._cast, with_kwargs=True)

    def _cast(self, _: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """What comes from an FP32 part, in the precision of the next."""

        def cast(value: Any) -> Any:
            floating = isinstance(value, Tensor) and value.is_floating_point()
            return value.to(self.dtype) if floating else value

        return tuple(map(cast, args)), {name: cast(value) for name, value in kwargs.items()}

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, image_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Predict from tokens and pixels.

        INPUT_IDS, ATTENTION_MASK (B, L) int32, PIXELS (B, 3, S, S) uint8, IMAGE_SIZE (B, 2).
        Returns TYPE_PROBS (B, Q, T + 1), START_PROBS and END_PROBS (B, Q, L), REGION_PROBS
        (B, Q, R), all in ``dtype``.
        """
        text_states = self.parts["text_encoder"](input_ids, attention_mask)
        boxes, scores = self.parts["region_proposer"](pixels, image_size)
        region_states = self.parts["region_encoder"](pixels, boxes.float())
        return self.parts["query_decoder"](  # type: ignore[no-any-return]
            text_states, attention_mask, region_states, scores.float()
        )


def network_inputs(
    checkpoint: Checkpoint, posts: Sequence[Post], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make the inputs of `TorchNetwork` for one batch of ``posts``, as serving prepares them."""
    settings = checkpoint.settings
    tokens = TextTokenizer(checkpoint.tokenizer, settings.serving.buckets).encode(
        [post.text for post in posts]
    )
    pixels, sizes = read_pixels(posts, settings)
    arrays = (tokens.input_ids, tokens.attention_mask, pixels, sizes)
    ids, mask, images, image_size = (torch.from_numpy(array).to(device) for array in arrays)
    return ids, mask, images, image_size


def posts_by_length(checkpoint: Checkpoint, posts: Sequence[Post]) -> dict[int, list[Post]]:
    """Group ``posts`` by the number of tokens L that serving pads each to, alone."""
    tokenizer = TextTokenizer(checkpoint.tokenizer, checkpoint.settings.serving.buckets)
    found: dict[int, list[Post]] = {}
    for post in posts:
        found.setdefault(tokenizer.encode([post.text]).input_ids.shape[1], []).append(post)
    return found


@torch.inference_mode()
def count_flops(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Count floating-point operations of matrix products and convolutions in one call.

    A multiplication and the addition after it are two. What is not a product (norms, softmaxes,
    the sampling of crops) is not counted: on a GPU it is bound by memory, and no peak is for it.
    """
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops())


@torch.inference_mode()
def flops_by_engine(network: TorchNetwork, inputs: Sequence[Tensor]) -> dict[str, int]:
    """Count the operations of ``network`` (`count_flops`), by engine model."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    counts = counter.get_flop_counts()
    return {
        name: sum(counts.get(f"{type(network).__name__}.parts.{name}", {}).values())
        for name in network.parts
    }
