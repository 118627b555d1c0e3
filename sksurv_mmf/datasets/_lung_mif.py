"""Lung cancer with tiles of multiplex immunofluorescence."""

from pathlib import Path

import pandas as pd
from sklearn.utils._param_validation import validate_params

from ._local import assemble_cohort, describe_tiles, encode_clinical, find_cohort, read_bags


@validate_params({"data_home": [None, str, Path]}, prefer_skip_nested_validation=True)
def load_lung_mif(data_home=None):
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

    Notes
    -----
    The folder holds ``clinical.csv`` (``patient``, ``os``, ``os_time`` in days, ``age``, ``sex``, ``stage``) and
    ``tile_bags.npz`` (arrays ``patient``, ``offsets``, ``features``, ``coords``, ``feature_name``, ``roi``; patient
    ``i`` owns the rows ``offsets[i]:offsets[i + 1]``). The tiles were made from cells of [1]_ as the R package mxfda
    distributes them.

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
    path = find_cohort(data_home, "lung_mif", ["clinical.csv", "tile_bags.npz"])
    clinical = pd.read_csv(path / "clinical.csv", index_col="patient")
    bags, arrays = read_bags(path / "tile_bags.npz")
    blocks = {"wsi": bags, "clinical": encode_clinical(clinical, sexes={"M": 1.0, "F": 0.0})}
    candidates = clinical.index.union(bags.index).rename("patient")
    result = assemble_cohort(blocks, clinical["os"], clinical["os_time"], candidates)
    tiles = describe_tiles(bags.index, arrays, ["roi"])
    result["tiles"] = tiles[tiles.index.get_level_values("patient").isin(result.X.index)]
    result["tile_feature_names"] = arrays["feature_name"].tolist()
    return result
