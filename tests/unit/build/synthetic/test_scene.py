"""Composed images: places, boxes and what can be seen."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
from mqspn.synthetic import OBJECT_CLASSES
from mqspn.synthetic.object_classes import draw_object
from mqspn.synthetic.pen import CANVAS
from mqspn.synthetic.scene import MAX_IOU, MIN_VISIBLE, MIN_VISIBLE_KEY, compose_scene
from mqspn.synthetic.world import ENTITIES


def test_every_look_is_drawn_and_has_its_own_name() -> None:
    assert len(set(OBJECT_CLASSES)) == len(OBJECT_CLASSES)
    for object_class in OBJECT_CLASSES:
        picture = draw_object(object_class)
        assert picture.mode == "RGBA"
        assert min(picture.size) > 0.25 * CANVAS
        assert max(picture.size) <= CANVAS


def test_every_entity_has_a_class_of_its_own_or_none() -> None:
    classes = [entity.object_class for entity in ENTITIES if entity.object_class is not None]
    assert len(classes) >= 48
    assert len(set(classes)) == len(classes)
    assert set(classes) < set(OBJECT_CLASSES)
    assert {entity.type for entity in ENTITIES} == {"PER", "LOC", "ORG", "OTHER"}


def test_looks_differ_at_the_size_of_a_small_crop() -> None:
    small = {}
    for object_class in OBJECT_CLASSES:
        pixels = np.asarray(draw_object(object_class).resize((16, 16)).convert("RGBA"), np.float32)
        small[object_class] = pixels[..., :3] * pixels[..., 3:] / 255
    for one, other in combinations(OBJECT_CLASSES, 2):
        assert np.abs(small[one] - small[other]).mean() > 12, (one, other)


def test_an_unknown_look_is_named() -> None:
    with pytest.raises(ValueError, match="person/nobody"):
        draw_object("person/nobody")


@pytest.mark.parametrize("seed", range(12))
def test_objects_are_apart_and_seen(seed: int) -> None:
    rng = Random(seed)
    classes = rng.sample(OBJECT_CLASSES, 4)
    scene = compose_scene(rng, classes, key_classes=classes[:1])
    width, height = scene.image.size
    assert 240 <= min(width, height) <= max(width, height) <= 400
    assert 0.64 < width / height < 1.53
    assert sorted(item.object_class for item in scene.objects) == sorted(classes)
    for item in scene.objects:
        assert item.visible >= (MIN_VISIBLE_KEY if item.object_class == classes[0] else MIN_VISIBLE)
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
        object_class = Random(seed).choice(OBJECT_CLASSES)
        scene = compose_scene(Random(seed), [object_class])
        pixels = np.asarray(scene.image, np.int16)
        x1, y1, x2, y2 = scene.objects[0].box
        edges = (pixels[y1, x1:x2], pixels[y2 - 1, x1:x2], pixels[y1:y2, x1], pixels[y1:y2, x2 - 1])
        for edge in edges:
            assert edge.sum(axis=-1).min() < 420
