"""The real data set, where it is at hand.

It is looked for in the folder that MQSPN_TWITTER_GMNER names, else in `shared/twitter_gmner` beside
the clone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mqspn.data.reader import read_split
from mqspn.data.stats import stats

LABELS = {"PER": "PER", "LOC": "LOC", "ORG": "ORG", "OTHER": "MISC"}
BESIDE = Path(__file__).resolve().parents[5] / "shared" / "twitter_gmner"
DATA = Path(os.environ.get("MQSPN_TWITTER_GMNER", BESIDE))


# The data set may not be passed on with this project: a clone has it only where its user put it.
@pytest.mark.skipif(
    not (DATA / "txt" / "train.txt").is_file(),
    reason="Twitter-GMNER is not here (set MQSPN_TWITTER_GMNER to its folder)",
)
@pytest.mark.parametrize(
    ("split", "posts", "entities", "groundable", "boxes", "adjacent"),
    [("train", 7000, 11779, 4733, 5723, 120), ("dev", 1500, 2450, 991, 1171, 28)],
)
def test_nothing_is_lost(
    split: str, posts: int, entities: int, groundable: int, boxes: int, adjacent: int
) -> None:
    found = stats(read_split(DATA, split, labels=LABELS))
    assert (found.posts, found.entities, found.adjacent) == (posts, entities, adjacent)
    assert (found.groundable, found.boxes) == (groundable, boxes)
