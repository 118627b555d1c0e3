"""Lung cancer with tiles of multiplex immunofluorescence."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ..files._download import PublicFile, fetch_file, find_home
from ..files._writing import writing
from ..utils._sklearn import validate_params
from ._cell_tiles import tile_cells
from ._local import assemble_cohort, describe_tiles, encode_clinical, find_cohort, read_bags

FILES = ["clinical.csv", "tile_bags.npz"]
CELLS = PublicFile(
    "cells.csv.gz",
    # Of the copy from which the code below was written: another content at the address is refused, not read.
    "fa71cf9826c1a8014294b419f10bfca48afff8700fe32597abe79edd47de0bad",
    "https://raw.githubusercontent.com/julia-wrobel/mxfda/1268caa52ddf5a2272bbc64ecf6c029fd8d0a842/"
    "data-raw/lung_df_small.csv.gz",
    3_850_306,
)
LICENCE = "Artistic-2.0 (VectraPolarisData), as distributed in mxfda (MIT)"
CITATION = (
    "Johnson, A. M., Boland, J. M., Wrobel, J., et al. Cancer cell-specific major histocompatibility complex II "
    "expression as a determinant of the immune infiltrate organization and function in the NSCLC tumor "
    "microenvironment. Journal of Thoracic Oncology 16(10), 1694-1704 (2021)."
)


@validate_params(
    {"data_home": [None, str, Path], "base_url": [None, str]},
    prefer_skip_nested_validation=True,
)
def fetch_lung_mif(data_home: str | os.PathLike | None = None, base_url: str | None = None) -> Bunch:
    """Download a lung cancer cohort with tiles of multiplex immunofluorescence and clinical data.

    Fifty patients (33 deaths): small, but its tiles have coordinates. The cells (4 MB) are downloaded once, from the
    repository of the R package mxfda at a fixed commit, and compared with a checksum; tiles are made of them once.
    After that nothing is downloaded any more. Files appear when they are complete, and what a killed process left is
    removed by the next call.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder for all cohorts, where a folder ``lung_mif`` is made. None means the environment variable
        ``SKSURV_MMF_DATA``, or without it the cache of the operating system.
    base_url : str, default=None
        Address of a mirror that has ``lung_mif/cells.csv.gz``, without this path: any web server over a folder of this
        layout, such as ``python -m http.server``. None means the environment variable
        ``SKSURV_MMF_DATA_URL``, or without it the public repository.

    Returns
    -------
    Bunch
        What :func:`load_lung_mif` returns, and the attributes `licence` and `citation`.

    Raises
    ------
    ConnectionError
        If the file is absent and cannot be downloaded.
    ValueError
        If what is downloaded, or lies there, is not the file that is expected.
    ImportError
        If pooch is absent.

    See Also
    --------
    load_lung_mif : Reads the prepared files; tells what X, y and the other attributes are.

    Notes
    -----
    The licence of the data is Artistic-2.0 (Bioconductor package VectraPolarisData), that of mxfda is MIT; please cite
    [1]_.

    Regions of interest are divided into squares of 100 x 100 um, of which those with ten cells or more are tiles. The
    features of a tile are log(1 + number of cells); for each type of cell its share (``frac``), the standard deviation
    of belonging to it (``std``) and its share among the six nearest neighbours of the tile's cells (``nbr``); for each
    pair of markers how often cells with the first have neighbours with the second (``int``); mean and standard
    deviation of the distance to the neighbours (``nnd``); the entropy of the types.

    References
    ----------
    .. [1] Johnson, A. M., Boland, J. M., Wrobel, J., et al. "Cancer cell-specific major histocompatibility complex II
           expression as a determinant of the immune infiltrate organization and function in the NSCLC tumor
           microenvironment." Journal of Thoracic Oncology 16(10), 1694-1704 (2021).

    Examples
    --------
    >>> from sksurv_mmf.datasets import fetch_lung_mif
    >>> cohort = fetch_lung_mif()  # doctest: +SKIP
    >>> cohort.X.shape  # doctest: +SKIP
    (50, 4)
    """
    folder = find_home(data_home) / "lung_mif"
    if not all((folder / name).is_file() for name in FILES):
        _prepare(pd.read_csv(fetch_file(CELLS, folder, base_url)), folder)
    cohort = load_lung_mif(folder.parent)
    cohort.update(licence=LICENCE, citation=CITATION)
    return cohort


def _prepare(cells, folder):
    """Write the files that `load_lung_mif` reads."""
    columns = {
        "survival_days": "os_time",
        "survival_status": "os",
        "age": "age",
        "gender": "sex",
        "stage": "stage",
    }
    clinical = cells.groupby("patient_id")[list(columns)].first().rename(columns=columns).rename_axis("patient")
    with writing(folder / "tile_bags.npz", overwrite=True) as unfinished:
        np.savez_compressed(unfinished, **tile_cells(cells))
    with writing(folder / "clinical.csv", overwrite=True) as unfinished:
        clinical.to_csv(unfinished)


@validate_params({"data_home": [None, str, Path]}, prefer_skip_nested_validation=True)
def load_lung_mif(data_home: str | os.PathLike | None = None) -> Bunch:
    """Load a lung cancer cohort with tiles of multiplex immunofluorescence and clinical data.

    Fifty patients (33 deaths): small, but its tiles have coordinates. Nothing is downloaded.

    Parameters
    ----------
    data_home : str or Path, default=None
        Folder that contains ``lung_mif``, see Notes. None means the environment variable ``SKSURV_MMF_DATA``.

    Returns
    -------
    Bunch
        A dictionary with attributes:

        X : DataFrame
            One row per patient. ``wsi__tiles`` holds bags of 50 cell-composition features per tile of
            100 x 100 um, with coordinates (tile numbers within the region of interest, so tiles of several regions
            share coordinates; see ``tiles``); ``clinical__age`` in years, ``clinical__sex`` 1 male, 0 female,
            ``clinical__stage`` 1 to 3.
        y : structured array
            Fields ``event`` (death) and ``time`` (days).
        modalities : dict
            The columns of each modality.
        excluded : Series
            Reason for each patient of the tables who is not in X.
        dropped_columns : list of str
            Columns without any value, not in X.
        tile_feature_names : list of str
            Names of the features of a tile.
        tiles : DataFrame
            Region of interest of each tile, indexed by patient and tile.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is absent.

    See Also
    --------
    fetch_lung_mif : Downloads the cohort first.

    Notes
    -----
    The folder holds ``clinical.csv`` (``patient``, ``os``, ``os_time`` in days, ``age``, ``sex``, ``stage``) and
    ``tile_bags.npz`` (arrays ``patient``, ``offsets``, ``features``, ``coords``, ``feature_name``, ``roi``; patient
    ``i`` owns the rows ``offsets[i]:offsets[i + 1]``). :func:`fetch_lung_mif` makes them from the cells of [1]_ as
    the R package mxfda distributes them.

    References
    ----------
    .. [1] Johnson, A. M., Boland, J. M., Wrobel, J., et al. "Cancer cell-specific major histocompatibility complex II
           expression as a determinant of the immune infiltrate organization and function in the NSCLC tumor
           microenvironment." Journal of Thoracic Oncology 16(10), 1694-1704 (2021).

    Examples
    --------
    >>> from sksurv_mmf.datasets import load_lung_mif
    >>> load_lung_mif("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere/lung_mif lacks ...
    """
    path = find_cohort(data_home, "lung_mif", FILES)
    clinical = pd.read_csv(path / "clinical.csv", index_col="patient")
    bags, arrays = read_bags(path / "tile_bags.npz")
    blocks = {"wsi": bags, "clinical": encode_clinical(clinical, sexes={"M": 1.0, "F": 0.0})}
    candidates = clinical.index.union(bags.index).rename("patient")
    result = assemble_cohort(blocks, clinical["os"], clinical["os_time"], candidates)
    tiles = describe_tiles(bags.index, arrays, ["roi"])
    result["tiles"] = tiles[tiles.index.get_level_values("patient").isin(result.X.index)]
    result["tile_feature_names"] = arrays["feature_name"].tolist()
    return result
