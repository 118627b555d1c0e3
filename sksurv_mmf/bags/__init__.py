"""Bags of tiles as cells of a pandas column, from feature files or one packed store."""

from ..layers._packed_bags import PackedBags
from ._array import BagArray, BagDtype
from ._bag import Bag
from ._readers import read_bags
from ._slide_vectors import read_slide_vectors
from ._split import split_bags
from ._store import open_bags, pack_bags
from ._tiling import Tiling

__all__ = [
    "Bag",
    "BagArray",
    "BagDtype",
    "PackedBags",
    "Tiling",
    "open_bags",
    "pack_bags",
    "read_bags",
    "read_slide_vectors",
    "split_bags",
]
