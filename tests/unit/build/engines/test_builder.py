"""TensorRT-RTX, which needs no GPU, stands for both flavours: the code over them is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx
import pytest
from mqspn.engines.builder import EngineBuilder
from mqspn.engines.errors import BuilderMissingError, GraphError
from mqspn.repository import ENGINES
from mqspn.repository.errors import ShapeProfileError
from mqspn.repository.runtime import tensorrt_version
from mqspn.repository.shape_profiles import ShapeRange, shape_profile
from onnx import TensorProto, helper

TOKENS = {
    name: ShapeRange(min=(1, 8), opt=(4, 8), max=(4, 16))
    for name in ("INPUT_IDS", "ATTENTION_MASK")
}


@pytest.mark.parametrize("model", ENGINES)
def test_every_committed_graph_compiles_for_what_serving_sends(
    model: str, demo_repository: Path, rtx: EngineBuilder
) -> None:
    graph = demo_repository / model / "1" / "model.onnx"
    phases: dict[str, int] = {}

    def progress(phase: str, done: int, steps: int) -> None:
        assert 0 <= done <= max(done, steps)
        phases[phase] = done

    plan = rtx.build(model, graph, shape_profile(demo_repository, model), progress=progress)
    # The weights are in it.
    assert len(plan) > 0.9 * graph.stat().st_size
    assert phases


def test_flags_are_what_is_on(rtx: EngineBuilder) -> None:
    assert "TF32" not in rtx.flags


def test_an_unsupported_operator_is_named(
    tiny_export: Any, tmp_path: Path, rtx: EngineBuilder
) -> None:
    model = onnx.load(str(tiny_export.graphs / "text_encoder.onnx"))
    model.graph.node[-1].output[0] = "states"
    model.graph.node.extend(
        [
            helper.make_node("SplitToSequence", ["states"], ["parts"], "cut", axis=2),
            helper.make_node("ConcatFromSequence", ["parts"], ["TEXT_STATES"], "join", axis=2),
        ]
    )
    onnx.save(model, str(tmp_path / "g.onnx"))
    with pytest.raises(
        GraphError, match=r"g\.onnx: operator SplitToSequence \(node cut\).*mqspn build"
    ):
        rtx.build("text_encoder", tmp_path / "g.onnx", TOKENS)


def test_a_file_that_is_no_graph_is_named(tmp_path: Path, rtx: EngineBuilder) -> None:
    (tmp_path / "g.onnx").write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"does not read .*g\.onnx"):
        rtx.build("text_encoder", tmp_path / "g.onnx", TOKENS)


def test_another_type_than_serving_sends_is_named(
    tiny_export: Any, tmp_path: Path, rtx: EngineBuilder
) -> None:
    model = onnx.load(str(tiny_export.graphs / "text_encoder.onnx"))
    for item in model.graph.input:
        item.type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, str(tmp_path / "g.onnx"))
    with pytest.raises(GraphError, match="INPUT_IDS is INT64, expected INT32; ATTENTION_MASK is"):
        rtx.build("text_encoder", tmp_path / "g.onnx", TOKENS)


def test_the_graph_of_another_model_is_named(tiny_export: Any, rtx: EngineBuilder) -> None:
    with pytest.raises(
        GraphError, match=r"input INPUT_IDS is missing.*output REGION_STATES is unknown"
    ):
        rtx.build("text_encoder", tiny_export.graphs / "region_encoder.onnx", TOKENS)


def test_an_input_without_a_profile_is_named(tiny_export: Any, rtx: EngineBuilder) -> None:
    only = {"INPUT_IDS": TOKENS["INPUT_IDS"]}
    with pytest.raises(
        ShapeProfileError, match=r"input ATTENTION_MASK .* has no optimisation profile"
    ):
        rtx.build("text_encoder", tiny_export.graphs / "text_encoder.onnx", only)


def test_a_profile_that_does_not_fit_is_named(tiny_export: Any, rtx: EngineBuilder) -> None:
    shapes = ShapeRange(min=(1, 3, 5), opt=(1, 3, 5), max=(1, 3, 5))
    pixels = ShapeRange(min=(1, 3, 16, 16), opt=(1, 3, 16, 16), max=(1, 3, 16, 16))
    profile = {"REGION_BOXES": shapes, "PIXELS": pixels}
    with pytest.raises(ShapeProfileError, match=r"\(1, 3, 5\) does not fit input REGION_BOXES"):
        rtx.build("region_encoder", tiny_export.graphs / "region_encoder.onnx", profile)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.sys.modules, "tensorrt", None)  # type: ignore[attr-defined]
    with pytest.raises(BuilderMissingError, match=r"pip install 'mqspn-triton\[tensorrt\]'"):
        EngineBuilder("tensorrt")


def test_an_old_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorrt_rtx

    monkeypatch.setattr(tensorrt_rtx, "__version__", "1.1.0.3")
    with pytest.raises(
        BuilderMissingError, match=r"tensorrt-rtx 1\.1\.0\.3 is here, 1\.2 or later"
    ):
        EngineBuilder("tensorrt-rtx")


def test_the_librarys_own_version_is_the_packages(rtx: EngineBuilder) -> None:
    maps = Path("/proc/self/maps").read_text()
    libraries = {line.split()[-1] for line in maps.splitlines() if "libtensorrt_rtx.so" in line}
    found = tensorrt_version(sorted(libraries))
    assert found is not None
    assert rtx.version.startswith(f"{found}.")


@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
def test_timings_of_another_gpu_are_begun_anew(
    tiny_export: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """TensorRT-RTX takes any file: here it refuses one of another GPU, as TensorRT does."""
    import tensorrt_rtx

    config = tensorrt_rtx.IBuilderConfig
    create, take = config.create_timing_cache, config.set_timing_cache
    contents: list[bytes] = []

    def created(self: Any, content: bytes) -> Any:
        contents.append(content)
        return create(self, content)

    def taken(self: Any, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return contents[-1] != b"an H100's" and bool(take(self, cache, ignore_mismatch))

    monkeypatch.setattr(config, "create_timing_cache", created)
    monkeypatch.setattr(config, "set_timing_cache", taken)
    builder = EngineBuilder("tensorrt-rtx")
    builder.timing_cache = tmp_path / "sm9.0.timing"
    builder.timing_cache.write_bytes(b"an H100's")
    graph = tiny_export.graphs / "text_encoder.onnx"
    for _ in range(2):
        assert builder.build("text_encoder", graph, TOKENS)
    # The second build finds what the first one wrote, and has nothing to say.
    assert contents[:2] == [b"an H100's", b""]
    assert contents[2:] == [builder.timing_cache.read_bytes()]
    assert [record.getMessage() for record in caplog.records] == [
        f"the timing cache {builder.timing_cache} is not one of tensorrt-rtx {builder.version} on "
        "this GPU: a new one is begun"
    ]
