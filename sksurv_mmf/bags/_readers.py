"""From feature files to one bag per patient."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_list_like
from tqdm.auto import tqdm

from ..utils._logging import logger
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._array import BagArray
from ._bag import Bag
from ._checks import MAX_RATIO, describe_widths
from ._files import FORMAT_OF_SUFFIX, FORMATS, SlideFiles, open_feature_file, slide_name
from ._selection import (
    NO_FILE,
    NO_PATIENT,
    OTHER_FILE,
    READ,
    add_barcodes,
    check_choice,
    hint_of_names,
    select,
    warn_left_out,
    warn_mixed,
)
from ._store import MANIFEST
from ._tcga import read_barcode
from ._tiling import WAY_OUT, check_is_tiling, disagreement, same_length

# Slide encoders have 512 features and more.
_NARROWEST_VECTOR = 256

REPORT = ["patient", "status", "sample_type", "slide_kind", "n_tiles", "has_coords", "path"]


def read_bags(
    source,
    patient="auto",
    format: str = "auto",
    features_key=None,
    coords_key=None,
    return_report: bool = False,
    *,
    slides="auto",
    tiling=None,
    max_ratio: int = MAX_RATIO,
) -> Any:
    """Make one lazy bag per patient from feature files, reading their headers only.

    The way from the output of a feature extractor to `join_modalities`. Tiles are read when a model needs them, so
    that a cohort may be larger than memory. The slides of a patient become one bag, in the order in which they come;
    ``Bag.slides`` tells which tiles are whose.

    Parameters
    ----------
    source : path, list of paths, Series or DataFrame
        Where the slides are:

        - a folder: all feature files in it, by name; sub-folders are not searched, except that ``.zarr`` folders are
          feature files. Of the output of CLAM pass ``h5_files``, with coordinates, or ``pt_files``, without,
        - a list of feature files; ``[path]`` for a single one,
        - a table of feature files and their patients: a Series with the path as index and the patient as value, or
          a DataFrame with the columns "path" or "slide" (or this as index) and "patient". Pass a Series that has paths
          as values as a list, ``paths.tolist()``.

        A slide is called as its file, without ``.h5`` and the like and without ``.svs`` and the like. All that is left
        counts: a TCGA file ``TCGA-05-4244-01Z-00-DX1.d4ff32cd-....h5`` is a slide whose name ends in that UUID, and a
        table that calls it ``TCGA-05-4244-01Z-00-DX1`` does not match.
    patient : {"auto", "tcga", "slide"}, callable, mapping, Series or DataFrame, default="auto"
        Whose slide it is:

        - "tcga": the first twelve characters of a TCGA barcode at the start of the slide's name,
        - "slide": each slide is a patient of its own, called as the slide,
        - "auto": "tcga" if any slide begins with a TCGA barcode, "slide" otherwise,
        - a function of the slide's name, which returns None for a slide without a patient,
        - a table: a mapping or Series from slide to patient, or a DataFrame with the columns "slide" (or this as
          index) and "patient".

        Leave it out if `source` is a table.
    format : {"auto", "h5", "pt", "npy", "npz", "zarr", "parquet"}, default="auto"
        Format of the files. "auto" goes by the ends of their names; otherwise only the files of this format are taken
        from a folder, and a list or table is read as such whatever the names.
    features_key : str or list of str, default=None
        Name of the features in each file. None takes "features" (CLAM, TRIDENT), "feats" (STAMP) or the only array
        beside the coordinates. Of a parquet file it is the name of a column of lists or a list of columns; None takes a
        column of lists named so, or all columns beside the coordinates if they are floating-point numbers.
    coords_key : str or list of str, default=None
        Name of the coordinates in each file. None takes "coords" if it is there. Of a parquet file it is the name of a
        column of lists or of two columns; None takes "coords", or "x" and "y".
    return_report : bool, default=False
        Whether to return the report, too. Without it, a warning tells of slides and patients that are left out.
    slides : str or callable, default="auto"
        Which slides to take, by the TCGA barcodes that their names begin with:

        - "tumor": all but normal tissue, whose sample types are 10 to 19; a slide without a barcode is taken,
        - "normal": normal tissue alone,
        - "all": all slides, whatever they show, and no warning that they differ,
        - "DX": diagnostic slides of tumors; "TS", "MS" or "BS": frozen sections of tumors from the top, middle or
          bottom; "frozen": all three of these. A slide whose name does not tell its kind is not taken,
        - a function of the slide's name that returns whether to take it. It decides alone,
        - "auto": "all" if a table tells the patients, because it names each slide, "tumor" otherwise.
    tiling : Tiling, default=None
        By which extractor the features were made and how large the tiles are, of all files. It replaces what the files
        say, which None takes. `Tiling()` says that it is not known, and then nothing is compared.
    max_ratio : int, default=100
        How many times the bytes of its file a compressed array may take in memory; 16 MiB it always may. Features of
        slides reach 1.1 to 3. Raise it for arrays that are nearly constant and that you trust.

    Returns
    -------
    bags : Series of dtype "bag"
        One file-backed bag per patient, in the order in which patients first appear; the index is named "patient".
    report : DataFrame
        Only if `return_report`. One row per slide, and per other file in the folder: "patient" (missing if unknown),
        "status", "sample_type" and "slide_kind" ("01" and "DX" of ``TCGA-05-4244-01Z-00-DX1``, missing if the name has
        no such part), "n_tiles", "has_coords" and "path", indexed by "slide". The status is "read", "normal tissue" or
        "not selected" (left out, see `slides`), "no patient" (a file that belongs to nobody: not in the table, or no
        barcode), "no file" (a slide of the table without a file) or "other file" (of another format, or no feature
        file).

    Raises
    ------
    FileNotFoundError
        If the folder or a file of the list does not exist.
    ImportError
        If the files need h5py, zarr or pyarrow, and it is not installed.
    ValueError
        If files cannot be used, with each file and the reason, a folder called as a file among them; if slides differ
        in their number of features, their feature extractor or the size of their tiles; if a patient has two files of
        one slide, or slides with coordinates in different units; or if no slide is left that belongs to a patient.

    Warns
    -----
    UserWarning
        If slides have no patient or no file or are of normal tissue, or patients are left without a slide, and the
        report was not asked for; if diagnostic slides are mixed with frozen sections, or slides of several sample types
        (primary, recurrent, metastatic, ...), unless `slides` is "all" or a function; if tiles have several sides in
        pixels of the finest level and files tell neither resolution nor downsample; or if all files have a
        single row of many features, as slide encoders write them.

    See Also
    --------
    read_slide_vectors : Reads vectors of whole slides, of slide encoders.
    pack_bags : Writes bags into one store, which is faster to read again and again.
    sksurv_mmf.join_modalities : Joins bags with tables.

    Notes
    -----
    Layouts that are read:

    - ``.h5`` of CLAM, TRIDENT (also with a leading axis of length one) and STAMP; links and external data are refused,
    - ``.pt``, a tensor as CLAM writes it or a dict of tensors, loaded with ``weights_only=True``,
    - ``.npy``, ``.npz``, ``.zarr`` (an array or a group) and ``.parquet`` with one row per tile.

    Files are not trusted. Pickled objects are never loaded. What a header announces is compared with the size of the
    file before memory is taken: uncompressed arrays must fit into it, and compressed ones into `max_ratio` times its
    bytes. Folders, pipes and devices in place of a file are refused.

    Nor is their content, the first time that a process reads it: members of ``.npz`` and ``.pt`` files are compared
    with their CRC-32, pages of ``.parquet`` and chunks of ``.h5`` with their checksums if they have some, and packed
    chunks of ``.h5`` and ``.zarr`` must hold what they should, no more and no less. For gzip and its relatives that
    means that the first reading unpacks them twice. Parts of ``.h5`` and ``.zarr`` that were never written are refused;
    where the format cannot tell, a warning says that the last tiles are all equal to the fill value.
    ``.npy`` files and blosc have no checksum, so that a changed byte in them is a changed number.

    NaN in the tiles is found when they are read. Estimators refuse it and name the file.

    The extractor and the size of the tiles, `Bag.tiling`, are read from the attributes of ``.h5`` files: "extractor",
    "tile_size_um" and "tile_size_px" of STAMP, "patch_size" and "target_magnification" of TRIDENT, whose extractor is
    the "encoder" of its features or else in the name of their folder, "patch_size" and "downsample" of CLAM's tiles
    where TRIDENT made the features, and all of them of :func:`~sksurv_mmf.slides.extract_features`. Tiles that CLAM
    took from levels of different downsample are taken for tiles of different size; if the magnification of the scanners
    makes up for it, say so with `tiling`.
    Files of any format in folders as TRIDENT names them, ``20x_256px_0px_overlap/features_uni_v1``, are known by these.
    A magnification of 20 counts as 0.5 um per pixel. Two lengths are the same up to 1 percent.

    Coordinates of different slides overlap. A bag has coordinates only if all its slides do. Their unit, that of
    `Bag.coord_unit`, is "um" for files of STAMP, which say so by the attribute "unit" of the file; it is not
    known of others, and maps on a slide take it for pixels of level 0, the finest. If that is wrong, give the table of
    attention a column "coord_unit" first.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sksurv_mmf import read_bags
    >>> folder = tempfile.TemporaryDirectory()
    >>> for slide in ("TCGA-05-4244-01Z-00-DX1", "TCGA-05-4245-01Z-00-DX1", "TCGA-05-4245-01Z-00-DX2"):
    ...     np.save(Path(folder.name, f"{slide}.npy"), np.ones((10, 4), dtype=np.float32))
    >>> bags = read_bags(folder.name)
    >>> bags
    patient
    TCGA-05-4244    Bag(10 tiles x 4 features)
    TCGA-05-4245    Bag(20 tiles x 4 features)
    Name: tiles, dtype: bag
    >>> bags["TCGA-05-4245"].slides
    {'TCGA-05-4245-01Z-00-DX1': 10, 'TCGA-05-4245-01Z-00-DX2': 10}
    >>> folder.cleanup()
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"format must be 'auto' or one of {', '.join(FORMATS)}, got {format!r}.")
    check_is_tiling(tiling)
    check_choice(slides)
    table, slides = find_slides(source, patient, format, slides)
    matched = table["status"] == READ
    keys = {"format": format, "features_key": features_key, "coords_key": coords_key}
    files = open_all(table["path"][matched], partial(open_feature_file, **keys, tiling=tiling, max_ratio=max_ratio))
    check_widths(files)
    _check_tilings(files)
    table.loc[matched, "n_tiles"] = [file.shape[0] for file in files]
    table.loc[matched, "has_coords"] = [file.coords is not None for file in files]
    bags = _one_bag_per_patient(files, table["patient"][matched])
    counts = (len(files), len(bags), sum(bags.array.n_tiles), bags.array.n_features)
    logger.info("Opened %d feature files of %d patients: %d tiles of %d features.", *counts)
    warn_mixed(table, slides)
    if tiling is None:
        _warn_sides(files)
    if len(files) > 1 and files[0].shape[1] >= _NARROWEST_VECTOR and all(file.shape[0] == 1 for file in files):
        warn(
            f"All {len(files)} files have a single row. If these are vectors of whole slides, not features of tiles, "
            "read them with read_slide_vectors, which makes a table of them."
        )
    if return_report:
        return bags, table.set_index("slide")[REPORT]
    warn_left_out(table)
    return bags


