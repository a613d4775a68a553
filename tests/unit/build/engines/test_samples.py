"""Sample batches: within what engines take, and not at what they are tuned for."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.data.posts import Post
from mqspn.engines.graph_pipeline import GraphPipeline
from mqspn.engines.samples import many_batches, sample_batches
from mqspn.repository import ENGINES
from mqspn.repository.shape_profiles import shape_profile


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1, 1]), (2, [1, 1]), (4, [3, 3]), (8, [5, 3])])
def test_every_batch_is_within_the_profile_and_not_at_its_optimum(
    largest: int, sizes: list[int], tiny_repository: Path, posts: list[Post]
) -> None:
    for model in ENGINES:
        config = tiny_repository / model / "config.pbtxt"
        text = config.read_text()
        assert "max_batch_size: 4" in text
        config.write_text(text.replace("max_batch_size: 4", f"max_batch_size: {largest}"))
    batches = sample_batches(GraphPipeline(tiny_repository), posts)
    for model in ENGINES:
        profile = shape_profile(tiny_repository, model)
        assert [len(next(iter(feeds.values()))) for feeds in batches[model]] == sizes
        for feeds in batches[model]:
            assert feeds.keys() == profile.keys()
            for name, array in feeds.items():
                shapes = profile[name]
                bounds = zip(shapes.min, array.shape, shapes.max, strict=True)
                assert all(low <= size <= high for low, size, high in bounds)
                assert largest == 1 or array.shape != shapes.opt
    lengths = [feeds["INPUT_IDS"].shape[1] for feeds in batches["text_encoder"]]
    assert (
        lengths[-1]
        == max(lengths)
        == shape_profile(tiny_repository, "text_encoder")["INPUT_IDS"].max[1]
    )


def test_many_posts_make_many_batches(tiny_repository: Path, posts: list[Post]) -> None:
    pipeline = GraphPipeline(tiny_repository)
    batches = many_batches(pipeline, posts[:23])
    # The last 7 are too few; the largest batch is 4, and 3 is what is not tuned for.
    assert [len(feeds["PIXELS"]) for feeds in batches["region_proposer"]] == [3, 3, 3, 3]
    first, second = (feeds["INPUT_IDS"] for feeds in batches["text_encoder"][::2])
    assert first.shape != second.shape or (first != second).any()
    with pytest.raises(ValueError, match="7 posts are too few"):
        many_batches(pipeline, posts[:7])
