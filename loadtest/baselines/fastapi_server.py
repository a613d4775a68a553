"""A baseline: FastAPI and uvicorn, PyTorch eager, one post at a time.

    python -m baselines.fastapi_server --port 8100 --threads 2 --calls 1     # in loadtest/

The endpoint is a plain function, which FastAPI runs in its pool of threads; the pool's size is the
number of posts computed at once. The rest wait in the pool's queue.
"""

# FastAPI's decorators are seen as untyped where it is not installed.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio.to_thread
import typer
import uvicorn
from fastapi import FastAPI

from baselines.networks import eager_pipeline
from baselines.post_body import PostBody
from baselines.post_pipeline import PostPipeline

__all__ = ["make_app", "serve"]


def make_app(pipeline: PostPipeline, calls: int) -> FastAPI:
    """Make the application; it computes ``calls`` posts at once."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = calls
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/predict")
    def predict(post: PostBody) -> dict[str, Any]:
        return {"entities": pipeline.answer([post.decoded()])[0]}

    return app


def serve(
    port: Annotated[int, typer.Option(help="Port on loopback.")],
    threads: Annotated[int, typer.Option(help="PyTorch's threads in an operator.")] = 2,
    calls: Annotated[int, typer.Option(help="Posts computed at once.")] = 1,
) -> None:
    """Serve the committed checkpoint until SIGTERM."""
    app = make_app(eager_pipeline(threads=threads), calls)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    typer.run(serve)
