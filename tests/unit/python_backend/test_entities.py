"""The JSON contract of ENTITIES."""

import json

import numpy as np
import pytest
from mqspn_backend.decoding import Prediction
from mqspn_backend.entities import answer_json, error_json, post_entities
from mqspn_backend.errors import PostError

TYPES = ("PER", "LOC", "ORG", "MISC")
TEXT = "🏀 Michael Jordan at Nike café"
OFFSETS = np.array([(0, 0), (0, 1), (2, 9), (10, 16), (17, 19), (20, 24), (25, 29), (0, 0)])


def predictions() -> list[Prediction]:
    return [
        Prediction(5, 5, 2, 0.987654, 0, None, 0.123456),
        Prediction(2, 3, 0, 0.876543, 2, (0.1, -0.2, 0.55553, 1.3), 0.5),
    ]


def test_entities_are_sorted_exact_and_in_pixels() -> None:
    first, second = post_entities(predictions(), TEXT, OFFSETS, (1000, 501), TYPES)
    assert first == {
        "text": "Michael Jordan",
        "start": 2,
        "end": 16,
        "type": "PER",
        "score": 0.8765,
        "box": [100.0, 0.0, 555.5, 501.0],
        "box_score": 0.5,
    }
    assert second == {
        "text": "Nike",
        "start": 20,
        "end": 24,
        "type": "ORG",
        "score": 0.9877,
        "box": None,
        "box_score": 0.1235,
    }
    for entity in (first, second):
        assert entity["text"] == TEXT[entity["start"] : entity["end"]]


def test_answer_has_the_contract_s_keys_and_order() -> None:
    entities = post_entities(predictions(), TEXT, OFFSETS, (1000, 501), TYPES)
    answer = json.loads(answer_json(entities, model_version="demo-1", truncated=True))
    assert list(answer) == ["entities", "model_version", "truncated"]
    assert answer["model_version"] == "demo-1"
    assert answer["truncated"] is True
    keys = ["text", "start", "end", "type", "score", "box", "box_score"]
    assert [list(entity) for entity in answer["entities"]] == [keys, keys]
    assert answer["entities"] == entities


def test_no_entities() -> None:
    answer = answer_json([], model_version="v", truncated=False)
    assert json.loads(answer) == {"entities": [], "model_version": "v", "truncated": False}


def test_text_is_written_as_it_is() -> None:
    entities = post_entities([Prediction(6, 6, 3, 1.0, 0, None, 1.0)], TEXT, OFFSETS, (0, 0), TYPES)
    assert "café" in answer_json(entities, model_version="v", truncated=False)


def test_scores_that_are_no_numbers_are_refused() -> None:
    entities = post_entities(
        [Prediction(6, 6, 3, float("nan"), 0, None, 1.0)], TEXT, OFFSETS, (0, 0), TYPES
    )
    with pytest.raises(ValueError, match="JSON"):
        answer_json(entities, model_version="v", truncated=False)


def test_error_json_carries_a_post_error() -> None:
    error = PostError("IMAGE_FORMAT", "found “EPS”")
    assert json.loads(error_json(**json.loads(error.to_json()))) == {
        "error": {"code": "IMAGE_FORMAT", "message": "found “EPS”"}
    }
