"""The network that PyTorch is timed with, its operations, and the checkpoint of random weights."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from bench import comparison
from bench.comparison import baseline_standings
from bench.interleaved import Standing
from bench.matmul_peak import measure_matmul_peak
from bench.measured_system import MeasuredSystem
from bench.network_contenders import call, network_contenders, torch_network
from bench.random_checkpoint import VOCABULARY, paper_settings, write_random_checkpoint
from bench.run_settings import RunSettings
from bench.time_limit import TimeLimit
from bench.torch_network import TorchNetwork, count_flops, flops_by_engine, network_inputs
from mqspn.checkpoint import load_checkpoint
from mqspn.engines.samples import synthetic_posts
from mqspn.evaluation.offline import CheckpointPredictor
from mqspn.repository import ENGINES
from mqspn.settings import load_settings
from torch import nn

SMALL = {
    "image_side": 64,
    "text_encoder.config.hidden_size": 48,
    "text_encoder.config.num_hidden_layers": 1,
    "text_encoder.config.intermediate_size": 64,
    "region_encoder.config.num_hidden_layers": 1,
    "network.width": 32,
    "network.queries": 8,
    "loss.gold_repeats": 6,
    "decoding.entity_threshold": 0.0,
    "decoding.max_entity_words": 0,
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def posts():
    with synthetic_posts(3) as made:
        yield made


@pytest.fixture(scope="module")
def checkpoint(posts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    texts = [post.text for post in posts]
    write_random_checkpoint(folder, texts, settings=load_settings("demo", SMALL))
    return load_checkpoint(folder)


def test_the_papers_sizes():
    settings = paper_settings()
    assert (settings.network.width, settings.network.queries, settings.network.regions) == (
        (768, 60, 16)
    )
    assert settings.image_side == 640


def test_random_weights_have_answers_and_the_whole_vocabulary(checkpoint, posts):
    assert checkpoint.tokenizer.get_vocab_size() == VOCABULARY
    answers = CheckpointPredictor(checkpoint, progress=False).predict(posts)
    assert all(answers)
    assert any(entity.box for answer in answers for entity in answer)


def test_flops_of_a_linear_layer():
    """5 rows of 7 inputs by 3 outputs: a product and a sum each."""
    assert count_flops(nn.Linear(7, 3), [torch.zeros(5, 7)]) == 2 * 5 * 7 * 3


def test_flops_of_the_network_grow_with_the_batch(checkpoint, posts):
    network = TorchNetwork(checkpoint, torch.float32, CPU)
    one, two = (
        count_flops(network, network_inputs(checkpoint, posts[:1] * n, CPU)) for n in (1, 2)
    )
    assert 1.9 * one < two <= 2 * one
    parts = flops_by_engine(network, network_inputs(checkpoint, posts[:1], CPU))
    assert parts.keys() == set(ENGINES)
    assert min(parts.values()) > 0
    assert sum(parts.values()) == one


def test_the_network_is_the_one_that_is_evaluated(checkpoint, posts):
    model = checkpoint.model
    inputs = ids, mask, pixels, size = network_inputs(checkpoint, posts, CPU)
    found = call(TorchNetwork(checkpoint, torch.float32, CPU), inputs)
    with torch.inference_mode():
        boxes, scores = model.region_proposer(pixels, size)
        states = model.region_encoder.visual_states(pixels, boxes)
        expected = model(ids, mask, states, boxes, scores)[-1].probabilities()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_bf16_is_near_and_leaves_the_checkpoint_alone(checkpoint, posts):
    # Of random weights the best regions are a toss-up: in BF16 an image's are others.
    text_only = [replace(post, image=None) for post in posts]
    batches = {3: network_inputs(checkpoint, text_only, CPU)}
    exact = call(TorchNetwork(checkpoint, torch.float32, CPU), batches[3])
    bf16 = partial(torch_network, checkpoint, "bf16", CPU, compiled=False)
    (standing,) = network_contenders("bf16", bf16, batches, {3: exact})
    assert standing.error is None
    assert standing.difference is not None
    assert 0 < standing.difference < 0.1
    shown_batches = {3: network_inputs(checkpoint, posts, CPU)}
    (shown,) = network_contenders("bf16", bf16, shown_batches, {})
    assert shown.error is None
    assert standing.contender.rate(0.01) > 0
    assert {p.dtype for p in checkpoint.model.parameters()} == {torch.float32}


def failed(make) -> Standing:
    (standing,) = network_contenders("it", make, {1: (torch.zeros(1),) * 4}, {})
    return standing


def test_a_network_that_cannot_be_had_says_why():
    def make():
        raise RuntimeError("no such GPU")

    assert failed(make).error == "no such GPU"


def test_answers_that_are_no_numbers_are_not_timed():
    assert "not all numbers" in str(failed(lambda: lambda *_: [torch.tensor([np.nan])] * 4).error)


@pytest.mark.parametrize(
    ("capability", "said"),
    [((9, 0), "no engines for compute capability 9.0"), ((8, 9), "left no time")],
)
def test_what_cannot_run_is_a_row_with_its_reason(
    capability, said, checkpoint, posts, tmp_path, monkeypatch
):
    """On a GPU of this capability, made up, with no time left; nothing is converted or compiled."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(
        comparison,
        "TorchNetwork",
        lambda checkpoint, dtype, _: TorchNetwork(checkpoint, dtype, CPU),
    )
    monkeypatch.setattr(comparison, "compile_plans", None)
    settings = RunSettings(size="demo", profile="cpu", precision="fp32")
    with ExitStack() as stack:
        groups = list(
            baseline_standings(
                settings,
                MeasuredSystem(checkpoint=checkpoint, repository=tmp_path),
                {1: network_inputs(checkpoint, posts[:1], CPU)},
                device=torch.device("cuda"),
                limit=TimeLimit(0.0),
                work=tmp_path,
                stack=stack,
            )
        )
    reasons = {s.contender.name: str(s.error) for group in groups for s in group}
    assert list(reasons) == ["PyTorch eager fp32", "torch.compile fp32", "TensorRT-RTX fp32"]
    assert "the time limit of 0 s left no time" in reasons["torch.compile fp32"]
    assert said in reasons["TensorRT-RTX fp32"]


def test_the_peak_is_the_best_of_the_sides():
    peak = measure_matmul_peak(CPU, torch.float32, sides=(16, 256), seconds=0.02)
    assert set(peak.by_side) == {16, 256}
    assert peak.side == 256
    assert 1e8 < peak.flops_per_second < 1e14
    assert peak.to_dict()["dtype"] == "float32"
