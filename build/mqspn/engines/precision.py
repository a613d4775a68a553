"""A graph in a lower precision: NVIDIA ModelOpt's AutoCast, with our list of what stays in FP32.

INT8 is FP16 with the operands of matrix products and convolutions quantised.

TensorRT's networks are strongly typed: the precision of an engine is that of its graph. Inputs and
outputs keep their types, so that engines of any precision fit one model configuration.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import onnx
from numpy.typing import NDArray

from mqspn.engines.bf16_emulation import runnable_graph
from mqspn.engines.choices import Precision
from mqspn.engines.errors import BuilderMissingError, PrecisionError
from mqspn.engines.kept_layers import KEPT, KeptLayers, find_nodes
from mqspn.engines.quantisation import Batch, quantise_graph

__all__ = ["PRECISIONS", "ConvertedGraph", "Precision", "convert_graph", "converter_version"]

#: Those that need no posts of the user's.
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
#: Nodes whose inputs or outputs are larger than this on the samples stay in FP32: one unit in the
#: last place of FP16 is 0.5 there.
_DATA_MAX = 512.0


@dataclass(frozen=True, kw_only=True)
class ConvertedGraph:
    """A graph in a lower precision; ``runnable`` is what ONNX Runtime runs of it.

    Names of the nodes that stayed in FP32: ``kept`` by our list, ``left`` by AutoCast itself.
    """

    graph: Path
    runnable: Path
    kept: tuple[str, ...]
    left: tuple[str, ...]


def converter_version() -> str:
    """Name what converts, with its version: part of what a plan was made by.

    Raises BuilderMissingError where it is not here.
    """
    try:
        return f"nvidia-modelopt {version('nvidia-modelopt')}"
    except PackageNotFoundError as error:
        raise _missing("no package nvidia-modelopt") from error


def _missing(what: object) -> BuilderMissingError:
    return BuilderMissingError(
        f"a lower precision needs ModelOpt ({what}); pip install 'mqspn-triton[compile]'"
    )


def convert_graph(
    model: str,
    source: Path,
    target: Path,
    *,
    precision: Precision,
    samples: Mapping[str, NDArray[Any]],
    kept: Sequence[KeptLayers] = KEPT,
    calibration: Sequence[Batch] = (),
) -> ConvertedGraph:
    """Write the FP32 graph ``source`` of engine ``model`` to ``target`` in ``precision``.

    The graph is simplified first (constants folded), which changes its values by rounding only.
    ``samples``: one batch of the graph's inputs, by name; what leaves the type's range on them
    stays in FP32, as do the layers of ``kept``. ``calibration``: the batches that give INT8 its
    scales.

    Raises PrecisionError where the graph cannot be converted or lacks layers that were asked for,
    BuilderMissingError without ModelOpt.
    """
    if precision == "fp32":
        raise ValueError("the exported graph is the FP32 one")
    if (precision == "int8") != bool(calibration):
        raise ValueError("INT8 needs calibration batches, and nothing else has them")
    try:
        import onnxslim
        from modelopt.onnx.autocast import convert_to_mixed_precision
    except ImportError as error:
        raise _missing(error) from error
    simple = target.with_suffix(".simple.onnx")
    try:
        with _quiet():
            graph = cast(onnx.ModelProto, onnxslim.slim(str(source)))
            onnx.save(graph, str(simple))
            if precision == "int8":
                quantise_graph(simple, simple, calibration)
                graph = onnx.load(str(simple))
            nodes = {k: find_nodes(graph.graph, k) for k in kept if k.graph == model}
            names = {name for found in nodes.values() for name in found}
            for layers in (layers for layers, found in nodes.items() if not found):
                raise PrecisionError(_absent(model, layers))
            converted = convert_to_mixed_precision(
                str(simple),
                low_precision_type="fp16" if precision == "int8" else precision,
                nodes_to_exclude=[f"{re.escape(name)}$" for name in sorted(names)],
                data_max=_DATA_MAX,
                keep_io_types=True,
                calibration_data=dict(samples),
                providers=["cpu"],
            )
            onnx.save(converted, str(target))
            single = _single_precision(converted)
    except PrecisionError:
        raise
    except Exception as error:  # ModelOpt's and onnxslim's own have no common, public root
        raise PrecisionError(
            f"{source} does not go to {precision}: {error}; compile with --precision fp32"
        ) from error
    finally:
        simple.unlink(missing_ok=True)
    return ConvertedGraph(
        graph=target,
        runnable=runnable_graph(target, precision),
        kept=tuple(sorted(names)),
        left=tuple(name for name in single if name not in names),
    )


def _absent(model: str, layers: KeptLayers) -> str:
    if layers in KEPT:
        return (
            f"{model} has no {layers.name}, which must stay in FP32; export it again with "
            "`mqspn build`, or compile with --precision fp32"
        )
    return f"{model} has no {layers.name}: drop --keep {model}:{layers.name}"


def _single_precision(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that compute an FP32 tensor, in the graph's order."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    single = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    return [
        node.name
        for node in graph.node
        if node.op_type not in ("Cast", "Constant", "DequantizeLinear")
        and single.intersection(node.output)
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the converters: they name every node that stays as it is."""
    import warnings

    from polygraphy.logger import G_LOGGER

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), G_LOGGER.verbosity(G_LOGGER.CRITICAL):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
