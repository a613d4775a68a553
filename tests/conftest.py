"""A checkpoint's export made by hand, so small that tests build and serve repositories of it.

Its graphs have the right names and shapes and answer by rule: the first word of every post is a PER
entity; its box is the middle quarter of the image, or the caller's first region.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mqspn_backend.serving_settings import ServingSettings

# A shell starts background jobs with SIGINT ignored, and every child would inherit that: the
# tests that press Ctrl-C would test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
#: Seconds for a slow test, in place of the others' `timeout` (pyproject.toml).
SLOW_TIMEOUT_S = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))


def pytest_collection_finish() -> None:
    """What is imported stays: looking through it at every collection would cost minutes in all."""
    gc.freeze()


@dataclass(frozen=True, kw_only=True)
class TinyExport:
    """What `build_repository` takes, but for the output."""

    graphs: Path
    tokenizer: Path
    serving: ServingSettings
    width: int
    queries: int
    max_batch_size: int


@pytest.fixture(scope="session")
def tiny_export(tmp_path_factory: pytest.TempPathFactory) -> TinyExport:
    """Q = 2 queries, T = 2 types, K = 3 regions, D = 4, S = 16 pixels, buckets of 8 and 16."""
    folder = tmp_path_factory.mktemp("tiny_export")
    export = TinyExport(
        graphs=folder,
        tokenizer=folder / "tokenizer.json",
        serving=ServingSettings(
            model_version="tiny", types=("PER", "LOC"), image_side=16, regions=3, buckets=(8, 16)
        ),
        width=4,
        queries=2,
        max_batch_size=4,
    )
    _write_tokenizer(export.tokenizer)
    _write_graphs(export)
    return export


def _write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    tokenizer = Tokenizer(models.WordLevel(vocab=special, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


def _write_graphs(export: TinyExport) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    Q, T, D = export.queries, len(export.serving.types), export.width
    K, S = export.serving.regions, export.serving.image_side

    def write(
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[str | int]]],
        outputs: Mapping[str, Sequence[str | int]],
        weights: Mapping[str, np.ndarray],
        nodes: Sequence[tuple[str, str, str]],
    ) -> None:
        """``nodes`` are (operator, inputs, output), the inputs divided by spaces."""
        graph = helper.make_graph(
            [
                helper.make_node(
                    op, feeds.split(), [out], **({"to": TensorProto.FLOAT} if op == "Cast" else {})
                )
                for op, feeds, out in nodes
            ],
            name,
            [helper.make_tensor_value_info(n, t, axes) for n, (t, axes) in inputs.items()],
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT, axes)
                for n, axes in outputs.items()
            ],
            [numpy_helper.from_array(array, n) for n, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        save(model, str(export.graphs / f"{name}.onnx"))

    f32, i32, u8 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8
    last_axis = np.array([-1])
    write(
        "text_encoder",
        {"INPUT_IDS": (i32, ["B", "L"]), "ATTENTION_MASK": (i32, ["B", "L"])},
        {"TEXT_STATES": ["B", "L", D]},
        {"last": last_axis, "w": np.ones((1, D), np.float32)},
        [
            ("Mul", "INPUT_IDS ATTENTION_MASK", "ids"),
            ("Cast", "ids", "x"),
            ("Unsqueeze", "x last", "column"),
            ("MatMul", "column w", "TEXT_STATES"),
        ],
    )
    scores = np.linspace(0.9, 0.5, K, dtype=np.float32)[None]  # (1, K)
    middle = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (1, K, 1))
    write(
        "region_proposer",
        {"PIXELS": (u8, ["B", 3, S, S]), "IMAGE_SIZE": (i32, ["B", 2])},
        {"REGION_BOXES": ["B", K, 4], "REGION_SCORES": ["B", K]},
        {
            "scores": scores,
            "boxes": middle,
            "width": np.array([1.0, 0.0], np.float32).reshape(2, 1),
            "none": np.zeros((1, 1, 1), np.float32),
            "last": last_axis,
            "zero": np.array(0.0, np.float32),
            "one": np.array(1.0, np.float32),
        },
        [
            ("Cast", "IMAGE_SIZE", "size"),
            ("MatMul", "size width", "w"),  # (B, 1)
            ("Clip", "w zero one", "present"),
            ("Mul", "present scores", "REGION_SCORES"),
            ("Unsqueeze", "present last", "present3"),
            ("Mul", "present3 none", "none3"),
            ("Add", "none3 boxes", "REGION_BOXES"),
        ],
    )
    write(
        "region_encoder",
        {"PIXELS": (u8, ["B", 3, S, S]), "REGION_BOXES": (f32, ["B", "K", 4])},
        {"REGION_STATES": ["B", "K", D]},
        {"w": np.ones((4, D), np.float32)},
        [("MatMul", "REGION_BOXES w", "REGION_STATES")],
    )
    types = np.full((1, Q, T + 1), 0.05, np.float32)
    types[:, 0, 1] = 0.9  # the first query: PER
    types[:, 1:, 0] = 0.9  # the others: no entity
    regions = np.full((1, Q, K + 1), 0.1, np.float32)
    regions[:, :, 1:] = np.linspace(0.9, 0.6, K, dtype=np.float32)
    write(
        "query_decoder",
        {
            "TEXT_STATES": (f32, ["B", "L", D]),
            "ATTENTION_MASK": (i32, ["B", "L"]),
            "REGION_STATES": (f32, ["B", K, D]),
            "REGION_SCORES": (f32, ["B", K]),
        },
        {
            "TYPE_PROBS": ["B", Q, T + 1],
            "START_PROBS": ["B", Q, "L"],
            "END_PROBS": ["B", Q, "L"],
            "REGION_PROBS": ["B", Q, K + 1],
        },
        {
            "none": np.zeros((D, 1), np.float32),
            "first": np.array([1]),
            "last": last_axis,
            "boundary": np.full((1, Q, 1), 0.9, np.float32),
            "types": types,
            "regions": regions,
            "pick": np.zeros((K, 1), np.float32),
        },
        [
            ("MatMul", "TEXT_STATES none", "column"),  # (B, L, 1), zeros
            ("Squeeze", "column last", "row"),
            ("Unsqueeze", "row first", "row3"),  # (B, 1, L)
            ("Add", "row3 boundary", "START_PROBS"),
            ("Add", "row3 boundary", "END_PROBS"),
            ("MatMul", "REGION_SCORES pick", "nothing"),  # (B, 1)
            ("Unsqueeze", "nothing last", "nothing3"),
            ("Add", "nothing3 types", "TYPE_PROBS"),
            ("Add", "nothing3 regions", "REGION_PROBS"),
        ],
    )


@pytest.fixture(scope="session")
def entrypoint() -> Any:
    spec = spec_from_file_location("entrypoint", ROOT / "deploy" / "entrypoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
