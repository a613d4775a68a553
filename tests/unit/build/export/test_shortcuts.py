"""A shorter form of a detector's part says what the part says."""

from __future__ import annotations

import copy

import pytest
import torch
from mqspn.checkpoint import Checkpoint
from mqspn.export.shortcuts import shortcuts
from mqspn.network.region_proposer import RegionProposer
from mqspn.settings import EncoderSettings, Settings


def proposer(model_type: str, settings: Settings) -> RegionProposer:
    config = {**settings.region_proposer.config, "model_type": model_type}
    torch.manual_seed(0)
    made = RegionProposer(EncoderSettings(config=config), regions=6).eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as if it had learned
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return made


@pytest.mark.parametrize("model_type", ["rt_detr", "rt_detr_v2", "d_fine"])
@torch.no_grad()
def test_boxes_and_scores_are_the_same(model_type: str, settings: Settings) -> None:
    module = proposer(model_type, settings)
    pixels = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    inputs = (pixels.to(torch.uint8), torch.full((3, 2), 64))
    before = module(*inputs)
    weights = copy.deepcopy(module.state_dict())
    with shortcuts(module):
        assert any("forward" in vars(part) for part in module.modules())
        shorter = module(*inputs)
    assert not any("forward" in vars(part) for part in module.modules())
    torch.testing.assert_close(shorter, before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(module.state_dict(), weights, atol=0.0, rtol=0.0)


@torch.no_grad()
def test_boxes_are_computed_for_chosen_candidates_only(checkpoint: Checkpoint) -> None:
    module = checkpoint.model.region_proposer.eval()
    seen: list[int] = []
    first = module.detector.model.enc_bbox_head.layers[0]
    hook = first.register_forward_hook(lambda part, inputs, _: seen.append(inputs[0].shape[1]))
    try:
        with shortcuts(module):
            module(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.full((1, 2), 64))
    finally:
        hook.remove()
    assert seen == [module.detector.config.num_queries]
