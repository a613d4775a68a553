"""The served predictor, over the client's own stand-in for the wire."""

import json
import threading

import numpy as np
import pytest
from mqspn.data.errors import DataError
from mqspn.data.posts import Post
from mqspn.evaluation.metrics import PredictedEntity
from mqspn.evaluation.predictors import Failure, ServedPredictor
from mqspn_client import (
    Client,
    ModelMissingError,
    PostError,
    RetrySettings,
    ServerInternalError,
    ServerUnreachableError,
)
from PIL import Image


class Wire:
    """Answers each text with one entity over all of it, boxed where there is an image."""

    def __init__(self, errors=None):
        self.errors = errors or {}
        self.waiting = threading.Barrier(1)
        self.calls = []

    def infer(self, model, tensors, timeout_s):
        self.calls.append((model, tensors))
        self.waiting.wait(timeout=10)
        text = tensors["TEXT"][0, 0].decode()
        if text in self.errors:
            raise self.errors[text]
        box = [1.0, 2.0, 3.0, 4.0] if "IMAGE" in tensors else None
        entity = {"text": text, "start": 0, "end": len(text), "type": "PER", "score": 0.75}
        entity |= {"box": box, "box_score": 0.5}
        answer = {"entities": [entity], "model_version": "v", "truncated": False}
        return np.array([[json.dumps(answer).encode()]], dtype=object)

    def close(self):
        pass


def predictor(wire, **settings):
    client = Client(transport=wire, retry=RetrySettings(attempts=1))
    return ServedPredictor(client, **settings)


def post(text, image=None):
    words = tuple(text.split())
    return Post(id=f"id-{text}", text=text, words=words, entities=(), image=image)


def test_answers_come_in_the_order_of_posts(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"image")
    posts = [post("a" * n, path if n % 2 else None) for n in range(1, 40)]
    expected = [
        [PredictedEntity(0, n, "PER", (1.0, 2.0, 3.0, 4.0) if n % 2 else None, 0.75)]
        for n in range(1, 40)
    ]
    served = predictor(Wire())
    assert served.predict(posts) == expected
    assert served.failures == ()


def test_requests_are_on_the_way_at_once():
    wire = Wire()
    wire.waiting = threading.Barrier(4)  # lets none pass before four have come
    assert len(predictor(wire, concurrency=4).predict([post("a")] * 8)) == 8


def test_a_failing_post_has_no_entities_and_is_reported():
    errors = {"b": PostError("IMAGE_FORMAT", "send a JPEG"), "c": ServerInternalError("broke")}
    served = predictor(Wire(errors))
    answers = served.predict([post("a"), post("b"), post("c")])
    assert [len(entities) for entities in answers] == [1, 0, 0]
    assert served.failures == (
        Failure("id-b", "IMAGE_FORMAT: send a JPEG"),
        Failure("id-c", "SERVER_INTERNAL: broke"),
    )
    served.predict([post("a")])
    assert served.failures == ()


def test_an_image_file_that_is_gone_is_a_failure(tmp_path):
    served = predictor(Wire())
    assert served.predict([post("a", tmp_path / "gone.jpg")]) == [[]]
    (failure,) = served.failures
    assert failure.message.startswith("IMAGE_UNREADABLE: ")


def test_a_server_that_fails_on_every_post_is_an_error():
    broken = Wire({"a": ServerInternalError("broke"), "b": PostError("IMAGE_FORMAT", "x")})
    with pytest.raises(ServerInternalError):
        predictor(broken).predict([post("b"), post("a")])


def test_a_fault_that_is_not_the_posts_is_an_error():
    with pytest.raises(ModelMissingError):
        predictor(Wire({"b": ModelMissingError("no mqspn")})).predict([post("a"), post("b")])


def test_no_server_is_an_error():
    client = Client("127.0.0.1:1", retry=RetrySettings(attempts=1))
    with client, pytest.raises(ServerUnreachableError):
        ServedPredictor(client, timeout_s=5).predict([post("a")])


def image(path):
    Image.new("RGB", (100, 90)).save(path)
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"bounding_boxes": [[1, 2, 30, 95]]}, "lies outside the upright image of 100 x 90 pixels"),
        ({"image_width": 90, "image_height": 100}, "made of an image of 90 x 100 pixels"),
        ({"image_sha256": "0"}, "made of another image than a.jpg now is"),
    ],
)
def test_proposals_of_another_image_are_refused(tmp_path, arrays, message):
    kept = {"num_boxes": 1, "bounding_boxes": [[1, 2, 30, 40]], **arrays}
    np.savez(tmp_path / "id-a.npz", **kept)
    wire = Wire()
    with pytest.raises(DataError, match=message):
        predictor(wire, proposals=tmp_path).predict([post("a", image(tmp_path / "a.jpg"))])
    assert not wire.calls


def test_kept_proposals_go_to_the_callers_entry_point(tmp_path):
    path = image(tmp_path / "a.jpg")
    boxes = [[1.0, 2.0, 30.0, 40.5], [5.0, 6.0, 70.0, 80.0], [0.0, 0.0, 9.0, 9.0]]
    np.savez(tmp_path / "id-a.jpg.npz", num_boxes=3, bounding_boxes=boxes)
    wire = Wire()
    served = predictor(wire, proposals=tmp_path, regions=2, concurrency=1)
    assert [len(entities) for entities in served.predict([post("a", path), post("b")])] == [1, 1]
    (model, tensors), (plain, others) = wire.calls
    assert (model, plain) == ("mqspn_regions", "mqspn_text")
    assert tensors["REGIONS"].tolist() == [boxes[:2]]
    assert "REGIONS" not in others
    with pytest.raises(ValueError, match="the first is 'id-c'"):
        served.predict([post("c", path)])


def test_no_posts():
    assert predictor(Wire()).predict([]) == []


def test_concurrency_must_be_positive():
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        predictor(Wire(), concurrency=0)
