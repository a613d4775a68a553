"""The one place where a gRPC status becomes an error of this package.

The code alone is not enough: Triton says UNAVAILABLE for a full queue, a shutdown and a missing
protocol key, and gRPC says it for a lost connection and a refused TLS handshake. Only the message
tells them apart.
"""

from __future__ import annotations

import re

import grpc

from mqspn_client.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelMissingError,
    MqspnError,
    PermissionRefusedError,
    PostError,
    ProtocolError,
    RequestCancelledError,
    ServerInternalError,
    ServerOverloadedError,
    ServerShuttingDownError,
    ServerUnreachableError,
    TlsRefusedError,
)

__all__ = ["error_from_status", "post_error_from_message"]

# What Triton puts before the message of a model of an ensemble.
_POST_ERROR = re.compile(
    r"^(?:in ensemble '[^']*',\s*|\[request id: [^\]]*\]\s*)*"
    r"(?P<code>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+): (?P<message>.+)$",
    re.DOTALL,
)
_CONNECTING = re.compile(r"failed to connect|connections to all backends failing", re.IGNORECASE)
_HUNG_UP = re.compile(r"socket closed|connection reset|broken pipe", re.IGNORECASE)
_HANDSHAKE = re.compile(
    r"handshake failed|SSL_ERROR|verification check failed|certificate|peer name", re.IGNORECASE
)
_NOT_GRPC = re.compile(r"http1\.x|http2 header with status|settings frame|http/1", re.IGNORECASE)
_QUEUE = re.compile(r"exceeds maximum queue size|request timeout expired", re.IGNORECASE)
_STOPPING = re.compile(
    r"server is stopping|server not ready|server is shutting down|stopped accepting", re.IGNORECASE
)
_RESTRICTED = re.compile(r"is restricted, expecting header", re.IGNORECASE)
_MESSAGE_SIZE = re.compile(r"message larger than max|larger than max \(", re.IGNORECASE)

_Status = grpc.StatusCode


def post_error_from_message(message: str) -> PostError | None:
    """The `PostError` that a server's "CODE: message" stands for; None where it is not one."""
    match = _POST_ERROR.match(message)
    return PostError(match["code"], match["message"]) if match else None


def error_from_status(code: grpc.StatusCode, details: str, url: str = "the server") -> MqspnError:
    """The error of this package for a failed call's gRPC ``code`` and ``details``.

    ``url`` only goes into the message. Every status has its class; an unknown one is a
    `ProtocolError`.
    """
    details = details.strip() or "no details"
    if code is _Status.UNAVAILABLE:
        return _unavailable(details, url)
    if code is _Status.INVALID_ARGUMENT:
        hint = "; send fewer posts in a request" if "batch-size must be" in details else ""
        return post_error_from_message(details) or InvalidRequestError(
            f"{url} refused the request: {details}{hint}"
        )
    if code is _Status.DEADLINE_EXCEEDED:
        return DeadlineExceededError(
            f"no answer from {url} in time ({details}); raise timeout_s, or send less at once"
        )
    if code is _Status.RESOURCE_EXHAUSTED:
        if _MESSAGE_SIZE.search(details):
            return InvalidRequestError(
                f"the message is too large ({details}); send fewer or smaller posts in a request"
            )
        return ServerOverloadedError(f"{url} has run out of a resource: {details}")
    if code is _Status.NOT_FOUND:
        return ModelMissingError(
            f"{url} does not serve the model: {details}; check the ensemble's name, and that the "
            "server has loaded it and is not stopping"
        )
    if code is _Status.CANCELLED:
        return RequestCancelledError(f"the call was cancelled: {details}")
    if code in (_Status.UNAUTHENTICATED, _Status.PERMISSION_DENIED):
        return PermissionRefusedError(
            f"{url} refused access: {details}; give its key or token in headers"
        )
    if code is _Status.UNIMPLEMENTED:
        return ProtocolError(
            f"{url} does not offer the call ({details}); is it a Triton server's gRPC port?"
        )
    if code in (_Status.FAILED_PRECONDITION, _Status.OUT_OF_RANGE, _Status.ALREADY_EXISTS):
        return InvalidRequestError(f"{url} refused the request ({code.name}): {details}")
    if code in (_Status.INTERNAL, _Status.UNKNOWN, _Status.ABORTED, _Status.DATA_LOSS):
        return ServerInternalError(f"{url} failed ({code.name}): {details}; see the server's log")
    return ProtocolError(f"{url} answered with status {code}, which is no failure: {details}")


def _unavailable(details: str, url: str) -> MqspnError:
    """UNAVAILABLE, told apart by its message; what no pattern knows is a lost connection."""
    if _RESTRICTED.search(details):
        return PermissionRefusedError(f"{url}: {details}; give that header in headers")
    if _QUEUE.search(details):
        return ServerOverloadedError(f"{url} has too much to do: {details}")
    if _STOPPING.search(details):
        return ServerShuttingDownError(f"{url} is stopping or not ready: {details}")
    if _NOT_GRPC.search(details):
        return ProtocolError(
            f"{url} does not speak gRPC ({details}); Triton's gRPC port is 8001 by default, "
            "8000 is HTTP"
        )
    if _HANDSHAKE.search(details):
        return TlsRefusedError(
            f"no TLS connection to {url}: {details}; check that the server uses TLS, and the "
            "certificate files and host name"
        )
    if _CONNECTING.search(details) and _HUNG_UP.search(details):
        return TlsRefusedError(
            f"{url} hung up while the connection was made: it may want TLS, or a client "
            "certificate that it trusts, or be Triton's HTTP port (8000 by default) and not its "
            f"gRPC port (8001) ({details})"
        )
    return ServerUnreachableError(
        f"cannot reach {url}: {details}; check the address and that the server is running"
    )
