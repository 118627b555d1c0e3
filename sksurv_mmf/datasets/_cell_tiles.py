"""From cells with a position and a phenotype to tiles with features."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

TILE_SIZE = 100  # um
MIN_CELLS = 10
N_NEIGHBOURS = 6
MARKERS = ["ck", "cd8", "cd14", "cd19", "cd4"]
TYPES = [*MARKERS, "other", "immune"]
FEATURE_NAMES = [
    "log_n",
    *(f"{statistic}_{name}" for statistic in ("frac", "std", "nbr") for name in TYPES),
    *(f"int_{a}_{b}" for a in MARKERS for b in MARKERS),
    "nnd_mean",
    "nnd_std",
    "entropy",
]


def tile_cells(cells):
    """Divide regions of interest into tiles, and describe the cells of each.

    Parameters
    ----------
    cells : DataFrame
        One row per cell: ``patient_id``, ``patientImage_id`` (the region), the position ``x`` and ``y`` in um,
        ``phenotype_<marker>`` and ``immune``, as in the R package mxfda.

    Returns
    -------
    arrays : dict of str to ndarray
        ``patient``, ``offsets``, ``features``, ``coords``, ``feature_name`` and ``roi``, as `load_lung_mif` reads them.
        Tiles of fewer than ten cells are left out.

    Notes
    -----
    Of each tile: log(1 + number of cells); for each type of cell its share, the standard deviation of belonging to it,
    and its share among the six nearest neighbours of the tile's cells; for each pair of markers the mean over cells of
    [has a] * (share of b among its neighbours); mean and standard deviation of a cell's mean distance to its
    neighbours; the entropy of the shares of the markers and of the rest, in nats.
    """
    types = pd.DataFrame({name: cells[f"phenotype_{name}"] == f"{name.upper()}+" for name in MARKERS})
    types["other"] = cells["phenotype_other"] == "Other+"
    types["immune"] = cells["immune"] == "immune"
    regions = cells.groupby("patientImage_id", sort=False).indices
    tiles = [
        (cells["patient_id"].iloc[rows[0]], region, position, features)
        for region, rows in regions.items()
        for position, features in _describe(cells[["x", "y"]].to_numpy()[rows], types[TYPES].to_numpy(float)[rows])
    ]
    tiles.sort(key=lambda tile: tile[0])  # stable, so that the regions of a patient keep their order
    patients, counts = np.unique([tile[0] for tile in tiles], return_counts=True)
    return {
        "patient": patients,
        "offsets": np.concatenate([[0], counts.cumsum()]),
        "features": np.array([tile[3] for tile in tiles], dtype=np.float32),
        "coords": np.array([tile[2] for tile in tiles]),
        "feature_name": np.array(FEATURE_NAMES),
        "roi": np.array([tile[1] for tile in tiles]),
    }


def _describe(xy, types):
    """Yield position and features of each tile of a region with enough cells."""
    if len(xy) <= N_NEIGHBOURS:
        return
    distances, neighbours = cKDTree(xy).query(xy, k=N_NEIGHBOURS + 1)  # the nearest is the cell itself
    around, distance = types[neighbours[:, 1:]].mean(axis=1), distances[:, 1:].mean(axis=1)
    tiles = pd.DataFrame((xy // TILE_SIZE).astype(int)).groupby([0, 1]).indices
    for position, rows in tiles.items():
        if len(rows) >= MIN_CELLS:
            yield position, _features(types[rows], around[rows], distance[rows])


def _features(types, around, distance):
    shares = types.mean(axis=0)
    n_markers = len(MARKERS)
    pairs = types[:, :n_markers].T @ around[:, :n_markers] / len(types)
    exclusive = shares[: n_markers + 1]
    exclusive = exclusive[exclusive > 0] / exclusive.sum()
    return np.concatenate(
        [
            [np.log1p(len(types))],
            *(shares, types.std(axis=0), around.mean(axis=0)),
            pairs.ravel(),
            [distance.mean(), distance.std(), -np.sum(exclusive * np.log(exclusive))],
        ]
    )
