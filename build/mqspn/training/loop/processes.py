"""The processes of a run: where each computes, how they are joined, what they agree on.

One process, or those that `accelerate launch` started. Every process holds the whole network; a
batch is shared out among them and their gradients are averaged.
"""

from __future__ import annotations

from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

from mqspn.device import pick_device
from mqspn.settings import MixedPrecision
from mqspn.training.errors import TrainingError

__all__ = ["join_processes", "mean_over_processes"]

#: How long the others wait while one computes region states or scores: it must not end a run.
_PATIENCE = timedelta(hours=12)


def join_processes(device: str, mixed_precision: MixedPrecision) -> Accelerator:
    """Join the processes of a run, each on its device.

    ``device`` is a torch device or "auto"; where there are several processes each has its own, and
    only "auto" and "cpu" make sense. Raises a ValueError for a device that is not there, a
    TrainingError for one that cannot compute in ``mixed_precision``.
    """
    if not torch.distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run's, in this process
    chosen = pick_device(device)
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    if mixed_precision == "fp16" and chosen.type == "cpu":
        raise TrainingError("training.mixed_precision fp16 needs a GPU; on the CPU use no or bf16")
    if mixed_precision == "bf16" and chosen.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise TrainingError("this GPU has no bf16: --set training.mixed_precision=fp16, or no")
    accelerator = Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision=mixed_precision,
        kwargs_handlers=[
            # Pretrained encoders have parameters that no loss reaches, as BERT's pooler.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )
    if accelerator.num_processes > 1 and device not in ("auto", "cpu"):
        raise TrainingError(f"--device {device} is for one process: leave it out")
    return accelerator


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Average ``values`` over all processes; of one, return them as they are.

    A loss that is a sum divided by this mean of its processes' counts has, after the gradients are
    averaged, the gradient of the whole batch's sum divided by the whole batch's count.
    """
    if not torch.distributed.is_initialized():
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()
