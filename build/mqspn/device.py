"""Pick the torch device that a network runs on, from the option `--device`."""

from __future__ import annotations

import torch

from mqspn.errors import BuildError

__all__ = ["pick_device"]


def pick_device(name: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or the like into a torch device; "auto" prefers the GPU.

    Raises BuildError for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BuildError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device
