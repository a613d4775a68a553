"""The CUDA profile on a real server, without a GPU: its provider is "cpu", its way the same.

Tensors come as DLPack capsules of Triton's own tensors, are bound where they lie, joined, split and
handed back as capsules. Only the device differs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf import text_format
from mqspn.repository import ENGINES, CudaProfile, build_repository
from mqspn.serving import ServerSettings, ServerStartError, TritonServer
from tritonclient.grpc import model_config_pb2 as pb

OPERATOR = {"triton-grpc-protocol-operator-key": "test-key"}


@pytest.fixture(scope="module")
def dlpack_server(
    tiny_export: Any,
    settings: Callable[..., ServerSettings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TritonServer]:
    """`tiny_export` under the CUDA profile on the host; batches wait long for company."""
    folder = tmp_path_factory.mktemp("dlpack_server")
    repository = folder / "model_repository"
    build_repository(**vars(tiny_export), output=repository, cuda=CudaProfile(provider="cpu"))
    for name in (*ENGINES, "preprocess"):
        path = repository / name / "configs" / "cuda.pbtxt"
        config = text_format.Parse(path.read_text(), pb.ModelConfig())
        config.dynamic_batching.max_queue_delay_microseconds = 500_000
        del config.dynamic_batching.preferred_batch_size[:]
        config.instance_group[0].count = 1
        path.write_text(text_format.MessageToString(config))
    with TritonServer(
        settings(repository, profile="cuda", log_file=folder / "server.log")
    ) as running:
        yield running


def feeds(name: str, posts: int, tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Random inputs of one engine of `tiny_export`."""
    rng = np.random.default_rng(seed)
    boxes = rng.random((posts, 3, 4), np.float32)
    pixels = rng.integers(0, 256, (posts, 3, 16, 16)).astype(np.uint8)
    mask = np.ones((posts, tokens), np.int32)
    inputs: dict[str, dict[str, np.ndarray]] = {
        "text_encoder": {
            "INPUT_IDS": rng.integers(0, 5, (posts, tokens)).astype(np.int32),
            "ATTENTION_MASK": mask,
        },
        "region_proposer": {
            "PIXELS": pixels,
            "IMAGE_SIZE": rng.integers(0, 2, (posts, 2)).astype(np.int32),
        },
        "region_encoder": {"PIXELS": pixels, "REGION_BOXES": boxes},
        "query_decoder": {
            "TEXT_STATES": rng.random((posts, tokens, 4), np.float32),
            "ATTENTION_MASK": mask,
            "REGION_STATES": rng.random((posts, 3, 4), np.float32),
            "REGION_SCORES": rng.random((posts, 3), np.float32),
        },
    }
    return inputs[name]


def tensors(arrays: dict[str, np.ndarray]) -> list[triton.InferInput]:
    types = {"int32": "INT32", "float32": "FP32", "uint8": "UINT8"}
    made = []
    for name, array in arrays.items():
        made.append(triton.InferInput(name, array.shape, types[array.dtype.name]))
        made[-1].set_data_from_numpy(array)
    return made


def outputs(answer: triton.InferResult) -> dict[str, np.ndarray]:
    return {o.name: answer.as_numpy(o.name) for o in answer.get_response().outputs}


@pytest.mark.parametrize("name", ENGINES)
def test_requests_of_one_batch_get_what_each_gets_from_the_cpu_profile(
    name: str,
    dlpack_server: TritonServer,
    tiny_server: TritonServer,
    eventually: Callable[..., bool],
) -> None:
    sent = [feeds(name, posts, tokens, i) for i, (posts, tokens) in enumerate([(1, 8), (2, 8)])]
    sent.append(feeds(name, 1, 16, 9))
    answers: Queue[Any] = Queue()

    def executions(client: triton.InferenceServerClient) -> tuple[int, int]:
        stats = client.get_inference_statistics(name, headers=OPERATOR).model_stats[0]
        return stats.inference_count, stats.execution_count

    with triton.InferenceServerClient(dlpack_server.url) as client:
        before = executions(client)
        for i, arrays in enumerate(sent):
            client.async_infer(
                name, tensors(arrays), lambda result, error, i=i: answers.put((i, result, error))
            )
        found = {}
        for _ in sent:
            i, result, error = answers.get(timeout=20)
            assert error is None
            found[i] = outputs(result)
        # An answer may come before it is counted.
        assert eventually(lambda: executions(client)[0] - before[0] == 4)
        runs = executions(client)[1] - before[1]
    assert runs < len(sent), "no two requests were joined"
    with triton.InferenceServerClient(tiny_server.url) as client:
        for i, arrays in enumerate(sent):
            expected = outputs(client.infer(name, tensors(arrays)))
            assert set(found[i]) == set(expected)
            for output, array in expected.items():
                np.testing.assert_array_equal(found[i][output], array, err_msg=output)


def test_only_the_asked_outputs_come_back(dlpack_server: TritonServer) -> None:
    asked = [triton.InferRequestedOutput("END_PROBS")]
    with triton.InferenceServerClient(dlpack_server.url) as client:
        answer = client.infer(
            "query_decoder", tensors(feeds("query_decoder", 2, 8, 0)), outputs=asked
        )
    assert list(outputs(answer)) == ["END_PROBS"]


