"""Make synthetic posts: annotated sentences and images of a small world, to train and test on.

No image of the real data set can be passed on. These posts stand in for it. They are hard enough
that a right answer needs both the sentence and the image.
"""

from mqspn.synthetic.object_classes import OBJECT_CLASSES
from mqspn.synthetic.posts import synthesize_posts

__all__ = ["OBJECT_CLASSES", "synthesize_posts"]
