"""`Client` and `AsyncClient`: posts in, typed entities out."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from mqspn_client.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelMissingError,
    MqspnError,
    PostError,
    ServerShuttingDownError,
    ServerUnreachableError,
)
from mqspn_client.posts import PreparedPosts, merge_answers, prepare_posts
from mqspn_client.retry import CallBudget, RetrySettings
from mqspn_client.transport import (
    AsyncGrpcTransport,
    AsyncTransport,
    ConnectionSettings,
    GrpcTransport,
    SslSettings,
    Transport,
)
from mqspn_client.types import ImageSource, Post, Prediction, Regions, ServerMetadata

__all__ = ["AsyncClient", "Client"]

_RETRY = RetrySettings()

# What a server that is not there (yet, or any more) looks like.
_NOT_READY = (
    ServerUnreachableError,
    ServerShuttingDownError,
    DeadlineExceededError,
    ModelMissingError,
)


T = TypeVar("T")


class _ClientBase(ABC, Generic[T]):
    """What both clients share: everything but the I/O. ``T`` is the transport's type."""

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        timeout_s: float = 30.0,
        retry: RetrySettings = _RETRY,
        ensemble: str = "mqspn",
        regions_ensemble: str = "mqspn_regions",
        ssl: SslSettings | None = None,
        headers: Mapping[str, str] | None = None,
        channel_args: Sequence[tuple[str, Any]] = (),
        transport: T | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._retry = retry
        self._ensemble = ensemble
        self._regions_ensemble = regions_ensemble
        self._closed = False
        self._budget(None)  # a timeout that cannot be is refused here
        if transport is None:
            transport = self._connect(
                ConnectionSettings(url=url, ssl=ssl, headers=headers, channel_args=channel_args)
            )
        self._transport = transport

    @abstractmethod
    def _connect(self, settings: ConnectionSettings) -> T:
        """The gRPC connection of ``settings``."""

    def _budget(self, timeout_s: float | None) -> CallBudget:
        if self._closed:
            raise InvalidRequestError("the client is closed")
        return CallBudget(self._retry, self._timeout_s if timeout_s is None else timeout_s)

    def _model(self, prepared: PreparedPosts) -> str:
        return self._regions_ensemble if prepared.has_regions else self._ensemble

    @staticmethod
    def _failed(prepared: PreparedPosts, error: PostError) -> list[Prediction | PostError]:
        """A request of one post fails as a whole where its post is bad: that is its answer."""
        if len(prepared.positions) != 1:
            raise error
        failed = {**prepared.errors, prepared.positions[0]: error}
        return [failed[position] for position in range(prepared.count)]

    @staticmethod
    def _single(answers: list[Prediction | PostError]) -> Prediction:
        answer = answers[0]
        if isinstance(answer, PostError):
            raise answer
        return answer


class Client(_ClientBase[Transport]):
    """A server's client. Threads may share it; use it with ``with``, or `close` it.

    ``url``: host:port of the gRPC port. ``timeout_s``: seconds a call may take in all, retries
    included, unless the call says otherwise. ``ssl``: TLS settings; None for a plain connection.
    ``headers``: sent with every call. ``channel_args``: gRPC channel arguments on top of the
    defaults. ``transport``: stands in for the gRPC connection; then ``url`` and what belongs to
    the connection are not used.
    """

    def _connect(self, settings: ConnectionSettings) -> Transport:
        return GrpcTransport(settings)

    def predict(
        self,
        text: str,
        image: ImageSource | None = None,
        *,
        regions: Regions | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """The entities of one post.

        ``image``: encoded JPEG, PNG, WebP or GIF bytes, a file's path, a Pillow image, or None.
        ``regions``: K rows of x1, y1, x2, y2 in pixels of the upright image, in place of the
        server's own proposals. Raises `PostError` for a post that cannot be read, and the other
        subclasses of `MqspnError` for a call that fails.
        """
        return self._single(self.predict_many([Post(text, image, regions)], timeout_s=timeout_s))

    def predict_many(
        self, posts: Sequence[Post], *, timeout_s: float | None = None
    ) -> list[Prediction | PostError]:
        """The entities of several posts, sent as one request; answers in the posts' order.

        A post that cannot be read is a `PostError` in the list; the others keep their answers.
        The server bounds the posts of one request (`InvalidRequestError`). Regions go with all
        posts or with none.
        """
        budget = self._budget(timeout_s)
        prepared = prepare_posts(posts)
        if not prepared.positions:
            return merge_answers(prepared, None)
        model = self._model(prepared)
        while True:
            try:
                answers = self._transport.infer(model, prepared.tensors, budget.remaining_s())
                return merge_answers(prepared, answers)
            except PostError as error:
                return self._failed(prepared, error)
            except MqspnError as error:
                time.sleep(budget.pause_after(error))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server takes posts now: one try. A refusal (TLS, permission) is raised."""
        budget = self._budget(timeout_s)
        try:
            return self._transport.ready(self._ensemble, budget.remaining_s())
        except _NOT_READY:
            return False

    def metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """What the server says of itself and of the ensemble."""
        budget = self._budget(timeout_s)
        while True:
            try:
                return self._transport.metadata(self._ensemble, budget.remaining_s())
            except MqspnError as error:
                time.sleep(budget.pause_after(error))

    def close(self) -> None:
        """Give the connection back; later calls raise `InvalidRequestError`."""
        if not self._closed:
            self._closed = True
            self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_ClientBase[AsyncTransport]):
    """`Client` for asyncio: same arguments, same methods, same errors. One loop, any tasks."""

    def _connect(self, settings: ConnectionSettings) -> AsyncTransport:
        return AsyncGrpcTransport(settings)

    async def predict(
        self,
        text: str,
        image: ImageSource | None = None,
        *,
        regions: Regions | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """As `Client.predict`."""
        answers = await self.predict_many([Post(text, image, regions)], timeout_s=timeout_s)
        return self._single(answers)

    async def predict_many(
        self, posts: Sequence[Post], *, timeout_s: float | None = None
    ) -> list[Prediction | PostError]:
        """As `Client.predict_many`; image files are read in a thread."""
        budget = self._budget(timeout_s)
        prepared = await asyncio.to_thread(prepare_posts, posts)
        if not prepared.positions:
            return merge_answers(prepared, None)
        model = self._model(prepared)
        while True:
            try:
                answers = await self._transport.infer(model, prepared.tensors, budget.remaining_s())
                return merge_answers(prepared, answers)
            except PostError as error:
                return self._failed(prepared, error)
            except MqspnError as error:
                await asyncio.sleep(budget.pause_after(error))

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """As `Client.ready`."""
        budget = self._budget(timeout_s)
        try:
            return await self._transport.ready(self._ensemble, budget.remaining_s())
        except _NOT_READY:
            return False

    async def metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """As `Client.metadata`."""
        budget = self._budget(timeout_s)
        while True:
            try:
                return await self._transport.metadata(self._ensemble, budget.remaining_s())
            except MqspnError as error:
                await asyncio.sleep(budget.pause_after(error))

    async def close(self) -> None:
        """As `Client.close`."""
        if not self._closed:
            self._closed = True
            await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
