"""The client of a served MQSPN ensemble: a post in, its grounded entities out."""

from mqspn_client.client import AsyncClient, Client
from mqspn_client.draw import draw_prediction
from mqspn_client.errors import (
    POST_CODES,
    AccessError,
    DeadlineExceededError,
    InvalidRequestError,
    ModelMissingError,
    MqspnError,
    PermissionRefusedError,
    PostError,
    ProtocolError,
    RequestCancelledError,
    RequestError,
    ServerInternalError,
    ServerOverloadedError,
    ServerShuttingDownError,
    ServerUnreachableError,
    TlsRefusedError,
)
from mqspn_client.retry import RetrySettings
from mqspn_client.transport import AsyncTransport, SslSettings, Transport
from mqspn_client.types import Box, Entity, Post, Prediction, ServerMetadata

__all__ = [
    "POST_CODES",
    "AccessError",
    "AsyncClient",
    "AsyncTransport",
    "Box",
    "Client",
    "DeadlineExceededError",
    "Entity",
    "InvalidRequestError",
    "ModelMissingError",
    "MqspnError",
    "PermissionRefusedError",
    "Post",
    "PostError",
    "Prediction",
    "ProtocolError",
    "RequestCancelledError",
    "RequestError",
    "RetrySettings",
    "ServerInternalError",
    "ServerMetadata",
    "ServerOverloadedError",
    "ServerShuttingDownError",
    "ServerUnreachableError",
    "SslSettings",
    "TlsRefusedError",
    "Transport",
    "draw_prediction",
]

#: The version of all that comes from this repository: setuptools and the commands read it here.
__version__ = "0.1.0"
