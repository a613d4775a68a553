"""The posts that show what remembering gains: so many reposts, no text twice, no picture twice."""

from itertools import islice

import pytest
from posts import LoadPost, read_posts
from reposts import repost_stream


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_reposts_is_the_one_asked_for(share, post_rows):
    posts = list(islice(repost_stream(read_posts(post_rows), share, seed=1), 200))
    pictures = [post.image for post in posts]
    assert all(pictures)
    reposts = len(pictures) - len(set(pictures))
    assert reposts == pytest.approx(200 * share, abs=25 if 0 < share < 1 else 1)
    assert len({post.text for post in posts}) == 200


def test_the_same_seed_makes_the_same_posts(post_rows):
    found = read_posts(post_rows)
    first, second = (list(islice(repost_stream(found, 0.5, seed=3), 20)) for _ in range(2))
    assert first == second


def test_without_a_picture_there_is_nothing_to_repost():
    with pytest.raises(ValueError, match="no posts with an image"):
        next(repost_stream([LoadPost("1", "so Jordan", None)], 0.5, seed=1))