def test_posts_prepared_together_get_one_length_and_the_same_tokens(
    dlpack_server: TritonServer, tiny_server: TritonServer
) -> None:
    """The short one is padded to the long one's bucket; nothing else of it changes."""
    tokens = ["INPUT_IDS", "ATTENTION_MASK", "WORD_STARTS", "WORD_ENDS", "OFFSETS"]
    asked = [triton.InferRequestedOutput(name) for name in tokens]

    def inputs(words: int) -> list[triton.InferInput]:
        made = []
        for name, value in (("TEXT", b"Ada " * words), ("IMAGE", b"")):
            made.append(triton.InferInput(name, [1, 1], "BYTES"))
            made[-1].set_data_from_numpy(np.array([[value]], np.object_))
        return made

    answers: Queue[Any] = Queue()
    together = {}
    with triton.InferenceServerClient(dlpack_server.url) as client:
        for words in (1, 12):
            client.async_infer(
                "preprocess",
                inputs(words),
                lambda result, error, words=words: answers.put((words, result, error)),
                outputs=asked,
            )
        for _ in range(2):
            words, result, error = answers.get(timeout=20)
            assert error is None
            together[words] = outputs(result)
    with triton.InferenceServerClient(tiny_server.url) as client:
        alone = {n: outputs(client.infer("preprocess", inputs(n), outputs=asked)) for n in (1, 12)}
    assert alone[1]["INPUT_IDS"].shape[1] < alone[12]["INPUT_IDS"].shape[1]
    for name in tokens:
        length = alone[1][name].shape[1]
        np.testing.assert_array_equal(together[1][name][:, :length], alone[1][name])
        assert together[1][name].shape == together[12][name].shape
        assert name == "INPUT_IDS" or not together[1][name][:, length:].any()
        np.testing.assert_array_equal(together[12][name], alone[12][name])


@pytest.mark.parametrize("model", ["mqspn", "mqspn_regions", "mqspn_text"])
def test_the_ensembles_answer_as_under_the_cpu_profile(
    model: str, dlpack_server: TritonServer, tiny_server: TritonServer
) -> None:
    posts = np.array([[b"Ada " * n] for n in (1, 3, 12)], np.object_)
    photo = min((Path(__file__).resolve().parents[2] / "demo" / "images").glob("*.jpg"))
    images = np.array([[b""], [photo.read_bytes()], [b""]], np.object_)
    arrays: list[tuple[str, np.ndarray, str]] = [
        ("TEXT", posts, "BYTES"),
        ("IMAGE", images, "BYTES"),
    ][: 1 if model == "mqspn_text" else 2]
    if model == "mqspn_regions":
        boxes = np.array([[[0, 0, 0, 0]], [[1, 2, 30, 40]], [[0, 0, 0, 0]]], np.float32)
        arrays.append(("REGIONS", boxes, "FP32"))
    inputs = []
    for name, array, dtype in arrays:
        inputs.append(triton.InferInput(name, array.shape, dtype))
        inputs[-1].set_data_from_numpy(array)
    answers = []
    for server in (dlpack_server, tiny_server):
        with triton.InferenceServerClient(server.url) as client:
            answer = client.infer(model, inputs, client_timeout=20.0)
        answers.append(answer.as_numpy("ENTITIES").ravel().tolist())
    assert answers[0] == answers[1]
    assert all(b'"text":"Ada"' in text.replace(b" ", b"") for text in answers[0])


def test_an_engine_that_would_fall_back_to_the_cpu_does_not_load(
    tiny_export: Any, settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    repository = tmp_path / "model_repository"
    build_repository(**vars(tiny_export), output=repository)
    configs = repository / "text_encoder" / "configs"
    # Triton itself would refuse KIND_GPU here, before the model is asked.
    text = (configs / "cuda.pbtxt").read_text().replace("KIND_GPU", "KIND_CPU")
    (configs / "cpu.pbtxt").write_text(text)
    with pytest.raises(ServerStartError) as caught, TritonServer(settings(repository)):
        pass
    reason = str(caught.value)
    assert re.search(r"found onnxruntime [\d.]+, without CUDAExecutionProvider; needed", reason)
    assert "pip install 'mqspn-triton[cuda]'" in reason


def test_the_command_refuses_at_once_where_there_is_no_gpu(
    tiny_export: Any, tmp_path: Path
) -> None:
    repository = tmp_path / "model_repository"
    build_repository(**vars(tiny_export), output=repository)
    command = [sys.executable, "-m", "mqspn.cli", "serve", "--profile=cuda"]
    command.append(f"--repository={repository}")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    *_, last = ended.stderr.splitlines()
    # A machine with a GPU has the test's ONNX Runtime all the same, which is the CPU's.
    assert re.match("mqspn: found (no GPU|onnxruntime [0-9.]+, without CUDA)", last)
    assert not (tmp_path / "mqspn-serve.log").exists()