def find_slides(source, patient, format, slides):
    """The table of slides with path, patient, barcode and status, and which slides are taken if that was "auto"."""
    table = _find_slides(source, patient, format)
    add_barcodes(table)
    if slides == "auto":
        slides = "all" if _is_table(source) or _is_table(patient) else "tumor"
    select(table, slides)
    matched = table["status"] == READ
    if not matched.any():
        raise ValueError(_nothing_matches(table, source))
    _check_repeated(table[matched])
    return table, slides


def _is_table(source):
    return isinstance(source, Mapping | pd.Series | pd.DataFrame)


def _find_slides(source, patient, format):
    """Table of slides with path, patient and status."""
    if isinstance(source, pd.Series | pd.DataFrame):
        if not isinstance(patient, str) or patient != "auto":
            raise ValueError(
                f"source is a {type(source).__name__}, which is a table that names the patients; leave patient out. If "
                "it is no more than a column of paths, pass it as a list, source.tolist(), with patient."
            )
        paths, patients = _table(source, "path", "slide")
        slides = _slide_table(paths)
        slides["patient"] = patients
        slides.loc[~slides["path"].map(os.path.exists).astype(bool), "status"] = NO_FILE
    else:
        slides = _slide_table(_list_paths(source), format, not isinstance(source, str | os.PathLike))
        slides = _match(slides, patient)
    unclaimed = slides["patient"].isna() & (slides["status"] == READ)
    slides.loc[unclaimed, "status"] = NO_PATIENT
    return slides


