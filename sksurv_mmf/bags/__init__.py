"""Bags of tiles as cells of a pandas column."""

from ._array import BagArray, BagDtype
from ._bag import Bag
from ._packed import PackedBags

__all__ = ["Bag", "BagArray", "BagDtype", "PackedBags"]
