"""The Triton model that runs one ONNX graph: `text_encoder`, `region_proposer` and so on.

Under serving profile cpu it moves arrays. Where the configuration names an execution provider,
tensors stay where they lie and go from engine to engine by DLPack.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mqspn_backend.caching_engine import CachingEngine
from mqspn_backend.device_engine import DeviceEngine, from_dlpack, to_dlpack
from mqspn_backend.engine import OnnxEngine
from mqspn_backend.models.cache_metrics import CacheMetrics
from mqspn_backend.models.responses import (
    cancelled,
    failure,
    input_array,
    input_dlpack,
    respond,
)
from mqspn_backend.providers import Provider
from mqspn_backend.resources import cache_bytes, thread_count

__all__ = ["TritonPythonModel"]

#: An array, or ONNX Runtime's `OrtValue` where there is a provider.
Value = Any


class TritonPythonModel:
    """Runs `model.onnx` beside its `model.py`; input and output names come from its configuration.

    The model's parameters: `threads`, the number of threads in an operator (0: as many as the cores
    this process may use); `provider` ("cuda", "tensorrt" or "cpu"; absent: arrays on the CPU) on
    the GPU that Triton gives the instance; `fp16` and `trt_profile_*_shapes` of TensorRT;
    `cache_percent`, without a provider: this model's share of the memory for results of rows seen
    before (MQSPN_CACHE_MB in the environment; see `mqspn_backend.caching_engine`);
    `host_outputs`, the outputs, divided by commas, that no engine reads and that therefore leave
    the GPU here.

    Requests of one batch run together where their shapes agree; where a joint run fails, each runs
    alone, so that one bad request costs its neighbours nothing.
    """

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.name = args["model_name"]
        device_id = int(args.get("model_instance_device_id", "0"))
        self.engine = _engine(path, _parameters(config), device_id, self.name)
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
        feeds: dict[int, dict[str, Value]] = {}
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i, request in enumerate(requests):
            if responses[i] is None:
                try:
                    feeds[i] = self._feeds(request)
                    groups[tuple(self.engine.shape(v)[1:] for v in feeds[i].values())].append(i)
                except Exception as error:
                    responses[i] = failure(error, self.name)
        for members in groups.values():
            for i, answer in self._run(members, feeds).items():
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    if isinstance(self.engine, DeviceEngine):
                        answer = {name: to_dlpack(value) for name, value in answer.items()}
                    responses[i] = respond(requests[i], answer)
                except Exception as error:
                    responses[i] = failure(error, self.name)
        return responses

    def _feeds(self, request: Any) -> dict[str, Value]:
        on_device = isinstance(self.engine, DeviceEngine)
        feeds = {}
        for name in self.inputs:
            value = input_dlpack(request, name) if on_device else input_array(request, name)
            if value is None:
                raise ValueError(f"input {name} was not sent")
            feeds[name] = from_dlpack(value) if on_device else value
        return feeds

    def _run(
        self, members: list[int], feeds: dict[int, dict[str, Value]]
    ) -> dict[int, dict[str, Value] | Exception]:
        """Run requests of one shape together; their outputs or errors by request."""
        engine = self.engine
        try:
            if len(members) == 1:
                return {members[0]: engine.run(feeds[members[0]], self.outputs)}
            joint = {n: engine.join([feeds[i][n] for i in members]) for n in self.inputs}
            results = engine.run(joint, self.outputs)
            counts = [engine.shape(feeds[i][self.inputs[0]])[0] for i in members]
            parts = {name: engine.split(value, counts) for name, value in results.items()}
            return {i: {n: parts[n][k] for n in self.outputs} for k, i in enumerate(members)}
        except Exception as error:
            if len(members) == 1:
                return {members[0]: error}
            alone: dict[int, dict[str, Value] | Exception] = {}
            for i in members:
                alone |= self._run([i], feeds)
            return alone


def _parameters(config: Mapping[str, Any]) -> dict[str, str]:
    parameters = config.get("parameters", {})
    return {name: value["string_value"] for name, value in parameters.items()}


def _engine(
    path: Path, parameters: Mapping[str, str], device_id: int, name: str
) -> OnnxEngine | DeviceEngine:
    threads = thread_count(parameters.get("threads", "1"))
    if "provider" not in parameters:
        if max_bytes := cache_bytes(parameters.get("cache_percent", "0")):
            report = CacheMetrics(name).count
            return CachingEngine(path, threads=threads, max_bytes=max_bytes, report=report)
        return OnnxEngine(path, threads=threads)
    provider = Provider(
        name=parameters["provider"],
        device_id=device_id,
        fp16=parameters.get("fp16") == "true",
        profile={k: v for k, v in parameters.items() if k.startswith("trt_profile_")},
    )
    host_outputs = [name for name in parameters.get("host_outputs", "").split(",") if name]
    return DeviceEngine(path, threads=threads, provider=provider, host_outputs=host_outputs)
