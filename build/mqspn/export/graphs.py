"""The four graphs of a checkpoint as ONNX, with dynamic batch, length and number of regions."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxslim
import torch
from mqspn_backend.tensors import MODELS, tensor
from torch import Tensor, nn

from mqspn.checkpoint import Checkpoint
from mqspn.export.errors import ExportError
from mqspn.export.parity import check_parity
from mqspn.export.shortcuts import shortcuts
from mqspn.network import Mqspn
from mqspn.parity import Difference
from mqspn.settings import Settings

__all__ = ["OPSET", "example_inputs", "export_graphs", "graph_modules"]

#: ONNX operator set: the newest the TorchScript exporter writes for every graph here, and one that
#: TensorRT 10 and 11 read.
OPSET = 17
_TRACED = (2, 8)  # posts, tokens
#: Shapes the parity check runs at, and the share of the K regions; none was traced.
_CHECKED = ((1, 5, 0.0), (3, 13, 1.0), (5, 32, 0.4))
#: The graphs that take fewer regions than K.
_FEWER_REGIONS = ("region_encoder", "query_decoder")


class _QueryDecoderGraph(nn.Module):
    """The query decoder with the type prompts' states as constants: they depend on no input."""

    def __init__(self, model: Mqspn) -> None:
        super().__init__()
        self.decoder = model.query_decoder
        with torch.no_grad():
            self.register_buffer("type_states", model.text_encoder.type_states().clone())

    def forward(
        self, text_states: Tensor, attention_mask: Tensor, states: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        predictions = self.decoder(text_states, attention_mask, states, scores, self.type_states)
        return predictions[-1].probabilities()  # type: ignore[no-any-return]


def graph_modules(model: Mqspn) -> dict[str, nn.Module]:
    """Make the module behind each exported graph, by Triton model name."""
    return {
        "text_encoder": model.text_encoder,
        "region_proposer": model.region_proposer,
        "region_encoder": model.region_encoder,
        "query_decoder": _QueryDecoderGraph(model),
    }


def example_inputs(
    name: str,
    settings: Settings,
    vocabulary: int,
    posts: int,
    tokens: int,
    seed: int,
    *,
    regions: int | None = None,
) -> dict[str, Tensor]:
    """Draw random inputs of graph ``name``: the last post is half padding and has no image.

    ``regions``: how many; None: K of ``settings``.
    """
    random = torch.Generator().manual_seed(seed)
    K, D, S = settings.network.regions, settings.network.width, settings.image_side
    K = K if regions is None else regions
    mask = torch.ones(posts, tokens, dtype=torch.int32)
    mask[-1, (tokens + 1) // 2 :] = 0
    corners = torch.rand(posts, K, 2, 2, generator=random).sort(dim=2).values.flatten(2)
    scores = torch.rand(posts, K, generator=random)
    scores[-1] = 0.0
    size = torch.full((posts, 2), S, dtype=torch.int32)
    size[-1] = 0
    token_ids = torch.randint(0, vocabulary, (posts, tokens), generator=random)
    everything = {
        "INPUT_IDS": token_ids.to(torch.int32),
        "ATTENTION_MASK": mask,
        "PIXELS": torch.randint(0, 256, (posts, 3, S, S), generator=random).to(torch.uint8),
        "IMAGE_SIZE": size,
        "REGION_BOXES": corners,
        "REGION_SCORES": scores,
        "TEXT_STATES": torch.randn(posts, tokens, D, generator=random),
        "REGION_STATES": torch.randn(posts, K, D, generator=random),
    }
    return {key: everything[key] for key in MODELS[name].inputs}


def export_graphs(
    checkpoint: Checkpoint, output: Path, *, tolerance: float = 1e-3
) -> Iterator[Difference]:
    """Write `<model>.onnx` for the four graphs to ``output``, yielding each one's parity.

    Each graph is run in ONNX Runtime at batch sizes, lengths and numbers of regions that were not
    traced and compared with PyTorch. Raises ExportError where the largest difference exceeds
    ``tolerance``; that graph's file is then removed.
    """
    output.mkdir(parents=True, exist_ok=True)
    model = checkpoint.model.eval()
    vocabulary = checkpoint.tokenizer.get_vocab_size()
    for name, module in graph_modules(model).items():
        path = output / f"{name}.onnx"
        inputs = example_inputs(name, checkpoint.settings, vocabulary, *_TRACED, seed=0)
        _export(name, module.eval(), inputs, path)
        checked = [
            example_inputs(
                name,
                checkpoint.settings,
                vocabulary,
                posts,
                tokens,
                seed=posts,
                regions=_regions(name, checkpoint.settings.network.regions, share),
            )
            for posts, tokens, share in _CHECKED
        ]
        parity = check_parity(name, module, path, checked)
        if parity.largest > tolerance:
            path.unlink()
            raise ExportError(f"{parity}; more than the tolerance of {tolerance}")
        yield parity


def _regions(name: str, regions: int, share: float) -> int:
    """The number of regions to check graph ``name`` at; only the decoder can do with none."""
    if name not in _FEWER_REGIONS:
        return regions
    return max(int(name == "region_encoder"), round(regions * share))


@contextmanager
def _constant_positions(module: nn.Module, inputs: dict[str, Tensor]) -> Iterator[None]:
    """Let position embeddings that depend on the image's size alone be traced as constants.

    Detectors compute them from width and height, in float64: operators that older ONNX Runtimes and
    TensorRT do not have, for values that never change.
    """
    embeddings = [
        part
        for part in module.modules()
        if {"width", "height"} <= set(inspect.signature(part.forward).parameters)
    ]
    values: dict[nn.Module, Any] = {}
    hooks = [
        part.register_forward_hook(lambda part, _, value: values.update({part: value}))
        for part in embeddings
    ]
    module(*inputs.values())
    for hook in hooks:
        hook.remove()
    for part, value in values.items():
        part.forward = partial(_constant, value)
    try:
        yield
    finally:
        for part in values:
            del part.forward


def _constant(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _export(name: str, module: nn.Module, inputs: dict[str, Tensor], path: Path) -> None:
    spec = MODELS[name]
    open_axes = ("B", "L", "K", "R") if name in _FEWER_REGIONS else ("B", "L")
    dynamic = {
        tensor_name: {
            i: str(axis) for i, axis in enumerate(tensor(tensor_name).axes) if axis in open_axes
        }
        for tensor_name in (*spec.inputs, *spec.outputs)
    }
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        _constant_positions(module, inputs),
        shortcuts(module),
    ):
        # The tracer warns of every shape that transformers turns into a Python number; the parity
        # check at untraced shapes is what finds one that matters.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            dynamic_axes=dynamic,
            opset_version=OPSET,
            dynamo=False,
        )
    # The tracer leaves chains of operators behind every shape; those that are constant are folded.
    onnx.save(onnxslim.slim(str(path)), str(path))
