"""The wire: what the clients need of a server, and the same over tritonclient's gRPC.

A transport raises errors of this package only, and makes one try: deadlines and retries are the
client's. Any object with these methods can take the real one's place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from mqspn_client.errors import InvalidRequestError, MqspnError, ProtocolError
from mqspn_client.grpc_status import error_from_status
from mqspn_client.in_flight import CallsInFlight, TasksInFlight
from mqspn_client.types import ServerMetadata

__all__ = [
    "AsyncGrpcTransport",
    "AsyncTransport",
    "ConnectionSettings",
    "GrpcTransport",
    "SslSettings",
    "Transport",
]

Tensors = Mapping[str, NDArray[Any]]

R = TypeVar("R")

# gRPC's own ways to name a target pass as they are: a name with its resolver, a list of addresses.
_GRPC_TARGET = re.compile(r"(dns|ipv4|ipv6|unix):\S*[^\s\d]\S*")
_HOST_PORT = re.compile(r"(\[[^\s\[\]/]+\]|[^\s:/@\[\]]+):(?P<port>[0-9]{1,5})")

_DEFAULT_CHANNEL_ARGS: dict[str, Any] = {
    # The largest message that gRPC and Triton carry: 2 GiB - 1.
    "grpc.max_send_message_length": 2**31 - 1,
    "grpc.max_receive_message_length": 2**31 - 1,
    # A lost connection is tried again soon; gRPC would wait 1 to 120 s.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
}


class Transport(Protocol):
    """What a client needs of its connection: one server, one try a call.

    Any object with these methods can stand in for the gRPC connection, in tests for example. Every
    method may raise `mqspn_client.MqspnError`.
    """

    def infer(self, model: str, tensors: Tensors, timeout_s: float) -> NDArray[Any]:
        """Send B posts and give back their answers.

        Args:
            model: The ensemble's name.
            tensors: ``TEXT`` and ``IMAGE``, object arrays of bytes of shape (B, 1), an empty image
                standing for none; ``TEXT`` alone for the ensemble of posts without image. Perhaps
                ``REGIONS``, float32 of shape (B, K, 4) in pixels of the upright image, rows of
                zeros being padding.
            timeout_s: Seconds that are left for the call.

        Returns:
            ``ENTITIES``, an object array of shape (B, 1): one JSON text a post.
        """

    def ready(self, model: str, timeout_s: float) -> bool:
        """Whether the server and ``model`` take requests."""

    def metadata(self, model: str, timeout_s: float) -> ServerMetadata:
        """What the server says of itself and of ``model``."""

    def close(self) -> None:
        """Give the connection back."""


class AsyncTransport(Protocol):
    """`Transport` for asyncio: the same methods, as coroutines."""

    async def infer(self, model: str, tensors: Tensors, timeout_s: float) -> NDArray[Any]: ...

    async def ready(self, model: str, timeout_s: float) -> bool: ...

    async def metadata(self, model: str, timeout_s: float) -> ServerMetadata: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SslSettings:
    """Turns TLS on; names its PEM files.

    Attributes:
        root_certificates: The authorities to trust. None: gRPC's own list.
        private_key: The client's private key, for servers that check their clients too.
        certificate_chain: The certificate that goes with it.

    Examples:
        >>> Client("triton.example.org:8001", ssl=SslSettings(root_certificates="ca.pem"))
    """

    root_certificates: str | Path | None = None
    private_key: str | Path | None = None
    certificate_chain: str | Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """gRPC's credentials; raises `InvalidRequestError` for a file that cannot be read."""
        if (self.private_key is None) != (self.certificate_chain is None):
            raise InvalidRequestError("ssl: private_key and certificate_chain go together")
        return grpc.ssl_channel_credentials(
            _read_pem(self.root_certificates),
            _read_pem(self.private_key),
            _read_pem(self.certificate_chain),
        )


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """Where and how to connect. ``channel_args`` are gRPC's own and come on top of ours;
    ``headers`` go with every call (a restricted protocol's key, a token).
    """

    url: str
    ssl: SslSettings | None = None
    channel_args: Sequence[tuple[str, Any]] = ()
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Raises `InvalidRequestError` for a ``url`` that is no address."""
        if _GRPC_TARGET.fullmatch(self.url):
            return
        address = _HOST_PORT.fullmatch(self.url)
        if address is None or not 0 < int(address["port"]) < 2**16:
            raise InvalidRequestError(
                f"url must be HOST:PORT of the server's gRPC port, without a scheme, as "
                f"127.0.0.1:8001, not {self.url!r}"
            )

    def _options(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "creds": self.ssl.credentials() if self.ssl else None,
            "channel_args": list(self._channel_args().items()),
        }

    def _channel_args(self) -> dict[str, Any]:
        defaults = dict(_DEFAULT_CHANNEL_ARGS)
        if re.match(r"(localhost|127\.[\d.]+|\[::1\]):", self.url):
            # gRPC sends even this machine's calls through a proxy from the environment.
            defaults["grpc.enable_http_proxy"] = 0
        return defaults | dict(self.channel_args)

    def call_options(self, timeout_s: float) -> dict[str, Any]:
        """What every tritonclient call carries: a deadline, and the headers."""
        return {
            "client_timeout": timeout_s,
            "headers": dict(self.headers) if self.headers else None,
        }

    def open(self) -> Any:
        """A tritonclient client; it connects with its first call."""
        return triton.InferenceServerClient(**self._options())

    def open_async(self) -> Any:
        """A tritonclient asyncio client, bound to the running loop."""
        return triton_aio.InferenceServerClient(**self._options())


class GrpcTransport:
    """`Transport` over gRPC. Threads may share it.

    A call goes on when Ctrl-C ends the waiting for it (see `mqspn_client.in_flight`).
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._client = settings.open()
        self._in_flight = CallsInFlight()

    def infer(self, model: str, tensors: Tensors, timeout_s: float) -> NDArray[Any]:
        def call() -> NDArray[Any]:
            result = self._client.infer(
                model,
                _inputs(tensors),
                outputs=_outputs(),
                **self._settings.call_options(timeout_s),
            )
            return _entities(result)

        return self._run(call)

    def ready(self, model: str, timeout_s: float) -> bool:
        def call() -> bool:
            options = self._settings.call_options(timeout_s)
            return bool(
                self._client.is_server_ready(**options)
                and self._client.is_model_ready(model, **options)
            )

        return self._run(call)

    def metadata(self, model: str, timeout_s: float) -> ServerMetadata:
        def call() -> ServerMetadata:
            options = self._settings.call_options(timeout_s)
            return _metadata(
                self._client.get_server_metadata(**options),
                self._client.get_model_metadata(model, **options),
            )

        return self._run(call)

    def close(self) -> None:
        """Wait for the calls under way, then close; Ctrl-C closes at once."""
        try:
            self._in_flight.wait()
        finally:
            self._client.close()

    def _run(self, call: Callable[[], R]) -> R:
        with _errors_translated(self._settings.url):
            return self._in_flight.run(call)


