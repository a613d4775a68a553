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
    Tensors,
    Transport,
)
from mqspn_client.types import ImageSource, Post, Prediction, Regions, ServerMetadata

__all__ = ["AsyncClient", "Client"]

_RETRY = RetrySettings()
_ENSEMBLE, _TEXT_ENSEMBLE = "mqspn", "mqspn_text"

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
        ensemble: str = _ENSEMBLE,
        regions_ensemble: str = "mqspn_regions",
        text_ensemble: str | None = None,
        ssl: SslSettings | None = None,
        headers: Mapping[str, str] | None = None,
        channel_args: Sequence[tuple[str, Any]] = (),
        transport: T | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._retry = retry
        self._ensemble = ensemble
        self._regions_ensemble = regions_ensemble
        # A server of an earlier version has none; then its posts go to `ensemble`.
        self._text_may_be_missing = text_ensemble is None and ensemble == _ENSEMBLE
        default = _TEXT_ENSEMBLE if self._text_may_be_missing else ensemble
        self._text_ensemble = text_ensemble or default
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

    def _request(self, prepared: PreparedPosts, *, whole: bool) -> tuple[str, Tensors]:
        """The ensemble for ``prepared`` and what it takes; ``whole``: not the one for text."""
        if prepared.has_regions:
            return self._regions_ensemble, prepared.tensors
        if prepared.has_images or whole or self._text_ensemble == self._ensemble:
            return self._ensemble, prepared.tensors
        return self._text_ensemble, {"TEXT": prepared.tensors["TEXT"]}

    def _answered(self, *, whole: bool) -> None:
        """Remember that the server has no ensemble for text where ``whole`` was answered."""
        if whole:
            self._text_ensemble = self._ensemble

    def _lacks_text(self, error: MqspnError, model: str) -> bool:
        """Whether ``error`` is that the server is too old to have the ensemble for text."""
        # Not what is remembered by now: another thread may have found out before.
        missing = isinstance(error, ModelMissingError) and model == _TEXT_ENSEMBLE
        return missing and self._text_may_be_missing

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
    """Sends posts to a served MQSPN ensemble and gives back their entities.

    It opens one gRPC connection, with its first call. Threads may share a client. Use it with
    ``with``, or `close` it.

    Args:
        url: HOST:PORT of the server's gRPC port, without a scheme.
        timeout_s: Seconds that a call may take in all, retries included. A call may say otherwise.
        retry: How often a lost connection and a full queue are tried again.
        ensemble: The Triton model for posts without regions of their own.
        regions_ensemble: The Triton model for posts with them.
        text_ensemble: The Triton model for requests in which no post has an image or regions. None:
            ``mqspn_text``, or ``ensemble`` where the server has no such model or where
            ``ensemble`` is not the default.
        ssl: TLS settings. None: a plain connection.
        headers: Sent with every call, such as a key or a token.
        channel_args: gRPC channel arguments, on top of the client's own.
        transport: Stands in for the gRPC connection; then ``url``, ``ssl``, ``headers`` and
            ``channel_args`` are not used.

    Raises:
        InvalidRequestError: ``url`` is no address, ``timeout_s`` is not positive, or a PEM file
            cannot be read.

    Examples:
        >>> with Client("127.0.0.1:8001", timeout_s=10) as client:
        ...     prediction = client.predict("Jordan lands in Paris", "post.jpg")
        >>> [(entity.text, entity.type) for entity in prediction.entities]
        [('Jordan', 'PER'), ('Paris', 'LOC')]
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
        """Find the entities of one post.

        Args:
            text: The post's text.
            image: Encoded JPEG, PNG, WebP or GIF bytes, a file's path, or a Pillow image. None: a
                post without an image.
            regions: K rows of x1, y1, x2, y2 in pixels of the upright image; an array of shape
                (K, 4) will do. They take the place of the server's own proposals.
            timeout_s: Seconds for this call. None: the client's.

        Returns:
            The entities, sorted by start.

        Raises:
            PostError: The post cannot be read. ``code`` and ``message`` say what to mend.
            MqspnError: The call failed; the subclass says how.
            TypeError: ``text`` or ``image`` is of the wrong Python type.

        Examples:
            >>> regions = [[10, 20, 110, 180]]
            >>> client.predict("Jordan lands", "post.jpg", regions=regions).entities[0].box
            Box(x1=10.0, y1=20.0, x2=110.0, y2=180.0)
        """
        return self._single(self.predict_many([Post(text, image, regions)], timeout_s=timeout_s))

    def predict_many(
        self, posts: Sequence[Post], *, timeout_s: float | None = None
    ) -> list[Prediction | PostError]:
        """Find the entities of several posts, sent as one request.

        A bad post harms no other: it is a `PostError` in the list, and the rest are answered.

        Args:
            posts: The posts. All of them bring regions, or none does.
            timeout_s: Seconds for this call. None: the client's.

        Returns:
            One answer for each post, in the posts' order.

        Raises:
            InvalidRequestError: More posts than the server takes at once, more than 2 GiB, or
                regions with some posts only.
            MqspnError: The call failed; the subclass says how.
            TypeError: A post, text or image is of the wrong Python type.

        Examples:
            >>> answers = client.predict_many([Post("Jordan lands"), Post("Ann", "lost.jpg")])
            >>> answers[1].code
            'IMAGE_UNREADABLE'
        """
        budget = self._budget(timeout_s)
        prepared = prepare_posts(posts)
        if not prepared.positions:
            return merge_answers(prepared, None)
        whole = False
        while True:
            model, tensors = self._request(prepared, whole=whole)
            try:
                answers = self._transport.infer(model, tensors, budget.remaining_s())
                self._answered(whole=whole)
                return merge_answers(prepared, answers)
            except PostError as error:
                return self._failed(prepared, error)
            except MqspnError as error:
                if self._lacks_text(error, model):
                    whole = True
                else:
                    time.sleep(budget.pause_after(error))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the server takes posts now. It makes one try.

        Args:
            timeout_s: Seconds for this call. None: the client's.

        Returns:
            True where server and ensemble are ready. False where nothing answers, the server
            starts or stops, or the ensemble is not loaded.

        Raises:
            AccessError: The server refuses this client: TLS, or a key that is missing.

        Examples:
            >>> client.ready(timeout_s=1)
            True
        """
        budget = self._budget(timeout_s)
        try:
            return self._transport.ready(self._ensemble, budget.remaining_s())
        except _NOT_READY:
            return False

    def metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Ask what the server says of itself and of the ensemble.

        Args:
            timeout_s: Seconds for this call. None: the client's.

        Raises:
            MqspnError: The call failed; the subclass says how.

        Examples:
            >>> client.metadata().inputs
            ('TEXT', 'IMAGE')
        """
        budget = self._budget(timeout_s)
        while True:
            try:
                return self._transport.metadata(self._ensemble, budget.remaining_s())
            except MqspnError as error:
                time.sleep(budget.pause_after(error))

    def close(self) -> None:
        """Close the connection, after the calls that are under way.

        Later calls raise `InvalidRequestError`. Closing twice does no harm.
        """
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
    """`Client` for asyncio: the same methods and the same errors.

    A client belongs to one loop; any of its tasks may call it. A task that is cancelled stops at
    once, and its call runs to its end in the background.

    Args:
        url: HOST:PORT of the server's gRPC port, without a scheme.
        timeout_s: Seconds that a call may take in all, retries included. A call may say otherwise.
        retry: How often a lost connection and a full queue are tried again.
        ensemble: The Triton model for posts without regions of their own.
        regions_ensemble: The Triton model for posts with them.
        text_ensemble: The Triton model for requests in which no post has an image or regions. None:
            ``mqspn_text``, or ``ensemble`` where the server has no such model or where
            ``ensemble`` is not the default.
        ssl: TLS settings. None: a plain connection.
        headers: Sent with every call, such as a key or a token.
        channel_args: gRPC channel arguments, on top of the client's own.
        transport: Stands in for the gRPC connection.

    Raises:
        InvalidRequestError: ``url`` is no address, or ``timeout_s`` is not positive.

    Examples:
        >>> async with AsyncClient("127.0.0.1:8001") as client:
        ...     prediction = await client.predict("Jordan lands in Paris", "post.jpg")
    """

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
        """Find the entities of one post, as `Client.predict` does."""
        answers = await self.predict_many([Post(text, image, regions)], timeout_s=timeout_s)
        return self._single(answers)

    async def predict_many(
        self, posts: Sequence[Post], *, timeout_s: float | None = None
    ) -> list[Prediction | PostError]:
        """Find the entities of several posts, as `Client.predict_many` does.

        Image files are read in a thread, so that the loop goes on.
        """
        budget = self._budget(timeout_s)
        prepared = await asyncio.to_thread(prepare_posts, posts)
        if not prepared.positions:
            return merge_answers(prepared, None)
        whole = False
        while True:
            model, tensors = self._request(prepared, whole=whole)
            try:
                answers = await self._transport.infer(model, tensors, budget.remaining_s())
                self._answered(whole=whole)
                return merge_answers(prepared, answers)
            except PostError as error:
                return self._failed(prepared, error)
            except MqspnError as error:
                if self._lacks_text(error, model):
                    whole = True
                else:
                    await asyncio.sleep(budget.pause_after(error))

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the server takes posts now, as `Client.ready` does."""
        budget = self._budget(timeout_s)
        try:
            return await self._transport.ready(self._ensemble, budget.remaining_s())
        except _NOT_READY:
            return False

    async def metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Ask what the server says of itself, as `Client.metadata` does."""
        budget = self._budget(timeout_s)
        while True:
            try:
                return await self._transport.metadata(self._ensemble, budget.remaining_s())
            except MqspnError as error:
                await asyncio.sleep(budget.pause_after(error))

    async def close(self) -> None:
        """Close the connection, as `Client.close` does; calls of cancelled tasks count too."""
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
