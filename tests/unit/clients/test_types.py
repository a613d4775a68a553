import json

import pytest
from mqspn_client import Box, Entity, PostError, Prediction, ProtocolError
from mqspn_client.types import parse_answer

ENTITY = {
    "text": "Jordan",
    "start": 0,
    "end": 6,
    "type": "PER",
    "score": 0.97,
    "box": [1, 2.5, 30, 40],
    "box_score": 0.9,
}
ANSWER = {"entities": [ENTITY], "model_version": "demo", "truncated": False}


def parse(values):
    return parse_answer(json.dumps(values).encode())


def test_an_answer_is_read_and_written_back():
    entity = Entity("Jordan", 0, 6, "PER", 0.97, Box(1, 2.5, 30, 40), 0.9)
    assert parse(ANSWER) == Prediction((entity,), "demo", False)
    assert parse(ANSWER).to_dict() == ANSWER


def test_an_entity_that_is_not_in_the_image_has_no_box():
    prediction = parse({**ANSWER, "entities": [{**ENTITY, "box": None}]})
    assert prediction.entities[0].box is None
    assert prediction.to_dict()["entities"][0]["box"] is None


def test_unknown_keys_are_passed_over():
    more = {**ANSWER, "timing": [1], "entities": [{**ENTITY, "link": "Q41421"}]}
    assert parse(more) == parse(ANSWER)


def test_a_post_s_error_is_an_answer_too():
    error = {"code": "IMAGE_FORMAT", "message": "send a JPEG"}
    assert parse({"error": error}) == PostError("IMAGE_FORMAT", "send a JPEG")


@pytest.mark.parametrize("key", ["text", "start", "end", "type", "score", "box"])
def test_a_missing_entity_key_is_named(key):
    entity = {k: v for k, v in ENTITY.items() if k != key}
    with pytest.raises(ProtocolError, match=f"entity 0.*'{key}'"):
        parse({**ANSWER, "entities": [entity]})


@pytest.mark.parametrize("key", ["entities", "model_version", "truncated"])
def test_a_missing_answer_key_is_named(key):
    with pytest.raises(ProtocolError, match=f"answer has no '{key}'"):
        parse({k: v for k, v in ANSWER.items() if k != key})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text", 1),
        ("start", True),
        ("start", 1.5),
        ("score", "high"),
        ("box", [1, 2, 3]),
        ("box", [1, 2, 3, "4"]),
        ("box", False),
        ("box_score", "high"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key, value):
    with pytest.raises(ProtocolError, match=f"'{key}'"):
        parse({**ANSWER, "entities": [{**ENTITY, key: value}]})


@pytest.mark.parametrize(
    "answer",
    [b"", b"[1]", b"{", b"\xff", b'{"error": "no"}', b'{"error": {}}', b"[" * 100_000],
)
def test_what_is_no_answer_is_a_protocol_error(answer):
    with pytest.raises(ProtocolError):
        parse_answer(answer)
