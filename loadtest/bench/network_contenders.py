"""Run the network without a server: PyTorch eager, `torch.compile`, TensorRT-RTX's engines.

All get the same batches, prepared and on the device, and hand their answers to the host: nothing
is decoded, padded or sent, which the served network has to do besides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from mqspn.checkpoint import Checkpoint
from mqspn.engines.precision import Precision
from mqspn.repository import ENGINES
from mqspn_backend.tensors import MODELS
from torch import Tensor

from bench.interleaved import Contender, Standing, reason, repeat
from bench.torch_network import TorchNetwork

__all__ = [
    "DTYPES",
    "Inputs",
    "Network",
    "PlanNetwork",
    "call",
    "network_contenders",
    "torch_network",
]

Inputs: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Network: TypeAlias = Callable[..., Sequence[Tensor]]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
#: TYPE_PROBS, START_PROBS, END_PROBS; the order of regions of nearly one score is nobody's.
_COMPARED = 3


def torch_network(
    checkpoint: Checkpoint, precision: Precision, device: torch.device, *, compiled: bool
) -> Network:
    """Make the checkpoint in PyTorch; ``compiled``: with `torch.compile`."""
    # transformers' checks of shapes wait for the GPU and break the compiled graph, in every layer
    # of the detector.
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"
    network = TorchNetwork(checkpoint, DTYPES[precision], device)
    if not compiled:
        return network
    # CUDA graphs take away what launching small kernels costs.
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return torch.compile(network, dynamic=False, mode=mode)


def network_contenders(
    name: str,
    make: Callable[[], Network],
    batches: Mapping[int, Inputs],
    expected: Mapping[int, Sequence[Tensor]],
    *,
    is_reference: bool = False,
) -> Iterator[Standing]:
    """Warm up and compare what ``make`` returns; one contender for each batch.

    ``batches``: INPUT_IDS, ATTENTION_MASK, PIXELS, IMAGE_SIZE by batch size. ``expected``: the
    FP32 network's outputs of the same batches, on the host. A network that cannot be made or run,
    or whose answers are not numbers, has its reason in ``error``.
    """
    network: Network | None = None
    error: str | None = None
    for batch, inputs in batches.items():
        difference = None
        if error is None:
            try:
                network = make() if network is None else network
                found = call(network, inputs)
                call(network, inputs)  # CUDA graphs are recorded in the second call
                difference = _largest_difference(found, expected.get(batch, found))
            except Exception as failure:
                error = reason(failure)
        rate = partial(_rate, network, inputs, batch)
        contender = Contender(name=name, batch=batch, rate=rate, is_reference=is_reference)
        yield Standing(contender=contender, error=error, difference=difference)


@torch.inference_mode()
def call(network: Network, inputs: Inputs) -> list[Tensor]:
    """Run the network; return its outputs on the host, in FP32."""
    return [output.float().cpu() for output in network(*inputs)]


class PlanNetwork:
    """Runs TensorRT-RTX's four engines in turn, tensors staying on the GPU between them.

    ``plans``: a folder of `<model>.plan`; Polygraphy runs them. `close` frees them. Raises what
    TensorRT-RTX raises on a GPU that it does not accept.
    """

    def __init__(self, plans: Path) -> None:
        import polygraphy.config

        polygraphy.config.USE_TENSORRT_RTX = True  # read when the next line's module is loaded
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner

        with ExitStack() as stack:
            self._runners: dict[str, Any] = {
                model: stack.enter_context(
                    TrtRunner(EngineFromBytes((plans / f"{model}.plan").read_bytes()))
                )
                for model in ENGINES
            }
            self._stack = stack.pop_all()

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, image_size: Tensor
    ) -> Sequence[Tensor]:
        """As `TorchNetwork.forward`, on the GPU."""
        tensors: dict[str, Tensor] = {
            "INPUT_IDS": input_ids,
            "ATTENTION_MASK": attention_mask,
            "PIXELS": pixels,
            "IMAGE_SIZE": image_size,
        }
        for model, runner in self._runners.items():
            feeds = {name: tensors[name] for name in MODELS[model].inputs}
            tensors |= runner.infer(feeds, check_inputs=False, copy_outputs_to_host=False)
        return [tensors[name] for name in MODELS["query_decoder"].outputs]

    def close(self) -> None:
        """Free the engines."""
        self._stack.close()


def _rate(network: Network | None, inputs: Inputs, batch: int, seconds: float) -> float:
    assert network is not None
    return repeat(lambda: call(network, inputs), batch, seconds)


def _largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    pairs = zip(found[:_COMPARED], expected[:_COMPARED], strict=True)
    difference = max(float((a - b).abs().max()) for a, b in pairs)
    if not all(bool(torch.isfinite(output).all()) for output in found):
        raise ValueError("its answers are not all numbers")
    return difference
