"""From the vectors that slide encoders make of whole slides to a table by patient."""

import os
from functools import partial

import numpy as np
import pandas as pd

from ..utils._validation import shorten
from ._checks import MAX_RATIO, check_vector
from ._files import FORMAT_OF_SUFFIX, FeatureFile, open_feature_file, stamp_of
from ._hdf5_files import read_hdf5_vectors
from ._readers import REPORT, check_widths, find_slides, open_all
from ._selection import READ, check_choice, warn_left_out, warn_mixed
from ._tiling import Tiling, disagreement


def read_slide_vectors(
    source,
    patient="auto",
    format="auto",
    features_key=None,
    return_report=False,
    *,
    slides="auto",
    several="error",
    encoder=None,
    max_ratio=MAX_RATIO,
):
    """Read one vector per slide, as slide encoders write them, into a table with a row per patient.

    For TITAN, GigaPath, PRISM and their like, which make one vector of all tiles of a slide or patient. The table is a
    modality for `join_modalities`, as expression is. Features of tiles are read with `read_bags`.

    Parameters
    ----------
    source : path, list of paths, Series or DataFrame
        Files of one vector each, as in `read_bags`: a folder, a list of files, or a table of files and their patients.
        Or the path of a single ``.h5`` file that has an array for each slide or patient, as older STAMP writes it.
    patient : {"auto", "tcga", "slide"}, callable, mapping, Series or DataFrame, default="auto"
        Whose slide it is, as in `read_bags`. Of vectors of patients, whose files are called as these, "auto" will do.
    format : {"auto", "h5", "pt", "npy", "npz", "zarr", "parquet"}, default="auto"
        Format of the files, as in `read_bags`.
    features_key : str, default=None
        Name of the vector in each file. None takes "features" (TRIDENT), "feats" (STAMP) or the only array beside the
        coordinates. What GigaPath's and PRISM's own code returns is a dict: if it was saved with ``torch.save``, name
        "last_layer_embed" or "image_embedding".
    return_report : bool, default=False
        Whether to return the report, too. Without it, a warning tells of slides and patients that are left out.
    slides : str or callable, default="auto"
        Which slides to take, by their barcodes; see `read_bags`.
    several : {"error", "mean"}, default="error"
        What is done with patients of several slides: refused, or the mean of their vectors. An encoder that was given
        all tiles of the patient at once says more than the mean; choose one slide by `slides` if one is the right one.
    encoder : str, default=None
        Name of the encoder of all files. It replaces what the files say, which None takes.
    max_ratio : int, default=100
        How many times the bytes of its file a compressed array may take in memory, as in `read_bags`.

    Returns
    -------
    table : DataFrame of float32, shape (n_patients, n_features)
        The index is named "patient"; columns are called by the encoder, ``titan_0`` and so on, or ``vector_0`` where it
        is not known.
    report : DataFrame
        Only if `return_report`. One row per slide, as of `read_bags`, with the column "encoder" in place of those on
        tiles.

    Raises
    ------
    FileNotFoundError
        If the folder or a file of the list does not exist.
    ImportError
        If the files need h5py or zarr, and it is not installed.
    ValueError
        If files cannot be used, hold no single vector, or values that are no finite numbers; if they are of several
        encoders, or of tiles of several sizes, or differ in their number of features; if a patient has several slides
        and `several` is "error"; or if no slide belongs to a patient.

    Warns
    -----
    UserWarning
        As `read_bags` does, of slides and patients that are left out and of mixed kinds of slides.

    See Also
    --------
    read_bags : Reads features of tiles.
    sksurv_mmf.join_modalities : Joins the table with others.

    Notes
    -----
    The encoder is read from the attribute "encoder" of ``.h5`` files of STAMP and from the folder
    ``slide_features_titan`` in which TRIDENT writes them, which also says, as the coordinates of its files do, how
    large tiles were. Files of other encoders are then refused, and a model that was fitted to the columns ``titan_0``
    refuses a table of ``gigapath_0``.

    Files are not trusted, as in `read_bags`: nothing is unpickled. TITAN's authors publish vectors of TCGA as a pickle;
    if you trust it, load it and make a DataFrame.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sksurv_mmf import read_slide_vectors
    >>> folder = tempfile.TemporaryDirectory()
    >>> for number, slide in enumerate(["4244-01Z-00-DX1", "4245-01Z-00-DX1", "4245-01Z-00-DX2"]):
    ...     np.save(Path(folder.name, f"TCGA-05-{slide}.npy"), np.array([number, 1.0]))
    >>> read_slide_vectors(folder.name, several="mean", encoder="titan")
                  titan_0  titan_1
    patient
    TCGA-05-4244      0.0      1.0
    TCGA-05-4245      1.5      1.0
    >>> folder.cleanup()
    """
    if several not in ("error", "mean"):
        raise ValueError(f"several must be 'error' or 'mean', got {several!r}.")
    if not (encoder is None or (isinstance(encoder, str) and encoder)):
        raise ValueError(f"encoder must be a name or None, got {encoder!r:.80}.")
    check_choice(slides)
    told = None if encoder is None else Tiling(encoder)
    if _is_file(source):
        of_cohort = _open_cohort(source, told, max_ratio)
        source, open_file = list(of_cohort), of_cohort.__getitem__
    else:
        keys = {"format": format, "features_key": features_key, "tiling": told, "max_ratio": max_ratio}
        open_file = partial(open_feature_file, **keys, check=lambda features, coords: check_vector(features.shape))
    table, slides = find_slides(source, patient, format, slides)
    matched = table["status"] == READ
    files = open_all(table["path"][matched], open_file)
    check_widths(files)
    _check_encoders(files)
    patients = pd.Index(table["patient"][matched], name="patient")
    _check_several(patients, table["slide"][matched], several)
    vectors = pd.DataFrame(np.stack([_read(file) for file in files]), patients)
    vectors = vectors.groupby(level=0, sort=False).mean() if patients.has_duplicates else vectors
    name = next((file.tiling.extractor for file in files if file.tiling.extractor), "vector")
    vectors.columns = [f"{name}_{i}" for i in range(vectors.shape[1])]
    warn_mixed(table, slides)
    if return_report:
        table["encoder"] = pd.Series([file.tiling.extractor for file in files], table.index[matched], dtype=object)
        return vectors, table.set_index("slide")[["encoder", *(one for one in REPORT if one not in _OF_TILES)]]
    warn_left_out(table)
    return vectors


