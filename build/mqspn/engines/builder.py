"""One builder over two Python modules: TensorRT for servers, TensorRT-RTX for RTX cards.

Both have the same classes. What differs is handled here: TensorRT needs a GPU and makes a plan for
that GPU; TensorRT-RTX compiles without one, for every GPU that it knows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mqspn.engines.build_progress import Progress, progress_monitor, signals_held
from mqspn.engines.choices import Flavour
from mqspn.engines.errors import BuilderMissingError, CompileSettingsError, GraphError
from mqspn.files.replace import replacing
from mqspn.repository.errors import ShapeProfileError
from mqspn.repository.graph_check import find_mismatches
from mqspn.repository.shape_profiles import ShapeRange

__all__ = ["FLAVOURS", "EngineBuilder", "Flavour"]

_log = logging.getLogger(__name__)

#: The module of each flavour.
FLAVOURS: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
#: The oldest version whose strongly typed networks are what is used here.
_OLDEST = {"tensorrt": (10, 12), "tensorrt-rtx": (1, 2)}


class EngineBuilder:
    """The builder of one flavour.

    ``flags`` names the builder flags that every engine is made with: TF32 is off, so that what is
    FP32 in the graph is FP32 on the GPU. ``version`` is the module's, as in "10.12.0.36".
    ``timing_cache``: a file that keeps what TensorRT timed, read and written; absent at first. One
    of another TensorRT or another kind of GPU is begun anew.

    Raises BuilderMissingError where the module is missing, does not load or is too old,
    CompileSettingsError for a timing cache of TensorRT-RTX.
    """

    def __init__(self, flavour: Flavour, timing_cache: Path | None = None) -> None:
        if timing_cache is not None and flavour == "tensorrt-rtx":
            raise CompileSettingsError(
                "TensorRT-RTX times nothing while it compiles: name no timing cache"
            )
        self.flavour: Flavour = flavour
        self.timing_cache = timing_cache
        try:
            self._trt: Any = import_module(FLAVOURS[flavour])
        except (ImportError, OSError) as error:
            raise BuilderMissingError(
                f"--engine {flavour} needs its Python package ({error}); "
                f"pip install 'mqspn-triton[{flavour}]'"
                + (", or run in NVIDIA's Triton container" if flavour == "tensorrt" else "")
            ) from error
        self.version: str = self._trt.__version__
        oldest = _OLDEST[flavour]
        if tuple(int(part) for part in self.version.split(".")[:2]) < oldest:
            raise BuilderMissingError(
                f"{flavour} {self.version} is here, {oldest[0]}.{oldest[1]} or later is needed; "
                f"pip install --upgrade 'mqspn-triton[{flavour}]'"
            )
        self._logger = _logger(self._trt)
        try:
            self._builder = self._trt.Builder(self._logger)
        except TypeError as error:  # what a failed constructor becomes in the bindings
            raise BuilderMissingError(
                f"{flavour} {self.version} does not start: {self._why()}; compile on a machine "
                "with an NVIDIA GPU and its driver"
            ) from error

    @property
    def runs_here(self) -> bool:
        """Whether a plan runs on the GPU it is made on: TensorRT-RTX makes plans without one."""
        return self.flavour == "tensorrt"

    @property
    def flags(self) -> tuple[str, ...]:
        config = self._config()
        members = self._trt.BuilderFlag.__members__
        return tuple(sorted(name for name, flag in members.items() if config.get_flag(flag)))

    def build(
        self,
        model: str,
        graph: Path,
        profile: Mapping[str, ShapeRange],
        *,
        progress: Progress | None = None,
    ) -> bytes:
        """Build the plan of the ONNX ``graph`` of engine ``model`` for shape profile ``profile``.

        A Ctrl-C or a SIGTERM has its effect at the builder's next step.

        Raises GraphError for a graph that cannot be built or whose inputs and outputs are
        not the model's, ShapeProfileError for an open axis that ``profile`` gives no range.
        """
        with signals_held() as signals:
            self._logger.lines.clear()
            network = self._read_graph(model, graph)
            config = self._config()
            config.add_optimization_profile(self._profile(model, network, profile))
            if self.timing_cache is not None:
                self._load_timings(config, self.timing_cache)
            monitor = progress_monitor(self._trt, progress, signals)
            config.progress_monitor = monitor
            # A signal that came while the graph was read ends the build at its first step.
            plan = self._builder.build_serialized_network(network, config)
            if monitor.stopped is not None:
                raise monitor.stopped
            if plan is None:
                raise GraphError(
                    f"{self.flavour} {self.version} does not build {graph}: {self._why()}"
                )
            if self.timing_cache is not None:
                with replacing(self.timing_cache, shared=True) as file:
                    file.write(bytes(config.get_timing_cache().serialize()))
            return bytes(plan)

    def _read_graph(self, model: str, graph: Path) -> Any:
        network = self._builder.create_network(self._network_flags())
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(graph)):
            raise GraphError(
                f"{self.flavour} {self.version} does not read {graph}: {_parse_errors(parser)}; "
                "export the checkpoint again with `mqspn build`, or change the network"
            )
        self._check_tensors(model, graph, network)
        return network

    def _load_timings(self, config: Any, timing_cache: Path) -> None:
        data = timing_cache.read_bytes() if timing_cache.is_file() else b""
        for content in (data, b""):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
                return
            if content:
                _log.warning(
                    "the timing cache %s is not one of %s %s on this GPU: a new one is begun",
                    *(timing_cache, self.flavour, self.version),
                )
        raise GraphError(f"{self.flavour} {self.version} takes no timing cache: {self._why()}")

    def _network_flags(self) -> int:
        # From TensorRT 11 on every network is strongly typed and the flag may go.
        flag = getattr(self._trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        return 0 if flag is None else 1 << int(flag)

    def _config(self) -> Any:
        config = self._builder.create_builder_config()
        config.clear_flag(self._trt.BuilderFlag.TF32)
        return config

    def _check_tensors(self, model: str, graph: Path, network: Any) -> None:
        """Names and types are those that the model configuration tells Triton."""
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        outputs = [network.get_output(i) for i in range(network.num_outputs)]
        wrong = find_mismatches(
            model,
            {item.name: item.dtype.name for item in inputs},
            {item.name: item.dtype.name for item in outputs},
        )
        if wrong:
            raise GraphError(
                f"{graph} is not the graph of {model}: {'; '.join(wrong)}; make the model "
                "repository again with `mqspn build`"
            )

    def _profile(self, model: str, network: Any, profile: Mapping[str, ShapeRange]) -> Any:
        made = self._builder.create_optimization_profile()
        for i in range(network.num_inputs):
            item = network.get_input(i)
            dims = tuple(item.shape)
            if item.name not in profile:
                raise ShapeProfileError(
                    f"{model}: input {item.name} {dims} has no optimisation profile; give the "
                    "smallest, best and largest shape that serving sends"
                )
            shapes = profile[item.name]
            for shape in (shapes.min, shapes.opt, shapes.max):
                if len(shape) != len(dims) or any(
                    d not in (-1, s) for d, s in zip(dims, shape, strict=True)
                ):
                    raise ShapeProfileError(
                        f"{model}: the profile's {shape} does not fit input {item.name}, which is "
                        f"{dims} (-1: open); make the model repository again with `mqspn build`"
                    )
            made.set_shape(item.name, shapes.min, shapes.opt, shapes.max)
        return made

    def _why(self) -> str:
        return "; ".join(self._logger.lines[-3:]) or "it gives no reason"


def _parse_errors(parser: Any) -> str:
    """The nodes that the parser stumbled over, each with its operator."""
    parts = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = f"operator {error.node_operator()} (node {error.node_name() or error.node()})"
        parts.append(f"{where}: {error.desc()}" if error.desc() != "false" else where)
    return "; ".join(parts) or "the file is not an ONNX graph"


def _logger(trt: Any) -> Any:
    class Lines(trt.ILogger):  # type: ignore[misc]
        """Keeps errors for the message of what fails; says nothing by itself."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.lines.append(" ".join(message.split()))

    return Lines()