class AsyncGrpcTransport:
    """`AsyncTransport` over gRPC. It belongs to the loop of its first call.

    A call goes on when the task that awaits it is cancelled (see `mqspn_client.in_flight`).
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._in_flight = TasksInFlight()

    def _open(self) -> Any:
        if self._client is None:
            self._client = self._settings.open_async()
        return self._client

    async def infer(self, model: str, tensors: Tensors, timeout_s: float) -> NDArray[Any]:
        async def call() -> NDArray[Any]:
            result = await self._open().infer(
                model,
                _inputs(tensors),
                outputs=_outputs(),
                **self._settings.call_options(timeout_s),
            )
            return _entities(result)

        return await self._run(call())

    async def ready(self, model: str, timeout_s: float) -> bool:
        async def call() -> bool:
            options = self._settings.call_options(timeout_s)
            return bool(
                await self._open().is_server_ready(**options)
                and await self._open().is_model_ready(model, **options)
            )

        return await self._run(call())

    async def metadata(self, model: str, timeout_s: float) -> ServerMetadata:
        async def call() -> ServerMetadata:
            options = self._settings.call_options(timeout_s)
            return _metadata(
                await self._open().get_server_metadata(**options),
                await self._open().get_model_metadata(model, **options),
            )

        return await self._run(call())

    async def close(self) -> None:
        """Wait for the calls under way, those of cancelled tasks too, then close."""
        await self._in_flight.wait()
        if self._client is not None:
            await self._client.close()

    async def _run(self, call: Coroutine[Any, Any, R]) -> R:
        with _errors_translated(self._settings.url):
            return await self._in_flight.run(call)


def translated(error: InferenceServerException, url: str) -> MqspnError:
    """Turn tritonclient's exception, whose status is a text as "StatusCode.X", into one of ours."""
    message = error.message() or ""
    status = error.status()
    if status is None:  # raised by tritonclient itself, before anything was sent
        return InvalidRequestError(message)
    name = str(status).rpartition(".")[2]
    if name not in grpc.StatusCode.__members__:
        return ProtocolError(f"{url} answered with unknown status {status}: {message}")
    return error_from_status(grpc.StatusCode[name], message, url)


@contextmanager
def _errors_translated(url: str) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        raise translated(error, url) from None


def _inputs(tensors: Tensors) -> list[Any]:
    inputs = []
    for name, array in tensors.items():
        tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def _outputs() -> list[Any]:
    return [triton.InferRequestedOutput("ENTITIES")]


def _entities(result: Any) -> NDArray[Any]:
    try:
        entities = result.as_numpy("ENTITIES")
    except (ValueError, IndexError, InferenceServerException) as error:
        raise ProtocolError(f"the server's ENTITIES cannot be read: {error}") from error
    if entities is None or entities.dtype != np.object_:
        raise ProtocolError("the server's answer has no ENTITIES of type BYTES")
    return np.asarray(entities)


def _metadata(server: Any, model: Any) -> ServerMetadata:
    return ServerMetadata(
        server=server.name,
        server_version=server.version,
        model=model.name,
        model_versions=tuple(model.versions),
        inputs=tuple(tensor.name for tensor in model.inputs),
        outputs=tuple(tensor.name for tensor in model.outputs),
    )


def _read_pem(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"ssl: cannot read {path}: {error.strerror}") from error
