"""Tables from AnnData and MuData, which are known by what they have and never imported."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from ..utils._validation import shorten

MOST_BYTES = 1 << 32
"""How large the table of a sparse matrix may become; cohorts of patients are smaller, those of single cells not."""


def is_anndata(thing):
    """Whether it has what an AnnData has."""
    return all(hasattr(thing, name) for name in ("obs", "obs_names", "var_names", "layers", "X"))


def modalities_of(thing):
    """The modalities of a MuData by name, and anything else as it is."""
    mod = getattr(thing, "mod", None) if hasattr(thing, "obs") else None
    return dict(mod) if isinstance(mod, Mapping) else thing


def obs_of(thing):
    """The table of observations of an AnnData or MuData, and anything else as it is."""
    return thing.obs if is_anndata(thing) or modalities_of(thing) is not thing else thing


def as_table(thing, name):
    """The matrix ``X`` of an AnnData as a frame of float32, and anything else as it is.

    Parameters
    ----------
    thing : object
        A modality.
    name : str
        What messages call it.

    Returns
    -------
    DataFrame of shape (n_obs, n_vars) or object
    """
    if not is_anndata(thing):
        return thing
    patients, columns = pd.Index(thing.obs_names), pd.Index(thing.var_names)
    if len(patients) and patients.astype(str).tolist() == [str(i) for i in range(len(patients))]:
        raise ValueError(
            f"The obs_names of {name} are row numbers, as AnnData gives them where it is told none. Name the patients: "
            "adata.obs_names = adata.obs['patient'], for example."
        )
    repeated = columns[columns.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"The var_names of {name} are not unique, such as {shorten(repeated, 2)}. Call "
            "adata.var_names_make_unique()."
        )
    values = thing.X
    if values is None:
        raise ValueError(
            f"{name[0].upper()}{name[1:]} is an AnnData without X. Pass a layer: adata.to_df(layer='counts')."
        )
    if getattr(thing, "isbacked", False):
        raise ValueError(f"{name[0].upper()}{name[1:]} is an AnnData that is backed by a file. Pass adata.to_memory().")
    if issparse(values):
        n_bytes = 4 * values.shape[0] * values.shape[1]
        if n_bytes > MOST_BYTES:
            raise ValueError(
                f"{name[0].upper()}{name[1:]} is an AnnData with a sparse X of {values.shape[0]} x {values.shape[1]}, "
                f"which would take {n_bytes / 2**30:.0f} GiB as a table. Choose variables first, adata[:, genes], and "
                "make one row per patient if these are cells."
            )
        values = values.astype(np.float32).toarray()
    return pd.DataFrame(np.asarray(values, dtype=np.float32), patients, columns)
