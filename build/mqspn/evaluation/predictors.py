"""Define what can be evaluated: anything that answers posts, as the served ensemble does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mqspn_client import (
    Client,
    DeadlineExceededError,
    Entity,
    MqspnError,
    PostError,
    ServerInternalError,
    ServerOverloadedError,
)
from tqdm import tqdm

from mqspn.data.images import UNREADABLE, upright_size
from mqspn.data.posts import Post
from mqspn.data.proposals import find_proposals, read_proposals
from mqspn.evaluation.metrics import PredictedEntity

__all__ = ["Failure", "Predictor", "ReportsFailures", "ServedPredictor"]


class Predictor(Protocol):
    """The protocol of a system that predicts the entities of posts."""

    def predict(self, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
        """Predict the entities of each post, in the order of ``posts``; boxes in pixels.

        A post with ``image`` None is a text-only post. The gold annotation is not to be read.
        """


@dataclass(frozen=True)
class Failure:
    """A post that could not be answered, by its id, and why."""

    id: str
    message: str


@runtime_checkable
class ReportsFailures(Protocol):
    """A predictor that may fail on single posts, which then have no entities."""

    @property
    def failures(self) -> Sequence[Failure]:
        """The posts of the latest `predict` that could not be answered."""


class ServedPredictor:
    """Predicts by calling a server, one post a request and many requests at once.

    ``url``: the server's gRPC address, HOST:PORT, or a `mqspn_client.Client` already set up, which
    stays the caller's to close. ``concurrency``: requests on the way at once. ``timeout_s``: time
    for one answer, retries included. ``progress``: show a bar on standard error. ``proposals``: a
    folder of boxes, see `mqspn.data.proposals`, of which each image's first ``regions`` (K of the
    served model) are sent with it, to the entry point that takes the caller's regions.
    """

    def __init__(
        self,
        url: str | Client,
        *,
        concurrency: int = 16,
        timeout_s: float = 60.0,
        progress: bool = False,
        proposals: Path | None = None,
        regions: int = 16,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}")
        self._url = url
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._progress = progress
        self._proposals = proposals
        self._regions = regions
        self.failures: Sequence[Failure] = ()

    def predict(self, posts: Sequence[Post]) -> list[list[PredictedEntity]]:
        """Ask the server; a post it cannot answer has no entities and is in ``failures``.

        Raises `mqspn_client.MqspnError` where the fault is not the post's: no server, no access, no
        such model, or a server that failed on every post; DataError where proposals are missing,
        cannot be read or belong to another image.
        """
        self.failures = ()
        if isinstance(self._url, Client):
            outcomes = self._call(self._url, posts)
        else:
            with Client(self._url) as client:
                outcomes = self._call(client, posts)
        errors = [outcome for outcome in outcomes if isinstance(outcome, MqspnError)]
        if errors and len(errors) == len(posts):
            for error in errors:
                if not isinstance(error, PostError):
                    raise error
        self.failures = tuple(
            Failure(post.id, f"{outcome.code}: {outcome.message}")
            for post, outcome in zip(posts, outcomes, strict=True)
            if isinstance(outcome, MqspnError)
        )
        return [[] if isinstance(outcome, MqspnError) else outcome for outcome in outcomes]

    def _call(
        self, client: Client, posts: Sequence[Post]
    ) -> list[list[PredictedEntity] | MqspnError]:
        files = {} if self._proposals is None else find_proposals(self._proposals, posts)

        def answer(post: Post) -> list[PredictedEntity] | MqspnError:
            regions = None
            if post.id in files and post.image is not None:
                regions = _regions(files[post.id], post.image, self._regions)
            try:
                prediction = client.predict(
                    post.text, post.image, regions=regions, timeout_s=self._timeout_s
                )
            except (
                PostError,
                DeadlineExceededError,
                ServerInternalError,
                ServerOverloadedError,
            ) as error:
                return error
            return [_predicted(entity) for entity in prediction.entities]

        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                return list(
                    tqdm(
                        pool.map(answer, posts),
                        total=len(posts),
                        desc="predicting",
                        unit="post",
                        disable=not self._progress,
                    )
                )
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the other posts would only fail alike
                raise


def _regions(path: Path, image: Path, count: int) -> list[list[float]] | None:
    """The first ``count`` boxes in pixels, held against the image; None: it cannot be read."""
    try:
        size = upright_size(image)
    except UNREADABLE:
        return None  # the server says why
    boxes: list[list[float]] = read_proposals(path, size, image=image).boxes[:count].tolist()
    return boxes


def _predicted(entity: Entity) -> PredictedEntity:
    box = None
    if entity.box is not None:
        box = (entity.box.x1, entity.box.y1, entity.box.x2, entity.box.y2)
    return PredictedEntity(entity.start, entity.end, entity.type, box, entity.score)
