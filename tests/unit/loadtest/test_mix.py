import io
from collections import Counter

import numpy as np
import pytest
from mix import Mix, PostMix
from PIL import Image
from posts import LoadPost, bad_images


@pytest.fixture(scope="module")
def posts():
    made = [LoadPost("5", "no image", None)]
    for i in range(4):
        buffer = io.BytesIO()
        Image.effect_noise((320, 240), 60).convert("RGB").save(buffer, "JPEG")
        made.append(LoadPost(str(i), f"post {i}", buffer.getvalue()))
    return made


BAD = bad_images()


def drawn(mix, posts, count=4000, seed=0):
    made = PostMix(Mix.parse(mix), posts, BAD, seed=seed)
    return [made.draw() for _ in range(count)]


def test_shares_are_as_asked(posts):
    found = drawn("text_only=0.3,bad=0.1", posts)
    assert sum(post.code is not None for post in found) == pytest.approx(400, abs=80)
    assert sum(post.image is None for post in found) == pytest.approx(1200, abs=120)
    assert {post.code for post in found} == {None, "IMAGE_UNREADABLE", "IMAGE_FORMAT"}


def test_reposts_follow_zipf(posts):
    """Rank 1 comes twice as often as rank 2, and so on."""
    found = drawn("zipf=1,text_only=0,bad=0,distinct=8", posts, count=20_000)
    counts = [count for _, count in Counter(post.image for post in found).most_common()]
    assert len(counts) == 8
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.1)
    assert counts[0] / counts[7] == pytest.approx(8, rel=0.2)
    even = Counter(post.image for post in drawn("text_only=0,bad=0,distinct=8", posts))
    assert max(even.values()) / min(even.values()) < 1.4


def test_distinct_posts_have_distinct_pixels_as_the_model_sees_them(posts):
    found = drawn("text_only=0,bad=0,distinct=40,0.02mp=0.3,1mp=0.2", posts, count=1500)
    contents = {post.image for post in found}
    seen = {
        np.asarray(Image.open(io.BytesIO(content)).resize((224, 224))).tobytes()
        for content in contents
    }
    assert len(contents) == len(seen) == 40


def test_images_have_the_sizes_asked_for(posts):
    found = drawn("text_only=0,bad=0,distinct=40,0.02mp=0.5,2mp=0.25", posts)
    megapixels: Counter[float] = Counter()
    for content in {post.image for post in found}:
        image = Image.open(io.BytesIO(content))
        megapixels[round(image.width * image.height / 1e6, 2)] += 1
    assert set(megapixels) == {0.02, 0.08, 2.0}
    assert {post.name for post in found} == {
        "text and image",
        "image of 0.02 megapixels",
        "image of 2 megapixels",
    }


def test_a_seed_draws_the_same_again(posts):
    assert drawn("zipf=1", posts, 50) == drawn("zipf=1", posts, 50)
    assert drawn("zipf=1", posts, 50) != drawn("zipf=1", posts, 50, seed=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zpif=1", "did you mean zipf"),
        ("colour=1", "what is allowed: zipf"),
        ("zipf=much", "has no number"),
        ("bad=1.5", "a share is from 0 to 1"),
        ("bad=nan", "a share is from 0 to 1"),
        ("bad=0.6,text_only=0.6", "more than 1"),
        ("1mp=0.6,2mp=0.6", "more than 1"),
        ("zipf=-1", "from 0 to 10"),
        ("100mp=0.1", "at most 50"),
    ],
)
def test_what_cannot_be_read_names_what_is_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        Mix.parse(text)


def test_a_mix_needs_an_image():
    with pytest.raises(ValueError, match="no post has an image"):
        PostMix(Mix(), [LoadPost("1", "text", None)], BAD)
