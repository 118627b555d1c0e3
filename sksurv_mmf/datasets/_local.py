"""Reading cohorts that were put into a folder beforehand."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sksurv.util import Surv

from ..bags._array import BagArray
from ..bags._bag import Bag
from ..files._download import DATA_HOME
from ..utils._optional import import_optional


def find_cohort(data_home, folder, files):
    """Return the path of a cohort's folder after checking that its files are there."""
    home = data_home if data_home is not None else os.environ.get(DATA_HOME)
    if home is None:
        raise FileNotFoundError(
            f"Nothing says where the cohort {folder!r} is: pass data_home, or set the environment variable "
            f"{DATA_HOME}, to the folder that contains {folder}/{files[0]}. What fetch_{folder} has downloaded without "
            "them, to the cache of the operating system, it reads again."
        )
    path = Path(home).expanduser() / folder
    absent = [name for name in files if not (path / name).is_file()]
    if absent:
        origin = "data_home" if data_home is not None else f"the environment variable {DATA_HOME}"
        raise FileNotFoundError(
            f"{path} lacks {', '.join(absent)}. Check {origin}, or put the files there; the documentation of the "
            "loader says what they hold."
        )
    return path


def read_bags(path):
    """Read the bags of all patients from one ``.npz`` file.

    Patient ``i`` owns the rows ``offsets[i]:offsets[i + 1]`` of the array ``features`` and, if it is there, of
    ``coords``. Returns the bags, a Series indexed by patient, and the other arrays of the file.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    features, offsets, coords = arrays.pop("features"), arrays.pop("offsets"), arrays.pop("coords", None)
    patients = pd.Index(arrays.pop("patient"), name="patient")
    rows = [slice(start, stop) for start, stop in pairwise(offsets)]
    bags = [Bag(features[own], None if coords is None else coords[own]) for own in rows]
    arrays["bag_of_row"] = np.repeat(np.arange(len(bags)), np.diff(offsets))
    return pd.Series(BagArray(bags), index=patients, name="tiles"), arrays


def describe_tiles(patients, arrays, columns):
    """Return a frame indexed by patient and tile with what a bags file says about each tile."""
    bag = arrays["bag_of_row"]
    first_row = np.searchsorted(bag, bag)
    index = pd.MultiIndex.from_arrays([patients[bag], np.arange(len(bag)) - first_row], names=["patient", "tile"])
    return pd.DataFrame({name: arrays[name] for name in columns}, index=index)


def read_parquet(path):
    """Read a parquet file, or say what to install."""
    import_optional("pyarrow", "data", f"Reading {path.name}")
    return pd.read_parquet(path)


def assemble_cohort(modalities, event, time, candidates):
    """Join modalities and outcome on the patients, and tell who is left out and why.

    Parameters
    ----------
    modalities : dict of str to Series or DataFrame
        The modalities, indexed by patient.

    event, time : Series
        The outcome, indexed by patient; NaN where it is unknown.

    candidates : Index
        Everybody who might be expected in the result.

    Returns
    -------
    Bunch
        With X, y, modalities, excluded (a Series of reasons) and dropped_columns.
    """
    event, time = event.reindex(candidates), time.reindex(candidates)
    absent = np.all([~candidates.isin(block.index) for block in modalities.values()], axis=0)
    reasons = pd.Series(None, index=candidates, dtype=object, name="reason")
    reasons[absent] = "no modality"
    reasons[~(time > 0).to_numpy()] = "time is zero or negative"
    reasons[(event.isna() | time.isna()).to_numpy()] = "unknown outcome"
    patients = candidates[reasons.isna()]

    blocks, dropped = {}, []
    for name, block in modalities.items():
        block = block.to_frame() if isinstance(block, pd.Series) else block
        block = block.reindex(patients).add_prefix(f"{name}__")
        unmeasured = block.columns[block.isna().all()]
        dropped.extend(unmeasured)
        blocks[name] = block.drop(columns=unmeasured)
    return Bunch(
        X=pd.concat(list(blocks.values()), axis=1),
        y=Surv.from_arrays(event[patients].to_numpy(dtype=bool), time[patients].to_numpy(dtype=float)),
        modalities={name: list(block.columns) for name, block in blocks.items()},
        excluded=reasons.dropna(),
        dropped_columns=dropped,
    )


def encode_clinical(clinical, sexes):
    """Return age, sex (as `sexes` maps it) and stage as numbers."""
    return pd.DataFrame(
        {
            "age": clinical["age"].astype(float),
            "sex": clinical["sex"].map(sexes).astype(float),
            "stage": clinical["stage"].astype(float),
        }
    )
