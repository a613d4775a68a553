"""A repository that `build_repository` made, in a real server: both ensembles, over gRPC."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from mqspn.serving import TritonServer
from PIL import Image
from tritonclient.utils import InferenceServerException


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def entities(
    server: TritonServer,
    posts: list[tuple[str, bytes]],
    regions: list[list[list[float]]] | None = None,
    model: str | None = None,
) -> list[dict[str, Any]]:
    """The answers to one request of B posts; None: by the ensemble that ``regions`` asks for."""

    def tensor(name: str, array: np.ndarray, dtype: str) -> triton.InferInput:
        made = triton.InferInput(name, array.shape, dtype)
        made.set_data_from_numpy(array)
        return made

    texts = np.array([[text.encode()] for text, _ in posts], np.object_)
    images = np.array([[image] for _, image in posts], np.object_)
    inputs = [tensor("TEXT", texts, "BYTES"), tensor("IMAGE", images, "BYTES")]
    if regions is not None:
        inputs.append(tensor("REGIONS", np.array(regions, np.float32), "FP32"))
    model = model or ("mqspn" if regions is None else "mqspn_regions")
    if model == "mqspn_text":
        del inputs[1:]
    with triton.InferenceServerClient(server.url) as client:
        answer = client.infer(model, inputs, client_timeout=20.0)
    return [json.loads(row[0]) for row in answer.as_numpy("ENTITIES")]


def test_one_post(tiny_server: TritonServer) -> None:
    (answer,) = entities(tiny_server, [("Jordan flies", png(40, 20))])
    assert answer["model_version"] == "tiny"
    assert answer["truncated"] is False
    (entity,) = answer["entities"]
    assert (entity["text"], entity["start"], entity["end"]) == ("Jordan", 0, 6)
    assert entity["type"] == "PER"
    assert entity["box"] == [10.0, 5.0, 30.0, 15.0]  # the middle quarter


def test_a_request_of_three_posts_answers_each_with_its_own(tiny_server: TritonServer) -> None:
    posts = [("Ada", png(100, 100)), ("Bo goes home", png(8, 4)), ("Cy", b"")]
    answers = entities(tiny_server, posts)
    assert [a["entities"][0]["text"] for a in answers] == ["Ada", "Bo", "Cy"]
    assert [a["entities"][0]["box"] for a in answers] == [
        [25.0, 25.0, 75.0, 75.0],
        [2.0, 1.0, 6.0, 3.0],
        None,
    ]
    assert answers == [entities(tiny_server, [post])[0] for post in posts]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_callers_regions_may_be_fewer_than_k(count: int, tiny_server: TritonServer) -> None:
    boxes = [[4.0, 2.0, 12.0, 8.0], [0.0, 0.0, 40.0, 20.0], [1.0, 1.0, 2.0, 2.0]][:count]
    (answer,) = entities(tiny_server, [("Jordan", png(40, 20))], [boxes])
    assert answer["entities"][0]["box"] == [4.0, 2.0, 12.0, 8.0]


def test_three_posts_with_the_callers_regions(tiny_server: TritonServer) -> None:
    regions = [[[1.0, 1.0, 5.0, 5.0]], [[2.0, 2.0, 6.0, 6.0]], [[0.0, 0.0, 0.0, 0.0]]]
    posts = [("Ada", png(10, 10)), ("Bo", png(10, 10)), ("Cy", png(10, 10))]
    answers = entities(tiny_server, posts, regions)
    assert [a["entities"][0]["box"] for a in answers] == [
        [1.0, 1.0, 5.0, 5.0],
        [2.0, 2.0, 6.0, 6.0],
        None,  # its only region is padding
    ]


def test_preprocess_does_without_the_optional_regions(tiny_server: TritonServer) -> None:
    empty = np.array([[b""]], np.object_)
    inputs = [triton.InferInput(name, [1, 1], "BYTES") for name in ("TEXT", "IMAGE")]
    for tensor in inputs:
        tensor.set_data_from_numpy(empty)
    with triton.InferenceServerClient(tiny_server.url) as client:
        answer = client.infer("preprocess", inputs, client_timeout=20.0)
    assert answer.as_numpy("REGION_SCORES").tolist() == [[0.0, 0.0, 0.0]]
    assert answer.as_numpy("PIXELS").shape == (1, 3, 16, 16)
    assert answer.as_numpy("INPUT_IDS").shape == (1, 8)


def test_the_ensemble_for_text_answers_as_the_whole_one(tiny_server: TritonServer) -> None:
    posts = [("Ada", b""), ("Bo goes " * 9, b""), ("", b"")]
    answers = entities(tiny_server, posts, model="mqspn_text")
    assert answers == entities(tiny_server, posts)
    assert answers[0]["entities"][0]["box"] is None
    assert [entities(tiny_server, [p], model="mqspn_text")[0] for p in posts] == answers


def test_preprocess_does_without_an_image(tiny_server: TritonServer) -> None:
    text = triton.InferInput("TEXT", [2, 1], "BYTES")
    text.set_data_from_numpy(np.array([[b"Ada"], [b"\xff"]], np.object_))
    with triton.InferenceServerClient(tiny_server.url) as client:
        answer = client.infer("preprocess", [text], client_timeout=20.0)
    for name, shape in (
        ("PIXELS", (2, 3, 16, 16)),
        ("IMAGE_SIZE", (2, 2)),
        ("REGION_SCORES", (2, 3)),
        ("REGION_STATES", (2, 3, 4)),
    ):
        found = answer.as_numpy(name)
        assert found.shape == shape
        assert not found.any()
    assert [bool(error) for error in answer.as_numpy("POST_ERROR").ravel()] == [False, True]


def test_every_bucket_and_a_text_longer_than_the_last(tiny_server: TritonServer) -> None:
    for words, truncated in ((1, False), (6, False), (10, False), (14, False), (30, True)):
        (answer,) = entities(tiny_server, [("Ada " * words, b"")])
        assert answer["truncated"] is truncated
        assert answer["entities"][0]["text"] == "Ada"


def test_a_bad_image_fails_alone(tiny_server: TritonServer) -> None:
    with pytest.raises(InferenceServerException) as caught:
        entities(tiny_server, [("Ada", b"not an image")])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    good, bad = entities(tiny_server, [("Ada", png(10, 10)), ("Bo", b"not an image")])
    assert good["entities"][0]["text"] == "Ada"
    assert set(bad) == {"error"}


def test_more_posts_than_a_batch_holds_are_refused(tiny_server: TritonServer) -> None:
    with pytest.raises(InferenceServerException, match="batch-size must be <= 4"):
        entities(tiny_server, [("Ada", b"")] * 5)
