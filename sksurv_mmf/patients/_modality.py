"""What a modality is: its columns, and the encoder that reads them."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..bags._tiling import Tiling
from ..encoders._base import Encoder


@dataclass(frozen=True)
class Modality:
    """Which columns of X form a modality, and what reads them.

    Unpacks into name, encoder and columns.

    Attributes
    ----------
    name : str
        Name of the modality.
    encoder : Encoder
        What reads it; fitted once the model is.
    columns : list of int
        Positions in X.
    is_bag : bool
        Whether it is a column of bags rather than a numeric block.
    n_features : int
        Number of columns of the block, or width of the tiles.
    feature_names : list of str
        Names of the columns of the block without the modality's prefix; empty for bags.
    tiling : Tiling or None
        What is known of the tiles; None for a block.
    """

    name: str
    encoder: Encoder
    columns: list
    is_bag: bool
    n_features: int
    feature_names: list
    tiling: Tiling | None = None

    def __iter__(self) -> Iterator:
        return iter((self.name, self.encoder, self.columns))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int):
        return tuple(self)[i]
