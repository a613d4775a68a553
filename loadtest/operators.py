"""Time each operator of a model repository's graphs, beside the least time that it could take.

    python loadtest/operators.py --repository model_repository --threads 1

Runs every `model.onnx` under ONNX Runtime's profiler on random inputs, after its own optimisations.
An operator's floor is the larger of two times: its operations at the rate of one big matrix product
here, and the bytes of its inputs and outputs at the rate of copying memory here. What stays in a
cache can be faster than the second. Prints a Markdown table a graph.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import typer
from machine import describe_machine
from mqspn_backend.engine import session_options
from numpy.typing import NDArray
from onnx import TensorProto, helper, save
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

__all__ = [
    "Machine",
    "Node",
    "app",
    "count_flops",
    "measure_machine",
    "profile_graph",
    "random_input",
    "table",
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "Gemm"})
_CPU = ["CPUExecutionProvider"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine reaches: ``flops`` and ``bytes`` a second."""

    flops: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of a graph: the median ``ms`` of its runs, its operations and its bytes."""

    operator: str
    name: str
    ms: float
    flops: float
    bytes: float

    def floor_ms(self, machine: Machine) -> float:
        return 1e3 * max(self.flops / machine.flops, self.bytes / machine.bytes)


def count_flops(operator: str, inputs: Sequence[list[int]], outputs: Sequence[list[int]]) -> float:
    """Count multiplications and additions from the shapes; one an output element for the rest."""
    elements = float(sum(math.prod(shape) for shape in outputs))
    if operator == "Conv" and len(inputs) > 1:
        return 2.0 * elements * math.prod(inputs[1][1:])
    if operator in _PRODUCTS:
        return 2.0 * elements * _summed(inputs, outputs[0])
    return elements


def _summed(inputs: Sequence[list[int]], output: list[int]) -> int:
    """Length of the axis that a matrix product sums over, either side transposed or not.

    Weights that ONNX Runtime packed when it loaded the graph are not among ``inputs``.
    """
    left = inputs[0]
    if len(left) == 1 or left[-1] not in output[-2:]:
        return left[-1]
    if left[-2] not in output[-2:]:
        return left[-2]
    return left[-1] if left[-2] == output[-2] else left[-2]


def measure_machine(threads: int, *, side: int = 512, megabytes: int = 128) -> Machine:
    """Time one big matrix product in ONNX Runtime, and one copy of memory; the best of 30 each."""
    with tempfile.TemporaryDirectory(prefix="mqspn-operators-") as folder:
        path = Path(folder) / "product.onnx"
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in "abc"
        ]
        node = helper.make_node("MatMul", ["a", "b"], ["c"])
        graph = helper.make_graph([node], "product", values[:2], values[2:])
        opset = helper.make_opsetid("", 17)
        save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
        session = ort.InferenceSession(str(path), session_options(path, threads), providers=_CPU)
        square = np.ones((side, side), np.float32)
        product = min(_timed(lambda: session.run(None, {"a": square, "b": square})))
    source = np.ones(megabytes * 2**18, np.float32)
    target = np.empty_like(source)
    copy = min(_timed(lambda: np.copyto(target, source)))
    return Machine(flops=2.0 * side**3 / product, bytes=2.0 * source.nbytes / copy)


def _timed(call: Any) -> Iterator[float]:
    call()
    for _ in range(30):
        start = time.perf_counter()
        call()
        yield time.perf_counter() - start


def profile_graph(
    path: Path, *, threads: int, runs: int, axes: dict[str, int]
) -> tuple[list[Node], float]:
    """Profile the graph at ``path``; returns its nodes and the median ms of an unprofiled run.

    ``axes``: sizes of the axes that the graph leaves open, by letter.
    """
    options = session_options(path, threads)
    options.log_severity_level = 4  # what does not run is raised, and said by who catches it
    plain = ort.InferenceSession(str(path), options, providers=_CPU)
    feeds = {value.name: random_input(value, axes) for value in plain.get_inputs()}
    whole = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        plain.run(None, feeds)
        whole.append(1e3 * (time.perf_counter() - start))
    options = session_options(path, threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="mqspn-operators-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=_CPU)
        for _ in range(runs + 2):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return list(_nodes(events)), statistics.median(whole[2:])


def random_input(value: Any, axes: dict[str, int]) -> NDArray[Any]:
    """Draw the input that ``value`` of ONNX Runtime describes; ``axes`` as in `profile_graph`."""
    shape = [size if isinstance(size, int) else axes[size] for size in value.shape]
    random = np.random.default_rng(0)
    if value.name == "REGION_BOXES":
        corners = np.sort(random.random((*shape[:2], 2, 2), dtype=np.float32), axis=2)
        return corners.reshape(shape)
    if value.type == "tensor(uint8)":
        return random.integers(0, 256, shape).astype(np.uint8)
    if value.type == "tensor(int32)":
        return np.ones(shape, np.int32)
    return random.random(shape, dtype=np.float32)


def _nodes(events: Sequence[dict[str, Any]]) -> Iterator[Node]:
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"].removesuffix("_kernel_time")].append(event)
    for name, found in runs.items():
        details = found[-1]["args"]
        inputs = [shape for part in details["input_type_shape"] for shape in part.values()]
        outputs = [shape for part in details["output_type_shape"] for shape in part.values()]
        operator = details["op_name"]
        sizes = [
            _BYTES.get(kind, 4) * math.prod(shape)
            for part in (*details["input_type_shape"], *details["output_type_shape"])
            for kind, shape in part.items()
        ]
        read = float(sum(sizes))
        if operator in _PRODUCTS and len(inputs) == 1:  # the packed weights
            read += 4.0 * _summed(inputs, outputs[0]) * outputs[0][-1]
        if operator == "Gather" and outputs:  # it reads the rows that it writes, and its indices
            read = 2.0 * sizes[-1] + sum(sizes[1:-1])
        yield Node(
            operator=operator,
            name=name,
            ms=statistics.median(event["dur"] for event in found[2:] or found) / 1e3,
            flops=count_flops(operator, inputs, outputs),
            # A reshape moves nothing.
            bytes=0.0 if operator in ("Reshape", "Unsqueeze", "Squeeze", "Shape") else read,
        )


_BYTES = {"uint8": 1, "int8": 1, "bool": 1, "int64": 8, "double": 8, "float16": 2}


def table(nodes: Sequence[Node], machine: Machine, *, rows: int = 10) -> str:
    """Write a Markdown table of the operators, the longest first, the rest in one row."""
    groups: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[node.operator].append(node)
    ordered = sorted(groups.items(), key=lambda item: -sum(node.ms for node in item[1]))
    rest = [node for _, group in ordered[rows:] for node in group]
    shown = [*ordered[:rows], *([("the rest", rest)] if rest else [])]
    lines = [
        "| operator | nodes | ms | floor, ms | times its floor | furthest above it |",
        "|---|---|---|---|---|---|",
        *(_row(name, group, machine) for name, group in (*shown, ("all", list(nodes)))),
    ]
    return "\n".join(lines)


def _row(name: str, nodes: Sequence[Node], machine: Machine) -> str:
    ms = sum(node.ms for node in nodes)
    floor = sum(node.floor_ms(machine) for node in nodes)
    worst = max(nodes, key=lambda node: node.ms - node.floor_ms(machine))
    ratio = f"{ms / floor:.1f}" if floor > 5e-4 else "-"
    where = f"`{worst.name}` {worst.ms:.3f} of {worst.floor_ms(machine):.3f}"
    return f"| {name} | {len(nodes)} | {ms:.3f} | {floor:.3f} | {ratio} | {where} |"


@app.command()
def operators(
    repository: Annotated[Path, typer.Option(help="The model repository.")] = Path(
        "model_repository"
    ),
    graph: Annotated[list[str] | None, typer.Option(help="Only these; default: all four.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads in an operator.")] = 1,
    runs: Annotated[int, typer.Option(min=3, help="Runs of each graph.")] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Posts.")] = 1,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of a post.")] = 32,
    regions: Annotated[int, typer.Option(min=1, help="Regions, where the graph leaves it.")] = 16,
) -> None:
    """Print how far each operator of the graphs is from its floor."""
    paths = {path.parts[-3]: path for path in sorted(repository.glob("*/1/model.onnx"))}
    if not paths:
        raise typer.BadParameter(f"{repository} holds no graphs; make it with `mqspn build`")
    unknown = sorted(set(graph or ()) - set(paths))
    if unknown:
        raise typer.BadParameter(f"there is no graph {unknown[0]!r}; there are {', '.join(paths)}")
    machine = measure_machine(threads)
    about = describe_machine()
    typer.echo(
        f"{about['processor']}, {threads} of {about['cores']} cores: "
        f"{machine.flops / 1e9:.0f} GFLOP/s, {machine.bytes / 1e9:.1f} GB/s\n"
    )
    axes = {"B": batch, "L": tokens, "K": regions}
    for name in graph or paths:
        try:
            nodes, whole = profile_graph(paths[name], threads=threads, runs=runs, axes=axes)
        except (Fail, InvalidArgument, RuntimeException) as error:
            typer.echo(
                f"operators: {name} does not run with --batch {batch} --tokens {tokens} --regions "
                f"{regions}; give smaller ones ({str(error).splitlines()[0]})",
                err=True,
            )
            raise typer.Exit(1) from None
        typer.echo(f"{name}: {whole:.2f} ms a run, without the profiler\n")
        typer.echo(table(nodes, machine) + "\n")


if __name__ == "__main__":
    app()
