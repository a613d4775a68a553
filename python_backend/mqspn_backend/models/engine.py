"""The Triton model that runs one ONNX graph: `text_encoder`, `region_proposer` and so on.

Under serving profile cpu it moves arrays. Where the configuration names an execution provider,
tensors stay where they lie and go from engine to engine by DLPack. Rows and regions that hold
nothing are left out of what the graph runs on (`mqspn_backend.selection`).
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
from mqspn_backend.models.counters import Counters
from mqspn_backend.models.responses import failure, input_array, input_dlpack, respond
from mqspn_backend.providers import Provider
from mqspn_backend.resources import cache_bytes, thread_count
from mqspn_backend.selection import Selection, select
from mqspn_backend.tensors import tensor

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
    `host_outputs`, the outputs, divided by commas, that no engine reads on the GPU and that
    therefore leave it here; `rows_with`, the input without whose numbers above 0 a post is left
    out; `regions_with`, the input that says which of the K regions are real, so that the others are
    cut off. Either input may be one that the graph does not have; where it is not sent, nothing is
    left out.

    Requests of one batch run together where their shapes agree; where a joint run fails, each runs
    alone, so that one bad request costs its neighbours nothing. The metric
    `mqspn_engine_posts_total` counts the posts that the graph ran on.
    """

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.name = args["model_name"]
        device_id = int(args.get("model_instance_device_id", "0"))
        parameters = _parameters(config)
        self.counters = Counters()
        self.engine = _engine(path, parameters, device_id, self.counters, self.name)
        self.inputs = [i["name"] for i in config["input"]]
        self.optional = {i["name"] for i in config["input"] if i.get("optional")}
        self.outputs = [o["name"] for o in config["output"]]
        self.dims = {o["name"]: list(map(int, o["dims"])) for o in config["output"]}
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
        self.rows_with = parameters.get("rows_with")
        self.regions_with = parameters.get("regions_with")
        self.cut = {n for n in self.engine.inputs if self.regions_with and "K" in tensor(n).axes}
        if not all(self.engine.is_open(name, 1) for name in self.cut):
            self.regions_with = None  # a graph of an earlier export takes exactly K
        self.posts_run = self.counters.counter(
            "mqspn_engine_posts_total",
            "Posts that an engine ran on, not those left out or remembered",
            model=self.name,
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        responses: list[Any] = [None] * len(requests)
        feeds: dict[int, dict[str, Value]] = {}
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i, request in enumerate(requests):
            try:
                feeds[i] = self._feeds(request)
                shapes = {n: self.engine.shape(v)[1:] for n, v in feeds[i].items()}
                groups[tuple(shapes.items())].append(i)
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

    def finalize(self) -> None:
        self.counters.close()

    def _feeds(self, request: Any) -> dict[str, Value]:
        on_device = isinstance(self.engine, DeviceEngine)
        feeds = {}
        for name in self.inputs:
            value = input_dlpack(request, name) if on_device else input_array(request, name)
            if value is None and name in self.optional:
                continue
            if value is None:
                raise ValueError(f"input {name} was not sent")
            feeds[name] = from_dlpack(value) if on_device else value
        return feeds

    def _run(
        self, members: list[int], feeds: dict[int, dict[str, Value]]
    ) -> dict[int, dict[str, Value] | Exception]:
        """Run requests of one shape together; their outputs or errors by request."""
        try:
            outputs = self._run_jointly([feeds[i] for i in members])
            return dict(zip(members, outputs, strict=True))
        except Exception as error:
            if len(members) == 1:
                return {members[0]: error}
            alone: dict[int, dict[str, Value] | Exception] = {}
            for i in members:
                alone |= self._run([i], feeds)
            return alone

    def _run_jointly(self, feeds: Sequence[Mapping[str, Value]]) -> list[dict[str, Value]]:
        """Run what is not empty of requests of one shape; the outputs of each."""
        engine = self.engine
        counts = [engine.shape(feed[engine.inputs[0]])[0] for feed in feeds]
        chosen = select(
            counts, self._arrays(feeds, self.rows_with), self._arrays(feeds, self.regions_with)
        )
        if not chosen.posts:
            return [
                {name: engine.zeros((count, *self.dims[name])) for name in self.outputs}
                for count in counts
            ]
        joint = {
            name: engine.gather(
                [feed[name] for feed in feeds],
                chosen.rows,
                chosen.regions if name in self.cut else None,
            )
            for name in engine.inputs
        }
        run_before = engine.rows_run
        results = engine.run(joint, self.outputs)
        self.posts_run.add(engine.rows_run - run_before)
        parts = {name: self._parts(name, v, counts, chosen) for name, v in results.items()}
        return [{name: parts[name][i] for name in self.outputs} for i in range(len(feeds))]

    def _arrays(self, feeds: Sequence[Mapping[str, Value]], name: str | None) -> list[Any] | None:
        """The numbers of input ``name`` of each request; None where it was not sent."""
        if name is None or name not in feeds[0]:
            return None
        return [self.engine.array(feed[name]) for feed in feeds]

    def _parts(
        self, name: str, value: Value, counts: Sequence[int], chosen: Selection
    ) -> list[Value]:
        """Output ``name`` of each request, with zeros for what was left out."""
        sizes = self.engine.shape(value)[1:]
        if chosen.regions is not None:
            configured = zip(sizes, self.dims[name], strict=True)
            sizes = tuple(found if size < 0 else size for found, size in configured)
        return self.engine.scatter(value, chosen.rows, [(count, *sizes) for count in counts])


def _parameters(config: Mapping[str, Any]) -> dict[str, str]:
    parameters = config.get("parameters", {})
    return {name: value["string_value"] for name, value in parameters.items()}


def _engine(
    path: Path, parameters: Mapping[str, str], device_id: int, counters: Counters, name: str
) -> OnnxEngine | DeviceEngine:
    threads = thread_count(parameters.get("threads", "1"))
    if "provider" not in parameters:
        if max_bytes := cache_bytes(parameters.get("cache_percent", "0")):
            hits = counters.counter(
                "mqspn_cache_hits_total",
                "Posts whose picture was seen before, by model",
                model=name,
            )
            misses = counters.counter(
                "mqspn_cache_misses_total", "Posts whose picture was new, by model", model=name
            )

            def report(known: int, new: int) -> None:
                hits.add(known)
                misses.add(new)

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