def _slide_table(paths, format="auto", is_chosen=True):
    slides = pd.DataFrame({"path": [os.path.abspath(os.fsdecode(path)) for path in paths]}, dtype=object)
    slides["slide"] = slides["path"].map(slide_name).astype(object)
    slides["patient"] = pd.Series(None, index=slides.index, dtype=object)
    found = slides["path"].map(_format_by_name)
    wanted = found.notna() if format == "auto" else found == format
    slides["status"] = np.where(is_chosen | wanted, READ, OTHER_FILE).astype(object)
    slides["n_tiles"] = pd.Series(pd.NA, index=slides.index, dtype="Int64")
    slides["has_coords"] = pd.Series(pd.NA, index=slides.index, dtype="boolean")
    return slides


def _format_by_name(path):
    return FORMAT_OF_SUFFIX.get(os.path.splitext(path)[1].lower())


def _list_paths(source):
    """Paths of a folder, by name, or of a list."""
    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, Iterable):
            raise TypeError(
                f"source must be a folder, a list of paths or a table of paths, got a {type(source).__name__}."
            )
        return list(source)
    folder = os.path.abspath(os.fsdecode(source))
    if os.path.isfile(os.path.join(folder, MANIFEST)):
        raise ValueError(f"{folder!r} is a store of bags; open it with open_bags.")
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise ValueError(f"source must be a folder, but {folder!r} is a file; pass [path] to read a single file.")
        raise FileNotFoundError(f"There is no folder {folder!r}.")
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            # A folder that is named like a file is refused by name when it is opened.
            if not entry.name.startswith(".") and (not entry.is_dir() or _format_by_name(entry.name) is not None)
        )
    return [os.path.join(folder, name) for name in names]


