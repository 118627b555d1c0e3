"""One memory-mapped store for the bags of a cohort."""

import io
import json
import os
import zlib
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.lib import format as npy_format
from tqdm.auto import tqdm

from ..files._regular_file import check_regular_file
from ..files._writing import writing
from ..utils._validation import shorten, subject
from ..utils._warnings import warn
from ._array import BagArray, BagDtype
from ._bag import Bag
from ._checks import COORD_UNITS, check_numbers
from ._files import check_unchanged, stamp_of
from ._numpy_files import StoredArray, read_npy_header
from ._tiling import UNKNOWN, Tiling

MANIFEST = "store.json"
_FORMAT, _VERSION = "sksurv_mmf bags", 1
_ARRAYS = ("features", "coords", "offsets", "ids", "slide_offsets", "slide_ids", "has_coords", "bag_crc32")
_LARGE = ("features", "coords")
_OPTIONAL = "tile_sides"  # since a later release; stores without it stay as they are
# A manifest has a few hundred bytes; a larger file is none.
_MAX_MANIFEST_BYTES = 100_000
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix of the store, with one row per tile of the cohort, in a file as it was when the store was opened."""

    path: str
    stamp: tuple
    array: StoredArray

    def rows(self, start, stop):
        check_unchanged(self.path, self.stamp)
        return self.array.rows(start, stop).read(self.path)


@dataclass(frozen=True, slots=True)
class _StoredBag:
    """Rows of a store; the content of a file-backed bag."""

    features: _Matrix
    coords: _Matrix | None
    start: int
    stop: int
    tiles_of_slides: tuple
    coord_unit: str | None
    tiling: Tiling = UNKNOWN
    sides: tuple | None = None

    @property
    def path(self):
        return os.path.dirname(self.features.path)

    @property
    def shape(self):
        return self.stop - self.start, self.features.array.shape[1]

    @property
    def slides(self):
        return None if self.tiles_of_slides is None else dict(self.tiles_of_slides)

    def source_of(self, tile):
        if self.tiles_of_slides is None:
            return self.path
        stops = np.cumsum([n_tiles for _, n_tiles in self.tiles_of_slides])
        name, _ = self.tiles_of_slides[np.searchsorted(stops, tile, side="right")]
        return f"{self.path}, slide {name}"

    def read_features(self):
        return self.features.rows(self.start, self.stop)

    def read_coords(self):
        return None if self.coords is None else self.coords.rows(self.start, self.stop)


def pack_bags(bags, path: str | os.PathLike, dtype: str = "float32") -> pd.Series:
    """Write the bags of a cohort into one store, from which they are memory-mapped.

    Worth its disk space when many epochs read the same slides: a store needs no decompression and no opening of a
    thousand files, and `open_bags` takes milliseconds whatever its size. One bag at a time is in memory.

    Parameters
    ----------
    bags : Series of dtype "bag"
        One bag per patient; the index is the patient, a string or a whole number. A missing bag stays missing.
    path : str or path-like
        Folder to make. It gets its name when it is complete; until then the files are in a folder beside it whose
        name begins with a dot and ends in ``.partial``. An error removes that folder; if the process is killed, the
        next call that writes beside it does.
    dtype : {"float16", "float32"}, default="float32"
        Type of the stored features. float16 takes half the space and rounds to 11 significant bits.

    Returns
    -------
    packed : Series of dtype "bag"
        The bags of the store, as `open_bags` returns them.

    Raises
    ------
    FileExistsError
        If there is something at `path`, already or because another process has packed a store there in the meantime.
    TypeError
        If `bags` is not a series of bags.
    ValueError
        If patients are missing or repeated, no patient has a bag, a feature is beyond the range of float16, or
        coordinates have different units.

    Warns
    -----
    UserWarning
        If tiles have NaN.

    See Also
    --------
    open_bags : Opens the store.
    read_bags : Reads feature files.

    Notes
    -----
    The layout, version 1, is a folder of ``.npy`` files in C order and little-endian:

    ===================== ====================== =============================================================
    file                  shape, type            content
    ===================== ====================== =============================================================
    ``features.npy``      (n_tiles, n_features)  all tiles, bag after bag; float16 or float32
    ``coords.npy``        (n_tiles, 2)           their coordinates, float64; 0 where a bag has none; absent if
                                                 no bag has any
    ``offsets.npy``       (n_patients + 1,)      patient i owns the rows offsets[i]:offsets[i + 1], none if the
                                                 bag is missing; int64
    ``ids.npy``           (n_patients,)          the patients; text or int64
    ``slide_offsets.npy`` (n_slides + 1,)        slide j owns the rows slide_offsets[j]:slide_offsets[j + 1];
                                                 int64
    ``slide_ids.npy``     (n_slides,)            the slides; "" where a bag does not know its slides
    ``has_coords.npy``    (n_patients,)          whether the bag has coordinates; bool
    ``bag_crc32.npy``     (n_patients,)          CRC-32 of each bag's rows of features.npy, 0 if it is missing; uint32
    ``tile_sides.npy``    (n_slides,)            side of the tiles in the unit of the coordinates, float64; NaN where it
                                                 is not known; absent if it is not known of any
    ``store.json``                               format, version, unit of the coordinates ("px", "um" or null), size and
                                                 CRC-32 of each file, and, if anything of it is known, the `Tiling`
    ===================== ====================== =============================================================

    The checksums find damage, not forgery.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import open_bags, pack_bags
    >>> bags = pd.Series({"P1": np.ones((3, 2)), "P2": np.zeros((5, 2))}, dtype="bag")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     packed = pack_bags(bags, f"{folder}/cohort.bags", dtype="float16")
    ...     packed["P2"].features.dtype
    dtype('float16')
    """
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32', got {dtype!r}.")
    ids = _check_bags(bags)
    path = os.path.abspath(os.fsdecode(path))
    with writing(path) as folder:
        folder.mkdir()
        _write_store(folder, bags.array, ids, np.dtype(dtype).newbyteorder("<"))
    return open_bags(path)


def open_bags(path: str | os.PathLike, verify: bool = False) -> pd.Series:
    """Open a store that `pack_bags` has written.

    Parameters
    ----------
    path : str or path-like
        The store.
    verify : bool, default=False
        Whether to read the whole store and compare its checksums. Otherwise the sizes of all files are compared and
        the checksums of all but features and coordinates.

    Returns
    -------
    bags : Series of dtype "bag"
        One file-backed bag per patient, in the order in which they were packed; the index is named "patient".

    Raises
    ------
    FileNotFoundError
        If there is no store at `path`.
    ValueError
        If the store is damaged, with the file or the patients that are, or has a version that this release does not
        know.

    See Also
    --------
    pack_bags : Writes a store.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sksurv_mmf.bags import open_bags, pack_bags
    >>> bags = pd.Series({"P1": np.ones((3, 2)), "P2": np.zeros((5, 2))}, dtype="bag")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pack_bags(bags, f"{folder}/cohort.bags")
    ...     open_bags(f"{folder}/cohort.bags", verify=True)
    patient
    P1    Bag(3 tiles x 2 features)
    P2    Bag(5 tiles x 2 features)
    Name: tiles, dtype: bag
    """
    path = os.path.abspath(os.fsdecode(path))
    manifest = _read_manifest(path)
    try:
        files, unit = manifest["files"], manifest.get("coord_unit")
        if unit not in (None, *COORD_UNITS):
            raise ValueError(f"{MANIFEST} has the unknown unit of coordinates {unit!r}.")
        matrices = {name: _open_matrix(path, files, name) for name in _LARGE if name in files}
        small = {name: _read_small(path, files, name) for name in _ARRAYS if name not in _LARGE}
        if _OPTIONAL in files:
            small[_OPTIONAL] = _read_small(path, files, _OPTIONAL)
        bags = _bags_of(matrices["features"], matrices.get("coords"), small, unit, Tiling(**manifest.get("tiling", {})))
        if verify:
            _verify(matrices, files, small)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"Bag store {path!r} cannot be used: {error}") from error
    return pd.Series(bags, index=pd.Index(small["ids"].tolist(), name="patient"), name="tiles")


def _check_bags(bags):
    """Return the patients as an array, after checking that these are bags of patients."""
    if not isinstance(bags, pd.Series) or not isinstance(bags.dtype, BagDtype):
        raise TypeError(f"bags must be a Series of dtype 'bag', indexed by patient, got a {type(bags).__name__}.")
    if bags.isna().all():
        raise ValueError("None of these patients has a bag, so there is nothing to pack.")
    if bags.index.has_duplicates:
        repeated = bags.index[bags.index.duplicated()].unique()
        raise ValueError(f"{subject(repeated, 'Patient', 'has', 'have')} several bags.")
    if pd.api.types.is_integer_dtype(bags.index.dtype):
        return bags.index.to_numpy(dtype="<i8")
    strange = [patient for patient in bags.index if not isinstance(patient, str) or not patient]
    if strange:
        raise ValueError(f"Patients must be named by text or whole numbers, got {shorten(strange)}.")
    return np.array(bags.index, dtype="<U")


def _write_store(folder, bags, ids, dtype):
    n_tiles, n_features = int(bags.n_tiles.sum()), bags.n_features
    slides = [_slides_of(bag) for bag in bags if bag is not pd.NA]
    small = {
        "offsets": np.concatenate([[0], np.cumsum(bags.n_tiles)]).astype("<i8"),
        "ids": ids,
        "slide_offsets": np.cumsum([0, *(n for each in slides for n in each.values())]).astype("<i8"),
        "slide_ids": np.array([name for each in slides for name in each], dtype="<U"),
    }
    sides = np.array([side for bag in bags if bag is not pd.NA for side in _sides_of(bag)], dtype="<f8")
    if not np.isnan(sides).all():
        small[_OPTIONAL] = sides
    with ExitStack() as stack:
        features = stack.enter_context(_MatrixWriter(folder, "features", (n_tiles, n_features), dtype))
        coords = stack.enter_context(_MatrixWriter(folder, "coords", (n_tiles, 2), np.dtype("<f8")))
        bar = stack.enter_context(tqdm(ids.tolist(), desc="packing", unit="bag", disable=None))
        written = [
            (False, 0, False) if bag is pd.NA else _write_bag(bag, patient, features, coords)
            for patient, bag in zip(bar, bags)
        ]
    has_coords, checksums, has_nan = zip(*written)
    _warn_of_nan(ids[np.array(has_nan)].tolist(), len(ids))
    small |= {"has_coords": np.array(has_coords), "bag_crc32": np.array(checksums, dtype="<u4")}
    files = {"features": features.entry}
    if any(has_coords):
        files["coords"] = coords.entry
    else:
        os.remove(coords.path)
    for name, array in small.items():
        with _MatrixWriter(folder, name, array.shape, array.dtype) as writer:
            writer.write(array)
        files[name] = writer.entry
    _write_manifest(folder, files, _unit_of(bags[np.array(has_coords)]), bags.tiling)


def _warn_of_nan(ids, n_patients):
    if ids:
        warn(
            f"The bags of {len(ids)} of {n_patients} patients have NaN in their tiles, so that their files may be "
            f"damaged: {shorten(ids, 2)}. Make these files again, or fill the tiles with "
            "BagTransformer(SimpleImputer()); estimators refuse them."
        )


def _unit_of(bags):
    """The unit that all coordinates of these bags have, or None if it is not known."""
    units = {bag.coord_unit for bag in bags}
    if len(units) > 1:
        raise ValueError(
            f"A store has one unit of coordinates, but these bags have {shorten(sorted(map(str, units)))} (None: not "
            "known). Pack them in several stores."
        )
    return units.pop() if units else None


def _slides_of(bag):
    return bag.slides or {"": bag.n_tiles}


def _sides_of(bag):
    sides = bag.tile_sides
    n_tiles = list(_slides_of(bag).values())
    return [np.nan] * len(n_tiles) if sides is None else sides[np.cumsum([0, *n_tiles[:-1]])]


def _write_bag(bag, patient, features, coords):
    """Append a bag; return whether it has coordinates, the checksum of its features, and whether they have NaN."""
    values, places = bag.features, bag.coords
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(values, dtype=features.dtype)
    if rows.dtype.itemsize < values.dtype.itemsize and not np.array_equal(np.isinf(rows), np.isinf(values)):
        raise ValueError(
            f"The bag of patient {patient!r} has features beyond {np.finfo(rows.dtype).max}, the range of float16. "
            "Pack it with dtype='float32', or scale the features first, for example with BagTransformer."
        )
    features.write(rows)
    coords.write(np.ascontiguousarray(np.zeros((len(rows), 2)) if places is None else places, dtype=coords.dtype))
    return places is not None, _crc32(rows), bool(np.isnan(rows).any())


class _MatrixWriter:
    """Writes a ``.npy`` file piece by piece and keeps its size and checksum."""

    def __init__(self, folder, name, shape, dtype):
        self.path = os.path.join(folder, f"{name}.npy")
        self.dtype = dtype
        self.entry = {"bytes": 0, "crc32": 0}
        header = io.BytesIO()
        descr = npy_format.dtype_to_descr(dtype)
        npy_format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
        self.header = header.getvalue()

    def __enter__(self):
        self.stream = open(self.path, "xb")
        self._append(self.header)
        return self

    def write(self, array):
        """Append an array."""
        self._append(array.reshape(-1).view(np.uint8))

    def _append(self, data):
        self.stream.write(data)
        self.entry = {"bytes": self.entry["bytes"] + len(data), "crc32": zlib.crc32(data, self.entry["crc32"])}

    def __exit__(self, *_):
        with self.stream:
            self.stream.flush()
            os.fsync(self.stream.fileno())


def _write_manifest(folder, files, coord_unit, tiling):
    content = {"format": _FORMAT, "version": _VERSION, "coord_unit": coord_unit, "files": files}
    if tiling != UNKNOWN:
        content["tiling"] = asdict(tiling)
    with open(os.path.join(folder, MANIFEST), "x", encoding="utf-8") as stream:
        json.dump(content | {"crc32": _json_crc32(content)}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _json_crc32(content):
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _read_manifest(path):
    """Return the manifest: unit of the coordinates, and size and checksum of each file by its name."""
    manifest = os.path.join(path, MANIFEST)
    if os.path.exists(manifest):
        check_regular_file(manifest, "The manifest ")
    else:
        raise FileNotFoundError(f"{path!r} is no bag store: it has no {MANIFEST}. pack_bags makes stores.")
    try:
        with open(manifest, "rb") as stream:
            content = json.loads(stream.read(_MAX_MANIFEST_BYTES))
        checksum = content.pop("crc32")
        if content["format"] != _FORMAT or not isinstance(content["version"], int):
            raise ValueError("it is the file of another format.")
    except Exception as error:
        raise ValueError(f"Bag store {path!r} cannot be used: {MANIFEST} is damaged: {error}") from error
    if content["version"] != _VERSION:
        raise ValueError(
            f"Bag store {path!r} has version {content['version']} of the layout, but this release of sksurv_mmf reads "
            f"version {_VERSION}. Use the release that wrote it, or pack the bags again."
        )
    if checksum != _json_crc32(content):
        raise ValueError(f"Bag store {path!r} cannot be used: {MANIFEST} does not have its checksum; it is damaged.")
    return content


def _open_file(path, files, name, check_dtype=check_numbers):
    """Path and header of a file that has the announced size."""
    file = os.path.join(path, f"{name}.npy")
    check_regular_file(file, "its file ")
    size = os.stat(file).st_size
    if size != files[name]["bytes"]:
        raise ValueError(f"{name}.npy has {size} bytes, but should have {files[name]['bytes']}; it is damaged.")
    return file, read_npy_header(file, size, check_dtype)


def _open_matrix(path, files, name):
    file, array = _open_file(path, files, name)
    if len(array.shape) != 2 or array.order != "C":
        raise ValueError(f"{name}.npy is no matrix in C order.")
    return _Matrix(file, stamp_of(file), array)


def _read_small(path, files, name):
    """Read and verify what is not about single tiles."""
    check_dtype = _check_ids if name.endswith("ids") else check_numbers
    file, array = _open_file(path, files, name, check_dtype)
    if _file_crc32(file) != files[name]["crc32"]:
        raise ValueError(f"{name}.npy does not have its checksum; it is damaged.")
    if len(array.shape) != 1:
        raise ValueError(f"{name}.npy is no vector.")
    return np.array(array.read(file))


def _check_ids(dtype):
    if dtype.kind not in "Ui":
        raise ValueError(f"expected text or whole numbers, got dtype {dtype}.")


def _bags_of(features, coords, small, coord_unit, tiling):
    """Make the bags of a store, after checking that its files agree."""
    offsets, slide_offsets = small["offsets"], small["slide_offsets"]
    n_tiles = features.array.shape[0]
    ends_match = all(len(ends) and (ends[0], ends[-1]) == (0, n_tiles) for ends in (offsets, slide_offsets))
    rises = (np.diff(offsets) >= 0).all() and (np.diff(slide_offsets) > 0).all()
    if not (ends_match and rises and np.isin(offsets, slide_offsets).all()):
        raise ValueError(f"its offsets do not divide {n_tiles} tiles.")
    lengths = {name: len(small[name]) for name in ("ids", "has_coords", "bag_crc32")}
    if {*lengths.values()} != {len(offsets) - 1} or len(small["slide_ids"]) != len(slide_offsets) - 1:
        raise ValueError(f"its files disagree on the number of patients or slides: {lengths}.")
    if coords is not None and coords.array.shape != (n_tiles, 2):
        raise ValueError(f"coords.npy has shape {coords.array.shape}, but there are {n_tiles} tiles.")
    sides = _read_sides(small, len(slide_offsets) - 1)
    first = np.searchsorted(slide_offsets, offsets)
    slides = list(zip(small["slide_ids"].tolist(), np.diff(slide_offsets).tolist()))
    bags = np.full(len(offsets) - 1, pd.NA, dtype=object)
    for i, (start, stop) in enumerate(pairwise(offsets.tolist())):
        if start < stop:
            own = tuple(slides[first[i] : first[i + 1]])
            lengths = None if own[0][0] == "" else sides[first[i] : first[i + 1]]
            own = None if own[0][0] == "" else own
            places, unit = (coords, coord_unit) if small["has_coords"][i] else (None, None)
            content = _StoredBag(features, places, start, stop, own, unit, tiling, lengths)
            bags[i] = Bag._from_content(content, content.path)
    return BagArray(bags)


def _read_sides(small, n_slides):
    """Sides of the tiles of each slide, None where they are not known."""
    sides = small.get(_OPTIONAL, np.full(n_slides, np.nan))
    if len(sides) != n_slides or not ((sides > 0) & (sides < np.inf) | np.isnan(sides)).all():
        raise ValueError(f"{_OPTIONAL}.npy does not give the side of the tiles of {n_slides} slides.")
    return tuple(None if np.isnan(side) else side for side in sides.tolist())


def _verify(matrices, files, small):
    """Compare the checksums of the large files; where features differ, find the patients who have the damage."""
    bad = [name for name, matrix in matrices.items() if _file_crc32(matrix.path) != files[name]["crc32"]]
    if not bad:
        return
    damaged = [
        patient
        for patient, checksum, (start, stop) in zip(
            small["ids"].tolist(), small["bag_crc32"], pairwise(small["offsets"].tolist())
        )
        if start < stop and _crc32(matrices["features"].rows(start, stop)) != checksum
    ]
    whose = f" The features of patient {shorten(damaged)} are damaged." if damaged else ""
    raise ValueError(f"{', '.join(bad)} does not have its checksum.{whose}")


def _crc32(array):
    return zlib.crc32(array.reshape(-1).view(np.uint8))


def _file_crc32(path):
    checksum = 0
    with open(path, "rb") as stream:
        while data := stream.read(_CHUNK_BYTES):
            checksum = zlib.crc32(data, checksum)
    return checksum
