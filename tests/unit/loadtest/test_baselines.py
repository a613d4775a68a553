"""The baselines' pipeline: it skips vision where there is no image, and answers all the same."""

from __future__ import annotations

import pytest
from baselines.networks import onnx_pipeline
from baselines.post_pipeline import PostPipeline
from posts import read_posts


class Watched:
    """The network of another pipeline, which keeps how many posts each part ran on."""

    def __init__(self, network):
        self._network = network
        self.rows: dict[str, int] = {}

    def run(self, model, feeds):
        self.rows[model] = self.rows.get(model, 0) + len(next(iter(feeds.values())))
        return self._network.run(model, feeds)


@pytest.fixture(scope="module")
def pipeline() -> PostPipeline:
    return onnx_pipeline(threads=1)


def test_a_mixed_batch_is_answered_as_its_posts_alone_and_vision_sees_the_images_only(
    pipeline, monkeypatch
):
    posts = [(post.text, post.image or b"") for post in read_posts()[:4]]
    posts[1:1] = [(posts[0][0], b""), ("", b"")]
    images = sum(bool(image) for _, image in posts)
    alone = [pipeline.answer([post])[0] for post in posts]
    watched = Watched(pipeline.network)
    monkeypatch.setattr(pipeline, "network", watched)
    together = pipeline.answer(posts)
    spans = [[(e["start"], e["end"], e["type"], e["box"] is None) for e in a] for a in together]
    assert spans == [
        [(e["start"], e["end"], e["type"], e["box"] is None) for e in a] for a in alone
    ]
    assert watched.rows["text_encoder"] == watched.rows["query_decoder"] == len(posts)
    assert watched.rows["region_proposer"] == watched.rows["region_encoder"] == images
    assert any(alone)


def test_posts_without_image_never_run_vision(pipeline, monkeypatch):
    watched = Watched(pipeline.network)
    monkeypatch.setattr(pipeline, "network", watched)
    (answer,) = pipeline.answer([("Jordan lands in Paris", b"")])
    assert set(watched.rows) == {"text_encoder", "query_decoder"}
    assert all(entity["box"] is None for entity in answer)
