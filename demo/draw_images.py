"""Draw the sample posts' images again: `python demo/draw_images.py` (needs the [build] extra)."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from mqspn.synthetic.scene import compose_scene

HERE = Path(__file__).parent

#: What each image shows, and the seed of its composition. Posts without an entry have no image.
SCENES: dict[str, tuple[int, list[str]]] = {
    "jordan-player": (4, ["thing/tree", "person/michael_jordan"]),
    "jordan-shoe": (2, ["thing/coffee", "product/air_jordan"]),
    "jordan-country": (21, ["landmark/petra", "thing/dog"]),
    "one-in-the-image": (12, ["person/taylor_swift", "thing/bicycle"]),
    "both-in-the-image": (11, ["person/lebron_james", "landmark/statue_of_liberty", "thing/pizza"]),
    "not-in-the-image": (5, ["thing/pizza", "thing/umbrella", "person/hooded_passer_by"]),
    "several-boxes": (6, ["product/lego", "product/lego", "product/lego"]),
    "side-by-side": (7, ["product/xbox", "product/game_boy", "person/child_with_cap"]),
    "many-words": (8, ["landmark/golden_gate_bridge", "product/iphone"]),
    "no-entity": (9, ["thing/cat", "thing/cake"]),
}


def main() -> None:
    for name, (seed, classes) in SCENES.items():
        named = [object_class for object_class in classes if not object_class.startswith("thing/")]
        scene = compose_scene(Random(seed), classes, key_classes=named)
        scene.image.save(HERE / "images" / f"{name}.jpg", quality=88)
    with_image = {
        json.loads(line)["id"]
        for line in (HERE / "posts.jsonl").read_text(encoding="utf-8").splitlines()
        if json.loads(line)["image"]
    }
    assert with_image == set(SCENES), with_image ^ set(SCENES)


if __name__ == "__main__":
    main()