def _table(table, *keys):
    """Slides, by one of `keys`, and patients of a table."""
    if isinstance(table, pd.DataFrame):
        if "patient" not in table.columns:
            raise ValueError(f"The table of patients needs a column 'patient', but has {shorten(table.columns)}.")
        key = next((key for key in keys if key in table.columns), None)
        table = table["patient"] if key is None else table.set_index(key)["patient"]
    slides = list(table.index)
    strange = [one for one in slides if not isinstance(one, str | os.PathLike)]
    if strange:
        are_paths = len(table) and all(isinstance(one, str | os.PathLike) and _format_by_name(one) for one in table)
        way_out = " Its values are paths: pass them as a list, source.tolist(), with patient." if are_paths else ""
        raise ValueError(
            f"The table of patients needs the {keys[0]} as index or, in a DataFrame, as column {keys[0]!r}; got the "
            f"index {shorten(strange)}.{way_out}"
        )
    return slides, [None if pd.isna(patient) else patient for patient in table]


def _match(slides, patient):
    """Fill in the patients."""
    is_slide = slides["status"] == READ
    names = slides["slide"][is_slide]
    if _is_table(patient):
        return _match_table(slides, names, patient)
    find = patient
    if isinstance(patient, str):
        choices = {"tcga": _tcga_patient, "slide": str}
        if patient not in {"auto", *choices}:
            raise ValueError(f"patient must be 'auto', 'tcga', 'slide', a function or a table, got {patient!r}.")
        has_barcodes = any(read_barcode(name) for name in names)
        find = choices["tcga" if patient == "auto" and has_barcodes else patient if patient != "auto" else "slide"]
    elif not isinstance(patient, Callable):
        raise TypeError(
            f"patient must be 'auto', 'tcga', 'slide', a function or a table, got a {type(patient).__name__}."
        )
    slides.loc[is_slide, "patient"] = names.map(lambda name: _call(find, name)).astype(object)
    return slides


def _call(find, name):
    patient = find(name)
    if is_list_like(patient):
        raise ValueError(f"The function that finds the patient returned {patient!r} for slide {name!r}.")
    return None if pd.isna(patient) else patient


def _tcga_patient(name):
    barcode = read_barcode(name)
    return barcode and barcode.patient


def _match_table(slides, names, table):
    """Fill in the patients of a table, and append its slides that have no file."""
    listed, patients = _table(pd.Series(table, dtype=object) if isinstance(table, Mapping) else table, "slide")
    patient_of = {}
    for name, one in zip(map(slide_name, listed), patients):
        if patient_of.setdefault(name, one) != one:
            raise ValueError(f"Slide {name!r} belongs to two patients in the table: {patient_of[name]!r} and {one!r}.")
    slides.loc[names.index, "patient"] = names.map(patient_of.get).astype(object)
    absent = [name for name in patient_of if name not in set(names)]
    rows = {"slide": absent, "patient": [patient_of[name] for name in absent], "status": NO_FILE, "path": None}
    return pd.concat([slides, pd.DataFrame(rows).astype(object)], ignore_index=True).astype(slides.dtypes)


