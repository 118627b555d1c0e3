"""What transformers are given, and what they are asked for."""

import pandas as pd

from ..bags._array import BagDtype
from ..utils._frames import as_frame, check_is_table
from ..utils._sklearn import get_output_config


def numbers(X, transformer):
    """X, a frame of any library as pandas', after refusing bags and what is no table."""
    check_is_table(X)
    X = as_frame(X)
    if isinstance(X, pd.DataFrame):
        bags = [name for name, dtype in X.dtypes.items() if isinstance(dtype, BagDtype)]
        if bags:
            name = type(transformer).__name__
            raise TypeError(
                f"{name} works on numbers, but column {bags[0]!r} holds bags of tiles. Choose columns by "
                f"make_modality_transformer(<modality>={name}(...)), apply it to tiles by BagTransformer, or summarise "
                "the tiles by BagPooling first."
            )
    return X


def frame_with_names(X):
    """X as a frame of pandas with names of columns, or an error that says what it is instead."""
    if not hasattr(X, "columns"):
        check_is_table(X)
    X = as_frame(X)
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"X must be a DataFrame with columns named <modality>__<feature>, got {type(X).__name__}.")
    return X


def refuse_polars(transformer):
    """Refuse to return bags if the output was asked to be polars'."""
    if get_output_config("transform", transformer)["dense"] == "polars":
        raise ValueError(
            f"{type(transformer).__name__} returns bags of tiles, which a polars frame cannot hold, but "
            "transform_output='polars' asks for one (in sklearn.set_config or set_output). Use "
            "set_output(transform='pandas')."
        )
