"""Bags of tiles as cells of a pandas column."""

from ._array import BagArray, BagDtype
from ._bag import Bag

__all__ = ["Bag", "BagArray", "BagDtype"]