def _folders_with_files(source):
    """Names of the sub-folders of a folder that have feature files; none if it is something else."""
    if not isinstance(source, str | os.PathLike):
        return []
    with os.scandir(source) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and not _format_by_name(entry.name))
    return [name for name in folders if any(map(_format_by_name, os.listdir(os.path.join(source, name))))]


def _nothing_matches(slides, source):
    counts = ", ".join(f"{n} {status}" for status, n in slides["status"].value_counts().items()) or "no file at all"
    folders = _folders_with_files(source)
    hint = f" Sub-folders have feature files; pass one of them: {shorten(folders, 3)}." if folders else ""
    return (
        f"No slide belongs to a patient ({counts}). Files found: {shorten(slides['path'].dropna()) or 'none'}."
        f"{hint}{hint_of_names(slides)} Check the folder, whose sub-folders are not searched, patient and slides: "
        "slides='all' takes them all."
    )


def _check_repeated(slides):
    repeated = slides[slides.duplicated(["patient", "slide"], keep=False)]
    if len(repeated):
        first = repeated.iloc[0]
        paths = repeated["path"][(repeated["slide"] == first["slide"]) & (repeated["patient"] == first["patient"])]
        raise ValueError(
            f"Patient {first['patient']!r} has several files of slide {first['slide']!r}: {shorten(paths)}. Choose one "
            "of them, for example with format."
        )


def open_all(paths, open_file):
    """Read all headers by `open_file`; if some files cannot be used, name them together."""
    files, errors = [], []
    for path in tqdm(paths, desc="reading headers", unit="file", disable=None):
        try:
            files.append(open_file(path))
        except (OSError, ValueError) as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        all_absent = all(isinstance(error, FileNotFoundError) for error in errors)
        raise (FileNotFoundError if all_absent else ValueError)(
            f"{len(errors)} of {len(paths)} feature files cannot be used:\n"
            + "\n".join(str(error) for error in errors[:5])
            + (f"\nand {len(errors) - 5} more." if len(errors) > 5 else "")
        )
    return files


def check_widths(files):
    """Refuse files that differ in their number of features."""
    widths = [file.shape[-1] for file in files]
    if len(set(widths)) > 1:
        found = describe_widths(widths, [file.path for file in files], "file")
        raise ValueError(
            f"All files must have the same number of features, but there are {found}. Use the files of one feature "
            "extractor."
        )


def _check_tilings(files):
    found = disagreement([file.tiling for file in files], [file.path for file in files], "file")
    if found:
        raise ValueError(
            f"All files must be of one feature extractor and have tiles of one size, but there are {found}. Read them "
            f"apart, as lists of files. {WAY_OUT}"
        )


def _warn_sides(files):
    """Warn if tiles have several sizes in pixels of the slides, and nobody says how large these pixels are."""
    names_of = {}
    for file in files:
        (side,) = file.sides
        if side is not None and (file.tiling.width, file.tiling.downsample) == (None, None):
            known = next((one for one in names_of if same_length(one, side)), side)
            names_of.setdefault(known, []).append(file.path)
    if len(names_of) > 1:
        groups = "; ".join(f"{len(own)} with {side:g}: {shorten(own, 2)}" for side, own in names_of.items())
        warn(
            f"Files have tiles of several sizes in pixels of level 0: {groups}. They do not say how large these pixels "
            "are; the tiles are of one size only if the slides were scanned at magnifications that make up for it. If "
            "they are, say so with tiling=Tiling(tile_size=..., mpp=...), with Tiling of sksurv_mmf.bags.",
            UserWarning,
        )


def _one_bag_per_patient(files, patients):
    files_of = {}
    for file, patient in zip(files, patients):
        files_of.setdefault(patient, []).append(file)
    for patient, own in files_of.items():
        if len({file.coord_unit for file in own if file.coords is not None}) > 1:
            units = [f"{file.path} ({file.coord_unit or 'unit not known'})" for file in own]
            raise ValueError(f"Patient {patient!r} has slides with coordinates of different units: {', '.join(units)}.")
    contents = [own[0] if len(own) == 1 else SlideFiles(tuple(own)) for own in files_of.values()]
    bags = BagArray([Bag._from_content(content, content.path) for content in contents])
    return pd.Series(bags, index=pd.Index(list(files_of), name="patient"), name="tiles")
