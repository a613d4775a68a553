"""What can go wrong in a call: one root, one class for each way of failing.

::

    MqspnError
    ├── ServerUnreachableError      nothing answers there, or the connection was lost   (retried)
    ├── ServerOverloadedError       the server's queue is full, or a post waited too long (retried)
    ├── ServerShuttingDownError     the server is stopping or not ready yet
    ├── ServerInternalError         the server failed while it worked on the request
    ├── DeadlineExceededError       no answer within the call's time
    ├── RequestCancelledError       somebody cancelled the call
    ├── AccessError
    │   ├── TlsRefusedError         no TLS connection: certificate, name, or TLS on one side only
    │   └── PermissionRefusedError  the server wants a key that the call did not carry
    ├── ModelMissingError           the server does not serve that model
    ├── ProtocolError               the answer cannot be understood
    └── RequestError
        ├── InvalidRequestError     the request as a whole is wrong
        └── PostError               one post cannot be read; has .code and .message

Every error has ``code``, a stable word for programs, and ``message``, a line for people. Which
gRPC status becomes which class is decided in `mqspn_client.grpc_status`.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "POST_CODES",
    "AccessError",
    "DeadlineExceededError",
    "InvalidRequestError",
    "ModelMissingError",
    "MqspnError",
    "PermissionRefusedError",
    "PostError",
    "ProtocolError",
    "RequestCancelledError",
    "RequestError",
    "ServerInternalError",
    "ServerOverloadedError",
    "ServerShuttingDownError",
    "ServerUnreachableError",
    "TlsRefusedError",
]

#: The codes a `PostError` carries today. A newer server may send others.
POST_CODES = (
    "TEXT_NOT_UTF8",
    "IMAGE_UNREADABLE",
    "IMAGE_FORMAT",
    "IMAGE_TOO_LARGE",
    "REGIONS_INVALID",
)


class MqspnError(Exception):
    """Root of everything this package raises about a call."""

    code: str = "ERROR"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def to_dict(self) -> dict[str, Any]:
        """``{"code", "message"}``, as in the rows of a batch job's output."""
        return {"code": self.code, "message": self.message}


class ServerUnreachableError(MqspnError):
    """Nothing answers at the address, or the connection was lost on the way."""

    code = "SERVER_UNREACHABLE"


class ServerOverloadedError(MqspnError):
    """The server's queue is full, or the request waited in it for too long."""

    code = "SERVER_OVERLOADED"


class ServerShuttingDownError(MqspnError):
    """The server is stopping, or has not finished starting."""

    code = "SERVER_SHUTTING_DOWN"


class ServerInternalError(MqspnError):
    """The server failed while it worked on the request; its log says why."""

    code = "SERVER_INTERNAL"


class DeadlineExceededError(MqspnError):
    """No answer within the call's ``timeout_s``."""

    code = "DEADLINE_EXCEEDED"


class RequestCancelledError(MqspnError):
    """The call was cancelled before its answer came."""

    code = "CANCELLED"


class AccessError(MqspnError):
    """The server does not let this client in. Never retried."""

    code = "ACCESS_REFUSED"


class TlsRefusedError(AccessError):
    """No TLS connection came about: wrong certificate or name, or TLS on one side only."""

    code = "TLS_REFUSED"


class PermissionRefusedError(AccessError):
    """The server wants credentials or a protocol key that the call did not carry."""

    code = "PERMISSION_REFUSED"


class ModelMissingError(MqspnError):
    """The server does not serve the model that was asked for."""

    code = "MODEL_MISSING"


class ProtocolError(MqspnError):
    """The answer is not what this client understands: not our server, or not its version."""

    code = "PROTOCOL"


class RequestError(MqspnError):
    """What was sent is wrong; sending it again will not help."""

    code = "INVALID_REQUEST"


class InvalidRequestError(RequestError):
    """The request as a whole is wrong: its shape, its size, its settings."""


class PostError(RequestError):
    """One post cannot be read; its neighbours in the request can.

    ``code`` is one of `POST_CODES`; ``message`` says what to mend.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.args = (code, message)
        self.code = code

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)
