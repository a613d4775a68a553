"""Drawn posts: a small world of named entities, made by code, to train and test on.

No image of the real data set can be passed on; these posts stand in for it. They are hard enough
that a right answer needs both the sentence and the image.
"""

from mqspn.synthetic.object_classes import LOOKS
from mqspn.synthetic.posts import draw_posts

__all__ = ["LOOKS", "draw_posts"]
