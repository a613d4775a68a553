"""The shortcut to CLIP's pooled state says what CLIP itself says."""

from __future__ import annotations

import torch
from mqspn.network.first_token import pooled_states
from transformers import CLIPVisionConfig, CLIPVisionModel


def test_it_is_the_vision_models_own_pooled_state() -> None:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16,
        patch_size=4,
        attn_implementation="eager",
    )
    vision = CLIPVisionModel(config).eval()
    for parameter in vision.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases and norms differ from 0 and 1 too
    pixels = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        expected = vision(pixel_values=pixels).pooler_output
        torch.testing.assert_close(pooled_states(vision, pixels), expected, atol=1e-5, rtol=1e-5)


def test_every_weight_learns() -> None:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
        attention_dropout=0.1,
        attn_implementation="eager",
    )
    vision = CLIPVisionModel(config).train()
    pooled_states(vision, torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert not [name for name, weight in vision.named_parameters() if weight.grad is None]
