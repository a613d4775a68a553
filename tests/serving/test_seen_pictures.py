"""Results of pictures seen before: what is taken from memory, and that answers are the same."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from mqspn.serving import ServerSettings, TritonServer
from mqspn_client import Client, Post, Prediction
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
ROWS = [json.loads(line) for line in (DEMO / "posts.jsonl").read_text("utf-8").splitlines()]
WITH_IMAGE = [(row["text"], DEMO / row["image"]) for row in ROWS if row["image"]]
VISION = ("region_proposer", "region_encoder")


@pytest.fixture(scope="module")
def cached(
    settings: Callable[..., ServerSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """The committed repository with memory for results; `server` has none."""
    log_file = tmp_path_factory.mktemp("cached") / "server.log"
    chosen = settings(ROOT / "model_repository", log_file=log_file, cache_mb=16)
    with TritonServer(chosen) as running:
        yield running


@pytest.fixture(scope="module")
def client(cached: TritonServer) -> Iterator[Client]:
    with Client(cached.url) as client:
        yield client


@pytest.fixture(scope="module")
def uncached(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def metrics(server: TritonServer) -> str:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
        return str(page.read().decode())


def hits(server: TritonServer) -> dict[str, int]:
    found = re.findall(r'mqspn_cache_hits_total\{model="(\w+)"\} (\d+)', metrics(server))
    return {model: int(count) for model, count in found}


def new_hits(server: TritonServer, before: dict[str, int]) -> list[int]:
    time.sleep(0.2)  # counts reach the metrics beside the answers
    now = hits(server)
    assert set(now) == set(VISION)
    return [now[model] - before[model] for model in VISION]


def picture(number: int) -> bytes:
    """A picture of the sample posts that is nobody else's: a few pixels tell its number."""
    with Image.open(WITH_IMAGE[number % len(WITH_IMAGE)][1]) as image:
        drawn = image.convert("RGB")
    drawn.paste((number % 256, number // 256, 7), (0, 0, 40, 40))
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return buffer.getvalue()


def test_distinct_pictures_miss_and_a_repost_hits(
    cached: TritonServer, client: Client, uncached: Client
) -> None:
    before = hits(cached)
    posts = [(text, picture(i)) for i, (text, _) in enumerate(WITH_IMAGE)]
    expected = [uncached.predict(*post) for post in posts]
    assert [client.predict(*post) for post in posts] == expected
    assert new_hits(cached, before) == [0, 0]
    assert [client.predict(*post) for post in posts] == expected
    assert new_hits(cached, before) == [len(posts)] * 2


def test_another_text_on_the_same_picture_has_its_own_answer(
    cached: TritonServer, client: Client, uncached: Client
) -> None:
    before, image = hits(cached), picture(300)
    texts = [text for text, _ in WITH_IMAGE]
    answers = [client.predict(text, image) for text in texts]
    assert new_hits(cached, before) == [len(texts) - 1] * 2
    assert answers == [uncached.predict(text, image) for text in texts]
    assert len({tuple(e.text for e in answer.entities) for answer in answers}) > 3


def test_the_same_pixels_in_another_file_hit(cached: TritonServer, client: Client) -> None:
    image = picture(301)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(image)) as decoded:
        decoded.save(buffer, "WEBP", lossless=True, exact=True)
    before = hits(cached)
    first = client.predict("Jordan looks great tonight!", image)
    assert client.predict("Jordan looks great tonight!", buffer.getvalue()) == first
    assert new_hits(cached, before) == [1, 1]


def test_the_callers_regions_are_part_of_what_was_seen(
    cached: TritonServer, client: Client, uncached: Client
) -> None:
    text, image = WITH_IMAGE[0]
    whole, corner = [0.0, 0.0, 200.0, 200.0], [0.0, 0.0, 20.0, 20.0]
    before = hits(cached)
    for regions in ([whole], [corner], [whole, corner], [corner, whole]):
        given = client.predict(text, image, regions=regions)
        assert given == uncached.predict(text, image, regions=regions)
    assert new_hits(cached, before) == [0, 0]
    client.predict(text + " once more", image, regions=[corner])
    assert new_hits(cached, before) == [0, 1]


def test_posts_sent_together_are_looked_up_one_by_one(
    cached: TritonServer, client: Client, uncached: Client
) -> None:
    posts = [Post(text, picture(302 + i)) for i, (text, _) in enumerate(WITH_IMAGE[:3])]
    before = hits(cached)
    client.predict(posts[1].text, posts[1].image)
    for sent in (posts, posts[::-1]):
        found = [p.entities for p in client.predict_many(sent) if isinstance(p, Prediction)]
        alone = [uncached.predict(post.text, post.image).entities for post in sent]
        assert [[e.text for e in f] for f in found] == [[e.text for e in a] for a in alone]
    assert new_hits(cached, before) == [4, 4]


def test_a_call_of_one_step_for_one_output_spoils_nothing(
    cached: TritonServer, client: Client, uncached: Client
) -> None:
    """Triton's own cache would keep the answer without REGION_SCORES for whoever comes next."""
    pixels = np.full((1, 3, 224, 224), 255, np.uint8)
    white = io.BytesIO()
    Image.new("RGB", (224, 224), "white").save(white, "PNG")
    inputs = [
        triton.InferInput("PIXELS", [1, 3, 224, 224], "UINT8"),
        triton.InferInput("IMAGE_SIZE", [1, 2], "INT32"),
    ]
    inputs[0].set_data_from_numpy(pixels)
    inputs[1].set_data_from_numpy(np.array([[224, 224]], np.int32))
    part = [triton.InferRequestedOutput("REGION_BOXES")]
    before = hits(cached)
    with triton.InferenceServerClient(cached.url) as raw:
        raw.infer("region_proposer", inputs, outputs=part, client_timeout=30)
    text = "Taylor Swift is on tour"
    found = client.predict(text, white.getvalue())
    assert found == uncached.predict(text, white.getvalue())
    assert new_hits(cached, before) == [1, 0]


def test_many_callers_at_once_get_their_own_answers(client: Client, uncached: Client) -> None:
    sent = [(text, picture(310 + i % 3)) for i, (text, _) in enumerate(WITH_IMAGE * 4)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda post: client.predict(*post), sent))
    for (text, image), answer in zip(sent[:12], answers[:12], strict=True):
        expected = uncached.predict(text, image)
        assert [e.text for e in answer.entities] == [e.text for e in expected.entities]


def test_without_memory_nothing_is_looked_up(server: TritonServer, uncached: Client) -> None:
    uncached.predict(*WITH_IMAGE[0])
    assert "mqspn_cache" not in metrics(server)


@pytest.mark.slow
def test_what_was_not_seen_longest_is_forgotten(
    settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    """1 MiB holds the states of some 100 pictures of the demo's size, and the boxes of 90."""
    chosen = settings(ROOT / "model_repository", log_file=tmp_path / "server.log", cache_mb=1)
    text = WITH_IMAGE[0][0]
    with TritonServer(chosen) as running, Client(running.url) as client:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: client.predict(text, picture(i)), range(150)))
        before = hits(running)
        client.predict(text, picture(149))
        assert new_hits(running, before) == [1, 1]
        client.predict(text, picture(0))
        assert new_hits(running, before) == [1, 1]
