"""Drawn posts: a small world of named entities, made by code, to train and test on.

No image of the real data set can be passed on; these posts stand in for it. They are hard enough
that a right answer needs both the sentence and the image.
"""

from mqspn.synthetic.object_classes import OBJECT_CLASSES
from mqspn.synthetic.posts import draw_posts

__all__ = ["OBJECT_CLASSES", "draw_posts"]
