"""The Triton model `postprocess`: decode the network's probabilities to ENTITIES."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mqspn_backend.decoding import decode
from mqspn_backend.entities import answer_json, error_json, post_entities
from mqspn_backend.models.responses import bytes_tensor, failure, input_array, respond
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.tensors import MODELS

__all__ = ["TritonPythonModel"]

Array = npt.NDArray[Any]


class TritonPythonModel:
    """Decodes requests to ENTITIES, with the settings of `serving.json` beside its `model.py`."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        self.settings = ServingSettings.from_file(folder / "serving.json")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        responses = []
        for request in requests:
            try:
                response = respond(request, {"ENTITIES": bytes_tensor(self._answers(request))})
            except Exception as error:
                response = failure(error, "postprocess")
            responses.append(response)
        return responses

    def _answers(self, request: Any) -> list[bytes]:
        """Decode one request to its B answers, as JSON."""
        inputs: dict[str, Array] = {}
        for name in MODELS["postprocess"].inputs:
            array = input_array(request, name)
            if array is None:
                raise ValueError(f"input {name} was not sent")
            inputs[name] = array
        predictions = decode(
            inputs["TYPE_PROBS"],
            inputs["START_PROBS"],
            inputs["END_PROBS"],
            inputs["REGION_PROBS"],
            inputs["WORD_STARTS"],
            inputs["WORD_ENDS"],
            inputs["REGION_BOXES"],
            inputs["REGION_SCORES"],
            self.settings.decoding,
        )
        texts: list[bytes] = inputs["TEXT"].ravel().tolist()
        errors: list[bytes] = inputs["POST_ERROR"].ravel().tolist()
        truncated = inputs["TRUNCATED"].astype(np.bool_).ravel().tolist()
        answers = []
        for b, (text, error) in enumerate(zip(texts, errors, strict=True)):
            if error:
                answer = error_json(**json.loads(error))
            else:
                width, height = inputs["IMAGE_SIZE"][b].tolist()
                entities = post_entities(
                    predictions[b],
                    text.decode("utf-8"),
                    inputs["OFFSETS"][b],
                    (width, height),
                    self.settings.types,
                )
                answer = answer_json(
                    entities,
                    model_version=self.settings.model_version,
                    truncated=truncated[b],
                )
            answers.append(answer.encode())
        return answers
