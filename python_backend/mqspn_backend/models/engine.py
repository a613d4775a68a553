"""Triton model of one ONNX graph: `text_encoder`, `region_proposer` and so on, CPU profile."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mqspn_backend.engine import OnnxEngine
from mqspn_backend.models.responses import cancelled, failure, input_array, respond

__all__ = ["TritonPythonModel"]

Array = npt.NDArray[Any]


class TritonPythonModel:
    """Runs `model.onnx` beside its `model.py`; input and output names come from its configuration.

    The model's parameter `threads` is the number of threads in an operator. Requests of one batch
    run together where their shapes agree; where a joint run fails, each runs alone, so that one
    bad request costs its neighbours nothing.
    """

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        threads = int(config.get("parameters", {}).get("threads", {}).get("string_value", "1"))
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.name = args["model_name"]
        self.engine = OnnxEngine(path, threads=threads)
        self.inputs = [i["name"] for i in config["input"]]
        self.outputs = [o["name"] for o in config["output"]]
        for graph, configured, kind in (
            (self.engine.inputs, self.inputs, "input"),
            (self.outputs, self.engine.outputs, "output"),
        ):
            missing = sorted(set(graph) - set(configured))
            if missing:
                raise ValueError(
                    f"{self.name}: its configuration and {path} disagree about {kind} "
                    f"{', '.join(missing)}; build the model repository again"
                )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        responses: list[Any] = [cancelled(request) for request in requests]
        feeds: dict[int, dict[str, Array]] = {}
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i, request in enumerate(requests):
            if responses[i] is None:
                try:
                    feeds[i] = self._feeds(request)
                    groups[tuple(a.shape[1:] for a in feeds[i].values())].append(i)
                except Exception as error:
                    responses[i] = failure(error, self.name)
        for members in groups.values():
            for i, answer in self._run(members, feeds).items():
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    responses[i] = respond(requests[i], answer)
                except Exception as error:
                    responses[i] = failure(error, self.name)
        return responses

    def _feeds(self, request: Any) -> dict[str, Array]:
        feeds = {}
        for name in self.inputs:
            array = input_array(request, name)
            if array is None:
                raise ValueError(f"input {name} was not sent")
            feeds[name] = array
        return feeds

    def _run(
        self, members: list[int], feeds: dict[int, dict[str, Array]]
    ) -> dict[int, dict[str, Array] | Exception]:
        """Run requests of one shape together; their outputs or errors by request."""
        try:
            if len(members) == 1:
                return {members[0]: self.engine.run(feeds[members[0]], self.outputs)}
            joint = {n: np.concatenate([feeds[i][n] for i in members]) for n in self.inputs}
            results = self.engine.run(joint, self.outputs)
            counts = [len(feeds[i][self.inputs[0]]) for i in members]
            bounds = np.cumsum(counts)[:-1]
            parts = {name: np.split(array, bounds) for name, array in results.items()}
            return {i: {n: parts[n][k] for n in self.outputs} for k, i in enumerate(members)}
        except Exception as error:
            if len(members) == 1:
                return {members[0]: error}
            alone: dict[int, dict[str, Array] | Exception] = {}
            for i in members:
                alone |= self._run([i], feeds)
            return alone
