"""The network's invariants: a batch equals its posts, padding changes nothing, switches switch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.errors import BuildError
from mqspn.network import Mqspn
from mqspn.network.model import _tokenise_prompts
from mqspn.settings import EncoderSettings, load_settings

Inputs = dict[str, torch.Tensor]


def make_inputs(checkpoint: Checkpoint, posts: int = 3, tokens: int = 9) -> Inputs:
    K = checkpoint.settings.network.regions
    mask = torch.ones(posts, tokens, dtype=torch.int32)
    mask[1, 5:] = 0
    scores = torch.rand(posts, K)
    scores[2] = 0.0
    return {
        "input_ids": torch.randint(5, 90, (posts, tokens), dtype=torch.int32),
        "attention_mask": mask,
        "visual_states": torch.randn(posts, K, checkpoint.model.region_encoder.visual_width),
        "region_boxes": torch.rand(posts, K, 2, 2).sort(dim=2).values.flatten(2),
        "region_scores": scores,
    }


@pytest.fixture
def inputs(checkpoint: Checkpoint) -> Inputs:
    torch.manual_seed(1)
    return make_inputs(checkpoint)


@torch.no_grad()
def predict(checkpoint: Checkpoint, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    return checkpoint.model(**inputs)[-1].probabilities()


def test_shapes(checkpoint: Checkpoint, inputs: Inputs) -> None:
    types, starts, ends, regions = predict(checkpoint, inputs)
    assert types.shape == (3, 8, 5)
    assert starts.shape == ends.shape == (3, 8, 9)
    assert regions.shape == (3, 8, 7)
    torch.testing.assert_close(types.sum(-1), torch.ones(3, 8))


def test_a_batch_equals_its_posts(checkpoint: Checkpoint, inputs: Inputs) -> None:
    together = predict(checkpoint, inputs)
    for i in range(3):
        alone = predict(checkpoint, {k: v[i : i + 1] for k, v in inputs.items()})
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, atol=1e-5, rtol=1e-4)


def test_token_padding_changes_nothing(checkpoint: Checkpoint, inputs: Inputs) -> None:
    wider = dict(inputs)
    for name in ("input_ids", "attention_mask"):
        wider[name] = torch.cat([inputs[name], torch.zeros(3, 7, dtype=torch.int32)], dim=1)
    wider["input_ids"][:, 9:] = 42
    before, after = predict(checkpoint, inputs), predict(checkpoint, wider)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b[..., : a.shape[-1]], atol=1e-5, rtol=1e-4)
    assert float(after[1][..., 9:].max()) == 0.0


def test_padded_regions_change_nothing(checkpoint: Checkpoint, inputs: Inputs) -> None:
    changed = dict(inputs)
    changed["region_scores"] = inputs["region_scores"].clone()
    changed["region_scores"][:, 4:] = 0.0
    one = predict(checkpoint, changed)
    changed["visual_states"] = inputs["visual_states"].clone()
    changed["visual_states"][:, 4:] = 1e3
    changed["region_boxes"] = inputs["region_boxes"].clone()
    changed["region_boxes"][:, 4:] = 0.0
    other = predict(checkpoint, changed)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert float(one[3][..., 5:].max()) == 0.0


def test_the_image_reaches_the_type(checkpoint: Checkpoint, inputs: Inputs) -> None:
    other = dict(inputs, visual_states=torch.randn_like(inputs["visual_states"]))
    difference = (predict(checkpoint, inputs)[0] - predict(checkpoint, other)[0]).abs()
    assert float(difference[:2].max()) > 1e-4
    assert float(difference[2].max()) < 1e-6  # this post has no regions


@pytest.mark.parametrize(
    "switch",
    [
        "type_prompts",
        "entity_queries",
        "query_self_attention",
        "text_cross_attention",
        "prefix_integration",
        "aggregator",
    ],
)
def test_every_part_can_be_switched_off(
    checkpoint: Checkpoint, inputs: Inputs, switch: str
) -> None:
    settings = checkpoint.settings
    reduced = replace(settings, network=replace(settings.network, **{switch: False}))
    torch.manual_seed(0)
    model = Mqspn(reduced, checkpoint.tokenizer).train()
    predictions = model(**inputs)
    assert len(predictions) == settings.network.layers
    total = sum(p.sum() for layer in predictions for p in layer.probabilities())
    total.backward()
    learned = model.query_decoder.query_set.entity_grained.grad is not None
    assert learned == (switch != "entity_queries")
    prompted = model.text_encoder.encoder.embeddings.word_embeddings.weight.grad
    mask_used = float(prompted[model.text_encoder.mask_token_id].abs().sum()) > 0
    assert mask_used == (switch != "type_prompts")


def test_existence_form_predicts_only_a_querys_own_type(
    checkpoint: Checkpoint, inputs: Inputs
) -> None:
    settings = checkpoint.settings
    existence = replace(settings, network=replace(settings.network, existence_form=True))
    model = Mqspn(existence, checkpoint.tokenizer).eval()
    with torch.no_grad():
        types = model(**inputs)[-1].probabilities()[0]
    own = torch.arange(8) // 2 + 1
    for query in range(8):
        others = [t for t in range(1, 5) if t != own[query]]
        assert float(types[:, query, others].max()) < 1e-9
        assert float(types[:, query, own[query]].min()) > 0
    torch.testing.assert_close(types.sum(-1), torch.ones(3, 8))


def test_prompts_hold_one_mask_each(checkpoint: Checkpoint) -> None:
    ids, mask, mask_id = _tokenise_prompts(checkpoint.settings, checkpoint.tokenizer)
    assert ids.shape == mask.shape
    assert ((ids == mask_id).sum(dim=1) == 1).all()
    assert checkpoint.model.text_encoder.type_states().shape == (4, 32)


def test_no_image_means_no_regions(checkpoint: Checkpoint) -> None:
    side = checkpoint.settings.image_side
    pixels = torch.randint(0, 255, (2, 3, side, side), dtype=torch.uint8)
    size = torch.tensor([[640, 480], [0, 0]], dtype=torch.int32)
    with torch.no_grad():
        boxes, scores = checkpoint.model.region_proposer(pixels, size)
    assert boxes.shape == (2, 6, 4)
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 1
    assert float(scores[0].min()) > 0
    assert (scores[0].diff() <= 0).all()
    assert float(scores[1].max()) == 0


def test_base_settings_are_the_papers_sizes() -> None:
    network = load_settings("base").network
    assert (network.width, network.queries, network.layers) == (768, 60, 3)
    assert (network.regions, network.crop_side) == (16, 128)


def test_a_detector_from_scratch_learns_with_live_normalisation(checkpoint: Checkpoint) -> None:
    """Its batch norms are neither frozen nor drawn near zero, as pretrained ones would be."""
    detector = checkpoint.model.region_proposer.detector
    norms = [m for m in detector.modules() if "BatchNorm" in type(m).__name__]
    assert norms
    for norm in norms:
        assert isinstance(norm, torch.nn.BatchNorm2d), type(norm)
        assert (norm.weight - 1).abs().max().item() == 0.0


def test_buckets_must_fit_the_text_encoder(checkpoint: Checkpoint) -> None:
    settings = checkpoint.settings
    long = replace(settings, serving=replace(settings.serving, buckets=(32, 4096)))
    with pytest.raises(ValueError, match=r"serving.buckets reach 4096 tokens"):
        Mqspn(long, checkpoint.tokenizer)


def test_an_encoder_that_cannot_be_loaded_is_named(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = checkpoint.settings
    lost = replace(settings, text_encoder=replace(settings.text_encoder, pretrained="./nowhere"))
    with pytest.raises(ValueError, match=r"'./nowhere' cannot be loaded"):
        Mqspn(lost, checkpoint.tokenizer)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "clip_vision_model"},
        {"model_type": "t5", "d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 8},
    ],
)
def test_a_text_encoder_of_another_kind_is_refused(
    config: dict[str, Any], checkpoint: Checkpoint
) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    other = EncoderSettings(config={**small, **config, "intermediate_size": 8})
    settings = replace(checkpoint.settings, text_encoder=other)
    with pytest.raises(BuildError, match=f"text_encoder is a '{config['model_type']}', no BERT"):
        Mqspn(settings, checkpoint.tokenizer)


def test_images_too_small_for_the_detector_are_refused(checkpoint: Checkpoint) -> None:
    proposer = checkpoint.model.region_proposer.train()
    before = {name: value.clone() for name, value in proposer.state_dict().items()}
    random = torch.random.get_rng_state()
    try:
        proposer.check_image_side(checkpoint.settings.image_side)
        with pytest.raises(BuildError, match=r"image_side: the region proposer takes no .* 7 pix"):
            proposer.check_image_side(7)
        assert proposer.training
    finally:
        proposer.eval()
    assert torch.equal(random, torch.random.get_rng_state())
    after = proposer.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_device_without_memory_left_says_nothing_of_the_image_side(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    proposer = checkpoint.model.region_proposer
    monkeypatch.setattr(proposer.detector, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        proposer.check_image_side(checkpoint.settings.image_side)
    assert not proposer.training
