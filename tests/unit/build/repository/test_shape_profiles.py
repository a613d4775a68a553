"""What Triton may send is what the profile covers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mqspn.repository import ENGINES
from mqspn.repository.errors import ShapeProfileError
from mqspn.repository.shape_profiles import ShapeRange, shape_profile
from mqspn_backend.tensors import MODELS


def test_it_reaches_from_one_short_post_to_the_largest_batch_of_long_ones(
    demo_repository: Path,
) -> None:
    profile = shape_profile(demo_repository, "query_decoder")
    assert profile["TEXT_STATES"] == ShapeRange(
        min=(1, 32, 128), opt=(16, 32, 128), max=(16, 64, 128)
    )
    assert profile["ATTENTION_MASK"] == ShapeRange(min=(1, 32), opt=(16, 32), max=(16, 64))
    assert profile["REGION_SCORES"] == ShapeRange(min=(1, 16), opt=(16, 16), max=(16, 16))


@pytest.mark.parametrize("model", ENGINES)
def test_every_warm_up_request_is_in_it(model: str, demo_repository: Path) -> None:
    from mqspn.repository.shape_profiles import read_configuration

    profile = shape_profile(demo_repository, model)
    assert set(profile) == set(MODELS[model].inputs)
    warmups = read_configuration(demo_repository, model).model_warmup
    assert warmups
    for warmup in warmups:
        for name, item in warmup.inputs.items():
            sent = (warmup.batch_size, *item.dims)
            shapes = profile[name]
            bounds = zip(shapes.min, sent, shapes.max, strict=True)
            assert all(low <= size <= high for low, size, high in bounds), (name, sent)


def test_a_repository_without_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ShapeProfileError, match=r"text_encoder/config\.pbtxt cannot be read.*`mqspn build`"
    ):
        shape_profile(tmp_path, "text_encoder")


def test_an_axis_without_a_known_range_is_named(tiny_repository: Path) -> None:
    path = tiny_repository / "region_encoder" / "config.pbtxt"
    path.write_text(path.read_text().replace("dims: [3, 4]", "dims: [-1, 4]"))
    with pytest.raises(ShapeProfileError, match="axis K of REGION_BOXES is open"):
        shape_profile(tiny_repository, "region_encoder")


def test_a_missing_input_is_named(tiny_repository: Path) -> None:
    path = tiny_repository / "text_encoder" / "config.pbtxt"
    lines = [
        x for x in path.read_text().splitlines() if not x.startswith('input { name: "INPUT_IDS')
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(ShapeProfileError, match="lacks input INPUT_IDS"):
        shape_profile(tiny_repository, "text_encoder")


@pytest.mark.parametrize("largest", [(4, 7), (4,), (0, 8)])
def test_sizes_that_fall_are_refused(largest: tuple[int, ...]) -> None:
    with pytest.raises(ShapeProfileError, match="must not fall"):
        ShapeRange(min=(1, 8), opt=(4, 8), max=largest)
