"""The stages of reading an image, timed: all of them, and together what `read_image` does."""

import io

from images import make_photo, measure
from PIL import Image


def test_a_photo_is_a_jpeg_of_its_size():
    with Image.open(io.BytesIO(make_photo(120, 80))) as image:
        assert (image.format, image.size) == ("JPEG", (120, 80))


def test_every_stage_has_a_time_and_the_largest_image_costs_most():
    found = measure(((64, 48), (1600, 1200)), side=64, rounds=3)
    small, large = found.values()
    assert set(small) == {"decode", "resize", "planes", "all"}
    assert min(small.values()) >= 0
    assert large["decode"] > small["decode"]
    assert large["all"] > large["decode"] / 2