_OF_TILES = ("n_tiles", "has_coords")


def _is_file(source):
    """Whether the source is one file for the whole cohort."""
    return isinstance(source, str | os.PathLike) and os.path.isfile(source)


def _open_cohort(path, tiling, max_ratio):
    """A `FeatureFile` for each array of a file, by the path of the file and the name of the array."""
    path = os.path.abspath(os.fsdecode(path))
    if FORMAT_OF_SUFFIX.get(os.path.splitext(path)[1].lower()) != "h5":
        raise ValueError(f"source is a single file, {path!r}, and no .h5 file; pass [path] if it is one slide.")
    stamp = stamp_of(path)
    try:
        arrays = read_hdf5_vectors(path, stamp[0], max_ratio)
        for name, array in arrays.items():
            check_vector(array.shape, f"array {name!r}")
    except ValueError as error:
        raise ValueError(
            f"File of vectors {path!r} cannot be used: {error} If it is the file of one slide, pass [path]."
        ) from error
    return {
        os.path.join(path, name): FeatureFile(path, stamp, array, None, tiling or array.tiling)
        for name, array in arrays.items()
    }


def _check_encoders(files):
    found = disagreement([file.tiling for file in files], [file.path for file in files], "file")
    if found:
        raise ValueError(
            f"All vectors must be of one encoder and of tiles of one size, but there are {found}. Read them apart, as "
            "two modalities, or say what all of them are with encoder."
        )


def _check_several(patients, slides, several):
    repeated = patients[patients.duplicated()].unique()
    if len(repeated) and several == "error":
        own = slides[patients == repeated[0]]
        raise ValueError(
            f"{len(repeated)} patients have several slides, such as {repeated[0]!r} with {shorten(own, 3)}, and a "
            "table has one row for each patient. Pass several='mean' for the mean of their vectors, or choose one of "
            "each by slides, such as a function of the slide's name."
        )


def _read(file):
    vector = file.read_features().reshape(-1).astype(np.float32)
    n_bad = int((~np.isfinite(vector)).sum())
    if n_bad:
        raise ValueError(
            f"The vector of {file.path!r} has {n_bad} of {len(vector)} values that are NaN or infinite. Make it again, "
            "or leave this slide out."
        )
    return vector
