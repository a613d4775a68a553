"""The Triton model `preprocess`: turn TEXT, IMAGE and REGIONS into the engines' tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from mqspn_backend.errors import CODES, PostError
from mqspn_backend.image import read_image
from mqspn_backend.models.responses import bytes_tensor, cancelled, failure, input_array, respond
from mqspn_backend.regions import read_regions
from mqspn_backend.resources import thread_count
from mqspn_backend.serving_settings import ServingSettings
from mqspn_backend.text import TextTokenizer, decode_utf8, pad_together

__all__ = ["TritonPythonModel"]

Array = npt.NDArray[Any]
#: Pixels and upright (width, height) of one image, being decoded.
Image = Future[tuple[npt.NDArray[np.uint8], tuple[int, int]]]


class TritonPythonModel:
    """Prepares requests, with `serving.json` and `tokenizer.json` beside its `model.py`.

    The model's parameter `threads` is the number of images decoded at once (0: as many as the cores
    this process may use). Where `pad_together` is "true", the requests of one batch get the token
    length L of the longest of them, so that they stay together in the steps that follow. A request
    of one post that can't be read fails with INVALID_ARG; in a request of many the post gets
    neutral tensors and its error in POST_ERROR.
    """

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        parameters = config.get("parameters", {})
        dims = {output["name"]: output["dims"] for output in config["output"]}
        # Only the configuration knows D; None: the repository is of an earlier version.
        self.states_dims = dims.get("REGION_STATES")
        threads = thread_count(parameters.get("threads", {}).get("string_value", "1"))
        together = parameters.get("pad_together", {}).get("string_value", "false")
        self.pads_together = together == "true"
        self.settings = ServingSettings.from_file(folder / "serving.json")
        self.tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", self.settings.buckets)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="image")
        family = pb_utils.MetricFamily(
            name="mqspn_post_errors_total",
            description="Posts that could not be read, by error code",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self.metric_family = family  # its metrics live as long as it does
        self.post_errors = {code: family.Metric(labels={"code": code}) for code in CODES}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        responses = [cancelled(request) for request in requests]
        waiting = [i for i, response in enumerate(responses) if response is None]
        # Every image is handed to the pool before the first text is tokenised.
        started = {i: self._start(requests[i]) for i in waiting}
        made: dict[int, dict[str, Array]] = {}
        for i, images in started.items():
            try:
                if isinstance(images, Exception):
                    raise images
                made[i] = self._tensors(requests[i], images)
            except Exception as error:
                responses[i] = failure(error, "preprocess")
            for image in images if isinstance(images, list) else []:
                image.cancel()
        if self.pads_together:
            pad_together(list(made.values()), self.tokenizer.pad_id)
        for i, values in made.items():
            try:
                responses[i] = respond(requests[i], values)
            except Exception as error:
                responses[i] = failure(error, "preprocess")
        return responses

    def finalize(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def _start(self, request: Any) -> list[Image] | Exception | None:
        """Begin to decode the request's images; None where it has no input for them."""
        try:
            encoded = input_array(request, "IMAGE")
            if encoded is None:
                return None
            return [self.pool.submit(self._read_image, data) for data in encoded.ravel().tolist()]
        except Exception as error:
            return error

    def _read_image(self, data: bytes) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
        settings = self.settings
        return read_image(
            data,
            settings.image_side,
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
        )

    def _tensors(self, request: Any, images: list[Image] | None) -> dict[str, Array]:
        """The output arrays of one request; raises the PostError of a request of one post."""
        wanted = set(request.requested_output_names())
        encoded = input_array(request, "TEXT")
        assert encoded is not None, "TEXT is a required input"
        posts: list[bytes] = encoded.ravel().tolist()
        regions = input_array(request, "REGIONS")
        B, S, K = len(posts), self.settings.image_side, self.settings.regions
        texts = [""] * B
        errors = [b""] * B
        made = {
            "IMAGE_SIZE": np.zeros((B, 2), np.int32),
            "REGION_BOXES": np.zeros((B, K, 4), np.float32),
            "REGION_SCORES": np.zeros((B, K), np.float32),
        }
        if images is not None or "PIXELS" in wanted:
            made["PIXELS"] = np.zeros((B, 3, S, S), np.uint8)
        if "REGION_STATES" in wanted and self.states_dims:  # a post without image has none
            made["REGION_STATES"] = np.zeros((B, *map(int, self.states_dims)), np.float32)
        for b, post in enumerate(posts):
            try:
                text = decode_utf8(post)
                size = (0, 0)
                if images is not None:
                    square, size = images[b].result()
                if regions is not None:
                    made["REGION_BOXES"][b], made["REGION_SCORES"][b] = read_regions(
                        regions[b], size, K
                    )
            except PostError as error:
                self.post_errors[error.code].increment(1)
                if B == 1:
                    raise
                errors[b] = error.to_json().encode()
            else:
                texts[b] = text
                if images is not None:
                    made["PIXELS"][b], made["IMAGE_SIZE"][b] = square, size
        batch = self.tokenizer.encode(texts)
        return {
            "INPUT_IDS": batch.input_ids,
            "ATTENTION_MASK": batch.attention_mask,
            "WORD_STARTS": batch.word_starts,
            "WORD_ENDS": batch.word_ends,
            "OFFSETS": batch.offsets,
            "TRUNCATED": batch.truncated[:, None],
            "POST_ERROR": bytes_tensor(errors),
            **made,
        }
