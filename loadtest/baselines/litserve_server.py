"""A baseline: LitServe with batching, PyTorch eager.

    python -m baselines.litserve_server --port 8100 --threads 2 --batch 8     # in loadtest/

LitServe collects requests to a batch and hands it to one worker process.
"""

# Without `from __future__ import annotations`: LitServe reads the annotations themselves.

from typing import Annotated, Any

import litserve
import typer
from mqspn_backend.entities import Entity

from baselines.networks import eager_pipeline
from baselines.post_body import PostBody

__all__ = ["PostApi", "serve"]

Post = tuple[str, bytes]
#: Seconds that a batch is waited for, once it has its first post.
_BATCH_WAIT_S = 0.005


class PostApi(litserve.LitAPI):  # type: ignore[misc]
    """Answers posts; a worker has ``threads`` threads in an operator."""

    def __init__(self, *, threads: int, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=_BATCH_WAIT_S if batch > 1 else 0.0)
        self.threads = threads

    def setup(self, device: str) -> None:
        self.pipeline = eager_pipeline(threads=self.threads)

    def decode_request(self, request: PostBody) -> Post:
        return request.decoded()

    def batch(self, inputs: list[Post]) -> list[Post]:
        return list(inputs)

    def predict(self, posts: Any) -> Any:
        if self.max_batch_size == 1:  # then LitServe makes no list of one
            return self.pipeline.answer([posts])[0]
        return self.pipeline.answer(posts)

    def unbatch(self, output: list[list[Entity]]) -> list[list[Entity]]:
        return output

    def encode_response(self, output: list[Entity]) -> dict[str, Any]:
        return {"entities": output}


def serve(
    port: Annotated[int, typer.Option(help="Port on loopback.")],
    threads: Annotated[int, typer.Option(help="PyTorch's threads in an operator.")] = 2,
    batch: Annotated[int, typer.Option(help="The largest batch.")] = 8,
) -> None:
    """Serve the committed checkpoint until SIGTERM."""
    api = PostApi(threads=threads, batch=batch)
    # The fast queue goes by sockets; the other by a process that pickles everything twice.
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=1, timeout=120, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    typer.run(serve)
