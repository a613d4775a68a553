"""The specification closes: every model's tensors are specified, and each input has a source."""

from __future__ import annotations

import pytest
from mqspn_backend.errors import CODES, PostError
from mqspn_backend.tensors import DEFAULT_ENSEMBLE, MODELS, REGIONS_ENSEMBLE, tensor


def test_every_tensor_is_specified_and_batched() -> None:
    for spec in (*MODELS.values(), DEFAULT_ENSEMBLE, REGIONS_ENSEMBLE):
        for name in (*spec.inputs, *spec.outputs):
            assert tensor(name).axes[0] == "B"
        assert set(spec.optional) <= set(spec.inputs)


def test_every_input_comes_from_the_caller_or_an_earlier_model() -> None:
    known = {"TEXT", "IMAGE", "REGIONS"}
    for spec in MODELS.values():
        assert set(spec.inputs) <= known, spec.name
        known |= set(spec.outputs)
    assert set(DEFAULT_ENSEMBLE.outputs) <= known


def test_an_unknown_tensor_is_an_error() -> None:
    with pytest.raises(KeyError):
        tensor("PIXEL")


def test_post_errors_have_stable_codes() -> None:
    error = PostError("IMAGE_FORMAT", "BMP is not read; send JPEG, PNG, WebP or GIF")
    assert str(error).startswith("IMAGE_FORMAT: ")
    assert '"code": "IMAGE_FORMAT"' in error.to_json()
    with pytest.raises(KeyError):
        PostError("IMAGE_UGLY", "no such code")
    assert len(CODES) == 5
