"""The model of the Python backend that runs a graph, with Triton's module stood in for."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from mqspn.repository import CudaProfile, build_repository
from mqspn_backend.tensors import MODELS
from tritonclient.grpc import model_config_pb2 as pb

DEMO = Path(__file__).resolve().parents[3] / "model_repository"
Arrays = Mapping[str, np.ndarray]


class _Capsule:
    """A DLPack capsule as an object that NumPy takes."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class _Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    @classmethod
    def from_dlpack(cls, name: str, capsule: Any) -> _Tensor:
        return cls(name, np.from_dlpack(_Capsule(capsule)))

    def as_numpy(self) -> np.ndarray:
        return self.array

    def to_dlpack(self) -> Any:
        return np.array(self.array).__dlpack__()


class _Metric:
    def __init__(self) -> None:
        self.value = 0

    def increment(self, by: int) -> None:
        self.value += by


class _Family:
    COUNTER = "counter"

    def __init__(self, **_: Any) -> None:
        pass

    def Metric(self, labels: Mapping[str, str]) -> _Metric:  # noqa: N802
        return _Metric()


class _Request:
    def __init__(self, arrays: Arrays, outputs: Sequence[str]) -> None:
        self.arrays, self.outputs = arrays, outputs

    def is_cancelled(self) -> bool:
        return False

    def requested_output_names(self) -> Sequence[str]:
        return self.outputs


def _input(request: _Request, name: str) -> _Tensor | None:
    return _Tensor(name, request.arrays[name]) if name in request.arrays else None


