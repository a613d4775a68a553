"""Read request tensors and make responses; no error tells a client where our files lie."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from mqspn_backend.errors import PostError

__all__ = ["bytes_tensor", "cancelled", "failure", "input_array", "input_dlpack", "respond"]

Array = npt.NDArray[Any]


def input_array(request: Any, name: str) -> Array | None:
    """Read a request's input tensor as an array; None where it was not sent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def input_dlpack(request: Any, name: str) -> Any | None:
    """Read a request's input tensor as a DLPack capsule, uncopied; None where it was not sent."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.to_dlpack()


def bytes_tensor(values: Sequence[bytes]) -> Array:
    """Put B byte strings into the (B, 1) object array that a BYTES tensor is made from."""
    array = np.empty((len(values), 1), np.object_)
    array[:, 0] = values
    return array


def respond(request: Any, values: Mapping[str, Any]) -> Any:
    """Make a response with those of ``values`` that the request asked for.

    A value is an array, or a DLPack capsule of a tensor on the host or a GPU.
    """
    wanted = set(request.requested_output_names())
    return pb_utils.InferenceResponse(
        output_tensors=[
            pb_utils.Tensor(name, value)
            if isinstance(value, np.ndarray)
            else pb_utils.Tensor.from_dlpack(name, value)
            for name, value in values.items()
            if name in wanted
        ]
    )


def cancelled(request: Any) -> Any | None:
    """Make the answer to a request whose caller has given up; None where it waits.

    Only the first step asks, before it decodes an image: the question goes to the server's process
    and back, and between the steps Triton asks it by itself.
    """
    if not request.is_cancelled():
        return None
    return _error("the request was cancelled", pb_utils.TritonError.CANCELLED)


def failure(error: Exception, model: str) -> Any:
    """Make the answer to a failed request: a post's own error in full, any other only logged."""
    if isinstance(error, PostError):
        return _error(str(error), pb_utils.TritonError.INVALID_ARG)
    pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
    return _error(
        f"{model} failed on this request; the server's log has the details",
        pb_utils.TritonError.INTERNAL,
    )


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
