"""Attention of single tiles as a table."""

import numpy as np
import pandas as pd

from ..encoders._base import encoders_that
from ..utils._validation import shorten


def weighed_modality(name, modalities):
    """Position of the modality whose tiles have weights: of `name`, which the user asks for, or the only one."""
    encoders = {modality.name: modality.encoder for modality in modalities}
    if name is not None and name not in list(encoders):
        raise ValueError(f"modality={name!r} is not one of {shorten(encoders)}.")
    weighed = [one for one, encoder in encoders.items() if encoder.has_attention]
    if name is None and len(weighed) > 1:
        raise ValueError(f"Several modalities have weights of tiles: pass modality={' or '.join(map(repr, weighed))}.")
    if name is None and weighed:
        (name,) = weighed
    if name not in weighed:
        asked = [f"{type(one).__name__} ({key!r})" for key, one in encoders.items() if name in (None, key)]
        raise ValueError(
            f"{' and '.join(asked)} {'does' if len(asked) == 1 else 'do'} not weigh tiles. Encoders that do are "
            f"{', '.join(encoders_that(has_attention=True))}. Modalities of this model that have weights of tiles: "
            f"{shorten(weighed) or 'none'}."
        )
    return list(encoders).index(name)


def tile_table(bags, weights):
    """Attention of all tiles, indexed by patient and tile.

    Where all bags know them, slide and coordinates, too; where any knows them, unit of the coordinates and sizes.
    """
    n_tiles = bags.array.n_tiles
    tile = np.concatenate([np.arange(n) for n in n_tiles]) if len(bags) else np.empty(0, dtype=int)
    index = pd.MultiIndex.from_arrays([bags.index.repeat(n_tiles), tile], names=["patient", "tile"])
    table = pd.DataFrame({"attention": weights}, index=index)
    slides = [bag.slides for bag in bags]
    if slides and all(one is not None for one in slides):
        of_tile = []
        for one in slides:
            for name, n in one.items():
                of_tile += [name] * n
        table["slide"] = of_tile
    coords = [bag.coords for bag in bags]
    if coords and all(one is not None for one in coords):
        table[["x", "y"]] = np.concatenate(coords)
        units = [bag.coord_unit for bag in bags]
        if any(units):
            table["coord_unit"] = np.repeat(np.array(units, dtype=object), n_tiles)
        sides = [bag.tile_sides for bag in bags]
        if any(one is not None for one in sides):
            table["tile_side"] = np.concatenate([_or_nan(one, n) for one, n in zip(sides, n_tiles)])
    for name in ("tile_size", "mpp"):
        values = [getattr(bag.tiling, name) for bag in bags]
        if any(value is not None for value in values):
            table[name] = np.repeat(np.array(values, dtype=float), n_tiles)
    return table


def _or_nan(sides, n_tiles):
    return np.full(n_tiles, np.nan) if sides is None else sides
