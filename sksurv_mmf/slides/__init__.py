"""From whole-slide images to tiles and their features."""

from ._encoder import imagenet_resnet50
from ._features import extract_features
from ._tiling import level0_tile_size, tile_slide
from ._tissue import otsu_tissue

__all__ = ["extract_features", "imagenet_resnet50", "level0_tile_size", "otsu_tissue", "tile_slide"]