@pytest.fixture(scope="module")
def step_class() -> Iterator[Any]:
    """The model's class, imported with a stand-in for what Triton offers it."""
    triton: Any = ModuleType("triton_python_backend_utils")
    triton.Tensor = _Tensor
    triton.MetricFamily = _Family
    triton.get_input_tensor_by_name = _input
    triton.InferenceResponse = lambda output_tensors=(), error=None: SimpleNamespace(
        outputs={t.name: t.array for t in output_tensors}, error=error
    )
    triton.TritonError = lambda message, code=None: message
    triton.TritonError.INTERNAL = triton.TritonError.INVALID_ARG = 0
    triton.Logger = SimpleNamespace(log_error=lambda message: None)
    names = (
        "mqspn_backend.models.engine",
        "mqspn_backend.models.responses",
        "mqspn_backend.models.counters",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", triton)
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module(names[0]).TritonPythonModel
        for name in names:
            patch.delitem(sys.modules, name, raising=False)


class Step:
    """One engine model of a repository; ``whole``: it leaves nothing out."""

    def __init__(
        self, step_class: Any, repository: Path, name: str, profile: str = "cpu", *, whole: bool
    ) -> None:
        path = repository / name / "configs" / f"{profile}.pbtxt"
        config = text_format.Parse(path.read_text(), pb.ModelConfig())
        for key in ("rows_with", "regions_with") if whole else ():
            config.parameters.pop(key, None)
        self.name = name
        self.model = step_class()
        self.model.initialize(
            {
                "model_name": name,
                "model_config": json.dumps(
                    json_format.MessageToDict(config, preserving_proto_field_name=True)
                ),
                "model_repository": str(repository / name),
                "model_version": "1",
            }
        )

    def posts_run(self) -> int:
        """What the metric of this model says."""
        self.model.counters.hand_on()
        return int(self.model.posts_run._metric.value)

    def responses(self, requests: Sequence[Arrays]) -> list[Any]:
        outputs = MODELS[self.name].outputs
        found: list[Any] = self.model.execute([_Request(arrays, outputs) for arrays in requests])
        return found

    def __call__(self, requests: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
        responses = self.responses(requests)
        assert [response.error for response in responses] == [None] * len(requests)
        return [response.outputs for response in responses]


class Chain:
    """Both region engines and the decoder of one repository, step by step."""

    def __init__(self, step_class: Any, repository: Path, profile: str, *, whole: bool) -> None:
        names = ("region_proposer", "region_encoder", "query_decoder")
        self.steps = [Step(step_class, repository, name, profile, whole=whole) for name in names]

    def __call__(self, requests: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
        """All that is there of each request at the end; REGION_BOXES given are kept."""
        known = [dict(arrays) for arrays in requests]
        for step in self.steps:
            if step.name == "region_proposer" and "REGION_BOXES" in requests[0]:
                continue
            for arrays, outputs in zip(known, step(known), strict=True):
                arrays.update(outputs)
        return known


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def tiny(
    request: pytest.FixtureRequest,
    step_class: Any,
    tiny_export: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Chain, Chain]:
    """The chain that leaves out and the one that does not, of graphs that answer by rule."""
    folder = tmp_path_factory.mktemp("steps") / "repository"
    build_repository(**vars(tiny_export), output=folder, cuda=CudaProfile(provider="cpu"))
    return (
        Chain(step_class, folder, request.param, whole=False),
        Chain(step_class, folder, request.param, whole=True),
    )


def sent(
    posts: Sequence[bool], *, side: int = 16, width: int = 4, tokens: int = 8, seed: int = 0
) -> dict[str, np.ndarray]:
    """A request of ``posts``: whether each has an image."""
    rng = np.random.default_rng(seed)
    has = np.array(posts)
    pixels = rng.integers(0, 256, (len(posts), 3, side, side)).astype(np.uint8)
    return {
        "PIXELS": pixels * has[:, None, None, None].astype(np.uint8),
        "IMAGE_SIZE": np.array([[40, 30]], np.int32) * has[:, None].astype(np.int32),
        "TEXT_STATES": rng.standard_normal((len(posts), tokens, width)).astype(np.float32),
        "ATTENTION_MASK": np.ones((len(posts), tokens), np.int32),
    }


def counted(chain: Chain, requests: Sequence[Arrays]) -> tuple[list[dict[str, Any]], list[int]]:
    """What a chain makes, and the posts that each of its engines ran on."""
    before = [step.posts_run() for step in chain.steps]
    made = chain(requests)
    return made, [step.posts_run() - n for step, n in zip(chain.steps, before, strict=True)]


batches = st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=4)


@given(batches)
@settings(deadline=None, max_examples=30)
def test_each_vision_engine_runs_on_the_posts_with_an_image(
    tiny: tuple[Chain, Chain], batch: list[list[bool]]
) -> None:
    requests = [sent(posts, seed=i) for i, posts in enumerate(batch)]
    left_out, counts = counted(tiny[0], requests)
    whole, all_counts = counted(tiny[1], requests)
    posts, images = sum(map(len, batch)), sum(map(sum, batch))
    assert counts == [images, images, posts]
    assert all_counts == [posts] * 3
    for found, expected, has in zip(left_out, whole, batch, strict=True):
        for name in ("REGION_SCORES", *MODELS["query_decoder"].outputs):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        for name in ("REGION_BOXES", "REGION_STATES"):
            # No other step looks at them where the score is 0.
            np.testing.assert_array_equal(found[name][has], expected[name][has], err_msg=name)
            assert not found[name][~np.array(has)].any()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
@settings(deadline=None, max_examples=20)
def test_the_callers_regions_cost_what_they_are(tiny: tuple[Chain, Chain], real: list[int]) -> None:
    """K = 3: of each request of one post the first so many are real."""
    requests = []
    for i, count in enumerate(real):
        scores = np.zeros((1, 3), np.float32)
        scores[:, :count] = 1
        boxes = np.random.default_rng(i).random((1, 3, 4), np.float32)
        requests.append({**sent([True]), "REGION_BOXES": boxes, "REGION_SCORES": scores})
    encoder = tiny[0].steps[1].model.engine
    taken, run = [], encoder.run

    def noting(feeds: Mapping[str, Any], outputs: Sequence[str]) -> Any:
        taken.append(encoder.shape(feeds["REGION_BOXES"]))
        return run(feeds, outputs)

    encoder.run = noting
    try:
        left_out, whole = tiny[0](requests), tiny[1](requests)
    finally:
        encoder.run = run
    assert taken == [(sum(map(bool, real)), max(real), 4)] * any(real)
    for found, expected, count in zip(left_out, whole, real, strict=True):
        states = expected["REGION_STATES"].copy()
        states[:, count:] = 0
        # Behind a post's last region a longer neighbour's are computed, and nobody looks at them.
        np.testing.assert_array_equal(found["REGION_STATES"][:, :count], states[:, :count])
        assert found["REGION_STATES"].shape == states.shape


def test_without_the_optional_scores_the_region_encoder_runs_all(
    tiny: tuple[Chain, Chain],
) -> None:
    request = {**sent([True, False]), "REGION_BOXES": np.ones((2, 3, 4), np.float32)}
    encoder = tiny[0].steps[1]
    before = encoder.posts_run()
    (found,) = encoder([request])
    np.testing.assert_array_equal(found["REGION_STATES"], np.full((2, 3, 4), 4, np.float32))
    assert encoder.posts_run() - before == 2


def test_a_request_that_fails_harms_no_other(tiny: tuple[Chain, Chain]) -> None:
    encoder = tiny[0].steps[1]
    scores = np.ones((1, 3), np.float32)
    good = {"PIXELS": sent([True])["PIXELS"], "REGION_BOXES": np.ones((1, 3, 4), np.float32)}
    bad = {**good, "REGION_BOXES": np.full((1, 3, 4), 7, np.float32)}
    engine, run = encoder.model.engine, encoder.model.engine.run

    def failing(feeds: Mapping[str, Any], outputs: Sequence[str]) -> Any:
        if (engine.array(feeds["REGION_BOXES"]) == 7).any():
            raise RuntimeError("out of memory")
        return run(feeds, outputs)

    engine.run = failing
    before = encoder.posts_run()
    try:
        answers = encoder.responses([{**r, "REGION_SCORES": scores} for r in (good, bad, good)])
    finally:
        engine.run = run
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert encoder.posts_run() - before == 2


def test_a_graph_of_k_regions_is_given_k(step_class: Any, tiny_export: Any, tmp_path: Path) -> None:
    """As an export of before left it: the tiny decoder's K is fixed."""
    build_repository(**vars(tiny_export), output=tmp_path / "r")
    decoder = Step(step_class, tmp_path / "r", "query_decoder", whole=False)
    assert decoder.model.regions_with is None
    request = {
        **sent([False]),
        "REGION_STATES": np.zeros((1, 3, 4), np.float32),
        "REGION_SCORES": np.zeros((1, 3), np.float32),
    }
    assert decoder([request])[0]["REGION_PROBS"].shape == (1, 2, 4)


@pytest.fixture(scope="module")
def demo(step_class: Any) -> tuple[Chain, Chain]:
    """The same of the committed demo repository."""
    return (
        Chain(step_class, DEMO, "cpu", whole=False),
        Chain(step_class, DEMO, "cpu", whole=True),
    )


@given(st.lists(st.booleans(), min_size=1, max_size=3))
@settings(deadline=None, max_examples=6)
def test_the_demo_predicts_what_it_predicts_with_everything_run(
    demo: tuple[Chain, Chain], images: list[bool]
) -> None:
    """Noise finds little; `tests/serving` compares the entities of real posts."""
    requests = [sent([has], side=224, width=128, seed=i) for i, has in enumerate(images)]
    left_out, whole = demo[0](requests), demo[1](requests)
    for found, expected in zip(left_out, whole, strict=True):
        for name in MODELS["query_decoder"].outputs:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)
