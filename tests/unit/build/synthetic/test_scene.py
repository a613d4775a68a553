"""Composed images: places, boxes and what can be seen."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
from mqspn.synthetic import LOOKS
from mqspn.synthetic.object_classes import drawn_look
from mqspn.synthetic.pen import CANVAS
from mqspn.synthetic.scene import MAX_IOU, MIN_VISIBLE, MIN_VISIBLE_KEY, compose_scene
from mqspn.synthetic.world import ENTITIES


def test_every_look_is_drawn_and_has_its_own_name() -> None:
    assert len(set(LOOKS)) == len(LOOKS)
    for look in LOOKS:
        picture = drawn_look(look)
        assert picture.mode == "RGBA"
        assert min(picture.size) > 0.25 * CANVAS
        assert max(picture.size) <= CANVAS


def test_every_entity_has_a_look_of_its_own_or_none() -> None:
    looks = [entity.look for entity in ENTITIES if entity.look is not None]
    assert len(looks) >= 48
    assert len(set(looks)) == len(looks)
    assert set(looks) < set(LOOKS)
    assert {entity.type for entity in ENTITIES} == {"PER", "LOC", "ORG", "OTHER"}


def test_looks_differ_at_the_size_of_a_small_crop() -> None:
    small = {}
    for look in LOOKS:
        pixels = np.asarray(drawn_look(look).resize((16, 16)).convert("RGBA"), np.float32)
        small[look] = pixels[..., :3] * pixels[..., 3:] / 255
    for one, other in combinations(LOOKS, 2):
        assert np.abs(small[one] - small[other]).mean() > 12, (one, other)


def test_an_unknown_look_is_named() -> None:
    with pytest.raises(ValueError, match="person/nobody"):
        drawn_look("person/nobody")


@pytest.mark.parametrize("seed", range(12))
def test_objects_are_apart_and_seen(seed: int) -> None:
    rng = Random(seed)
    looks = rng.sample(LOOKS, 4)
    scene = compose_scene(rng, looks, key_looks=looks[:1])
    width, height = scene.image.size
    assert 240 <= min(width, height) <= max(width, height) <= 400
    assert 0.64 < width / height < 1.53
    assert sorted(item.look for item in scene.objects) == sorted(looks)
    for item in scene.objects:
        assert item.visible >= (MIN_VISIBLE_KEY if item.look == looks[0] else MIN_VISIBLE)
        longer = max(item.box[2] - item.box[0], item.box[3] - item.box[1])
        assert 0.12 * min(width, height) < longer < 0.65 * min(width, height)
    for one, other in combinations(scene.objects, 2):
        across = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
        down = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
        shared = max(0, across) * max(0, down)
        areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one.box, other.box)]
        assert shared / (sum(areas) - shared) < MAX_IOU


def test_a_box_is_tight_around_what_was_drawn() -> None:
    """Each side of the box touches the dark contour that every object has."""
    for seed in range(6):
        look = Random(seed).choice(LOOKS)
        scene = compose_scene(Random(seed), [look])
        pixels = np.asarray(scene.image, np.int16)
        x1, y1, x2, y2 = scene.objects[0].box
        edges = (pixels[y1, x1:x2], pixels[y2 - 1, x1:x2], pixels[y1:y2, x1], pixels[y1:y2, x2 - 1])
        for edge in edges:
            assert edge.sum(axis=-1).min() < 420
