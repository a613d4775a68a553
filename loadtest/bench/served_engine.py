"""Call one engine of a running server by itself, to compare its tensors with FP32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from mqspn_backend.tensors import MODELS, tensor
from numpy.typing import NDArray

__all__ = ["ServedEngine"]


class ServedEngine:
    """Runs the model ``name`` of the server at ``url``."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run the engine; its outputs by name. Raises tritonclient's exception where that fails."""
        inputs = []
        for name in MODELS[self.name].inputs:
            sent = triton.InferInput(name, feeds[name].shape, tensor(name).dtype)
            sent.set_data_from_numpy(np.ascontiguousarray(feeds[name]))
            inputs.append(sent)
        with triton.InferenceServerClient(self.url) as client:
            answer = client.infer(self.name, inputs, client_timeout=60.0)
        return {name: answer.as_numpy(name) for name in outputs or MODELS[self.name].outputs}
