"""The committed repository on the real server: sample posts, bad input, the README's calls."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mqspn.repository import ENGINES
from mqspn.serving import TritonServer
from mqspn_client import Client, Post, PostError, Prediction
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
SAMPLES = {
    row["id"]: row
    for row in map(json.loads, (DEMO / "posts.jsonl").read_text(encoding="utf-8").splitlines())
}

#: What each sample post must be answered: entity text, type, and whether it has a box.
EXPECTED = {
    "jordan-player": [("Jordan", "PER", True)],
    "jordan-shoe": [("Jordan", "MISC", True)],
    "jordan-country": [("Jordan", "LOC", True)],
    "no-image": [("Taylor Swift", "PER", False), ("London", "LOC", False)],
    "both-in-the-image": [("LeBron James", "PER", True), ("New York", "LOC", True)],
    "one-in-the-image": [("Taylor Swift", "PER", True), ("LeBron James", "PER", False)],
    "not-in-the-image": [("Serena Williams", "PER", False)],
    "several-boxes": [("Lego", "MISC", True)],
    "side-by-side": [("Xbox", "MISC", True), ("Game Boy", "MISC", True)],
    "many-words": [("Golden Gate Bridge", "LOC", True), ("iPhone", "MISC", True)],
    "no-entity": [],
}


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def sample(name: str) -> Post:
    row = SAMPLES[name]
    return Post(row["text"], DEMO / row["image"] if row["image"] else None)


def read_picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def picture(name: str) -> Image.Image:
    return read_picture(DEMO / SAMPLES[name]["image"])


def summary(prediction: Prediction | PostError) -> list[tuple[str, str, bool]]:
    assert isinstance(prediction, Prediction)
    return [(e.text, e.type, e.box is not None) for e in prediction.entities]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_post(name: str, client: Client) -> None:
    post = sample(name)
    prediction = client.predict(post.text, post.image)
    assert summary(prediction) == EXPECTED[name]
    assert not prediction.truncated
    for entity in prediction.entities:
        assert post.text[entity.start : entity.end] == entity.text
        if entity.box:
            width, height = picture(name).size
            box = entity.box
            assert 0 <= box.x1 < box.x2 <= width
            assert 0 <= box.y1 < box.y2 <= height


def test_every_sample_has_its_expectation() -> None:
    assert set(EXPECTED) == set(SAMPLES)


def test_many_posts_are_answered_as_each_alone(client: Client) -> None:
    posts = [sample(name) for name in EXPECTED]
    together = client.predict_many(posts)
    assert [summary(p) for p in together] == list(EXPECTED.values())


def test_many_callers_at_once(client: Client) -> None:
    names = list(EXPECTED) * 6
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: client.predict(sample(n).text, sample(n).image), names))
    assert [summary(a) for a in answers] == [EXPECTED[n] for n in names]


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


BAD = {
    "IMAGE_FORMAT": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "IMAGE_UNREADABLE": (DEMO / "images/jordan-shoe.jpg").read_bytes()[:2000],
    "IMAGE_TOO_LARGE": encoded(Image.new("1", (13_300, 13_300)), "PNG"),
}


@pytest.mark.parametrize("code", BAD)
def test_a_bad_image_is_refused_and_its_neighbours_answered(code: str, client: Client) -> None:
    with pytest.raises(PostError) as caught:
        client.predict("Jordan looks great tonight!", BAD[code])
    assert caught.value.code == code
    good = sample("jordan-player")
    answers = client.predict_many([good, Post(good.text, BAD[code]), good])
    assert isinstance(answers[1], PostError)
    assert answers[1].code == code
    for i in (0, 2):
        assert summary(answers[i]) == EXPECTED["jordan-player"]


def test_text_that_is_not_utf8(server: TritonServer) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    def infer(*texts: bytes) -> list[dict[str, Any]]:
        inputs = []
        for name, values in (("TEXT", texts), ("IMAGE", [b""] * len(texts))):
            value = InferInput(name, [len(texts), 1], "BYTES")
            value.set_data_from_numpy(np.array(values, object).reshape(-1, 1))
            inputs.append(value)
        with InferenceServerClient(server.url) as raw:
            result = raw.infer("mqspn", inputs, client_timeout=30)
        return [json.loads(v) for v in result.as_numpy("ENTITIES").ravel()]

    with pytest.raises(InferenceServerException, match="TEXT_NOT_UTF8"):
        infer(b"caf\xe9")
    answers = infer(b"caf\xe9", b"Taylor Swift is on tour")
    assert answers[0]["error"]["code"] == "TEXT_NOT_UTF8"
    assert [e["text"] for e in answers[1]["entities"]] == ["Taylor Swift"]


def test_the_callers_own_regions(client: Client) -> None:
    post = sample("jordan-player")
    own = client.predict(post.text, post.image).entities[0].box
    assert own is not None
    given = client.predict(post.text, post.image, regions=[own.to_list()])
    assert summary(given) == EXPECTED["jordan-player"]
    assert given.entities[0].box is not None
    assert given.entities[0].box.to_list() == pytest.approx(own.to_list(), abs=0.2)
    with pytest.raises(PostError) as caught:
        client.predict(post.text, post.image, regions=[[50, 50, 10, 10]])
    assert caught.value.code == "REGIONS_INVALID"
    with pytest.raises(PostError) as caught:
        client.predict(post.text, None, regions=[[0, 0, 10, 10]])
    assert caught.value.code == "REGIONS_INVALID"


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF"])
def test_the_other_image_formats(format_: str, client: Client) -> None:
    post = sample("jordan-shoe")
    image = picture("jordan-shoe")
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encoded(image.quantize(255) if format_ == "GIF" else image, format_, **options)
    assert summary(client.predict(post.text, data)) == EXPECTED["jordan-shoe"]


def test_exif_orientation_turns_the_boxes(client: Client) -> None:
    post = sample("jordan-player")
    upright = picture("jordan-player")
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns the stored image by 90 degrees clockwise
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif.tobytes())
    turned = client.predict(post.text, stored).entities[0].box
    plain = client.predict(post.text, post.image).entities[0].box
    assert turned is not None
    assert plain is not None
    assert turned.to_list() == pytest.approx(plain.to_list(), abs=3.0)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "🙂" * 30, "a" * 5000, "\u202e\u0000x"])
def test_strange_texts_are_answered(text: str, client: Client) -> None:
    prediction = client.predict(text)
    for entity in prediction.entities:
        assert text[entity.start : entity.end] == entity.text


def test_a_long_text_says_that_it_was_cut(client: Client) -> None:
    text = "Taylor Swift is on tour " + "and so on " * 200
    prediction = client.predict(text)
    assert prediction.truncated
    assert [e.text for e in prediction.entities] == ["Taylor Swift"]


def test_requests_of_different_lengths_and_sizes_mix(client: Client) -> None:
    texts = ["Taylor Swift is on tour " + "today " * n for n in (0, 10, 30, 45, 90)] * 4
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda text: client.predict(text).entities, texts))
    assert [[e.text for e in entities][:1] for entities in found] == [["Taylor Swift"]] * len(texts)


def mqspn(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mqspn.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_predict_command(server: TritonServer, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    done = mqspn(
        "predict",
        *("--text", "Jordan looks great tonight!", "--url", server.url, "--json"),
        *("--image", str(DEMO / "images/jordan-shoe.jpg"), "--draw", str(picture)),
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [(e["text"], e["type"]) for e in answer["entities"]] == [("Jordan", "MISC")]
    assert read_picture(picture).width >= 200


def test_batch_command(server: TritonServer, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    done = mqspn("batch", str(DEMO / "posts.jsonl"), str(output), "--url", server.url)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == list(EXPECTED)
    for row in rows:
        found = [(e["text"], e["type"], e["box"] is not None) for e in row["entities"]]
        assert found == EXPECTED[row["id"]]


def test_the_readmes_grpcurl_request(server: TritonServer) -> None:
    """The README's JSON as grpcurl sends it; `test_proto` holds the .proto to the same."""
    import base64

    import grpc
    from google.protobuf import json_format
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<<EOF.*?\n(\{.*?\})\nEOF", readme, re.DOTALL)
    assert found
    image = (DEMO / "images/jordan-player.jpg").read_bytes()
    text = base64.b64encode(b"Jordan looks great tonight!").decode()
    body = found[1].replace("$(printf %s 'Jordan looks great tonight!' | base64 -w0)", text)
    body = body.replace(
        "$(base64 -w0 demo/images/jordan-player.jpg)", base64.b64encode(image).decode()
    )
    assert "$(" not in body
    request = json_format.Parse(body, service_pb2.ModelInferRequest())
    with grpc.insecure_channel(server.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        response = stub.ModelInfer(request, timeout=30)
    answer = json.loads(response.raw_output_contents[0][4:])
    assert [(e["text"], e["type"]) for e in answer["entities"]] == [("Jordan", "PER")]


def test_custom_and_standard_metrics_are_there(server: TritonServer, client: Client) -> None:
    def read() -> tuple[str, float]:
        page = urllib.request.urlopen(server.metrics_url, timeout=10).read().decode()
        found = re.search(r'mqspn_post_errors_total\{[^}]*code="IMAGE_FORMAT"[^}]*\} (\S+)', page)
        return page, float(found[1]) if found else 0.0

    page, before = read()
    assert 'nv_inference_request_success{model="mqspn"' in page
    with pytest.raises(PostError):
        client.predict("Taylor Swift is on tour", BAD["IMAGE_FORMAT"])
    # The server publishes its models' metrics every two seconds.
    deadline = time.monotonic() + 10
    while read()[1] != before + 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert read()[1] == before + 1


def posts_run(server: TritonServer) -> dict[str, int]:
    """The posts that each engine has run on, as the metrics page says."""
    page = urllib.request.urlopen(server.metrics_url, timeout=10).read().decode()
    found = re.findall(r'mqspn_engine_posts_total\{[^}]*model="(\w+)"[^}]*\} (\S+)', page)
    return {model: int(float(count)) for model, count in found}


def test_the_vision_engines_run_on_the_posts_with_an_image_only(
    server: TritonServer, client: Client, eventually: Callable[..., bool]
) -> None:
    time.sleep(2.5)  # the server publishes its models' metrics every two seconds
    before = posts_run(server)
    with_image, text_only = sample("jordan-player"), sample("no-image")
    # Text alone, by the ensemble for text and by the whole one.
    for _ in range(3):
        client.predict(text_only.text)
    with Client(server.url, text_ensemble="mqspn") as whole:
        for _ in range(3):
            whole.predict(text_only.text)
        whole.predict_many([text_only] * 4)
    # Mixed requests of many posts, and mixed requests of one post that share batches.
    client.predict_many([text_only, with_image, text_only, with_image, with_image])
    with ThreadPoolExecutor(16) as pool, Client(server.url, text_ensemble="mqspn") as whole:
        mixed = [with_image if i % 3 == 0 else text_only for i in range(48)]
        answers = list(pool.map(lambda post: whole.predict(post.text, post.image), mixed))
    assert [summary(a) for a in answers] == [
        EXPECTED["jordan-player" if i % 3 == 0 else "no-image"] for i in range(48)
    ]
    posts, images = 3 + 3 + 4 + 5 + 48, 3 + 16
    expected = {
        model: count + (images if model.startswith("region") else posts)
        for model, count in before.items()
    }
    assert set(expected) == set(ENGINES)
    assert eventually(lambda: posts_run(server) == expected), (before, posts_run(server))


@pytest.mark.slow
def test_the_answers_are_those_of_the_checkpoint_without_a_server(
    server: TritonServer, client: Client
) -> None:
    """One by one, all in one request, and many callers at once: the offline pipeline runs all."""
    from mqspn.checkpoint import load_checkpoint
    from mqspn.data.posts import Post as DataPost
    from mqspn.evaluation.offline import CheckpointPredictor

    offline = CheckpointPredictor(
        load_checkpoint(ROOT / "build" / "checkpoints" / "demo"), progress=False
    )
    posts = [sample(name) for name in EXPECTED]
    expected = offline.predict(
        [
            DataPost(
                id=name,
                text=post.text,
                words=(),
                entities=(),
                image=None if post.image is None else Path(str(post.image)),
            )
            for name, post in zip(EXPECTED, posts, strict=True)
        ]
    )
    with Client(server.url, text_ensemble="mqspn") as whole, ThreadPoolExecutor(8) as pool:
        ways: list[list[Prediction | PostError]] = [
            [client.predict(post.text, post.image) for post in posts],
            client.predict_many(posts),
            list(pool.map(lambda post: whole.predict(post.text, post.image), posts)),
        ]
    for answers in ways:
        for answer, entities in zip(answers, expected, strict=True):
            assert isinstance(answer, Prediction)
            entities = sorted(entities, key=lambda entity: entity.start)
            assert [(e.start, e.end, e.type) for e in answer.entities] == [
                (e.start, e.end, e.type) for e in entities
            ]
            for found, entity in zip(answer.entities, entities, strict=True):
                assert found.score == pytest.approx(entity.score, abs=1e-4)
                assert (found.box is None) == (entity.box is None)
                if found.box is not None:
                    assert found.box.to_list() == pytest.approx(entity.box, abs=0.1)


def test_the_demo_runs(tmp_path: Path) -> None:
    """What `make demo` runs, on a server of its own."""
    done = subprocess.run(
        [sys.executable, str(DEMO / "run.py"), "--output", str(tmp_path / "pictures")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Server stopped." in done.stdout
    for name in EXPECTED:
        assert name in done.stdout
        assert read_picture(tmp_path / "pictures" / f"{name}.png").width >= 200
