"""Headers of parquet files with one row per tile."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..utils._optional import import_optional
from ._checks import COORDS, FEATURES, check_announced

_XY = ("x", "y")


@dataclass(frozen=True, slots=True)
class ParquetColumns:
    """Columns of numbers, one per feature."""

    columns: tuple
    shape: tuple
    dtype: str

    def verify(self, path):
        """Nothing to do: pages that have a checksum are compared with it when they are read."""

    def read(self, path):
        """Read the columns into one matrix; a missing value is NaN."""
        values = np.empty(self.shape, self.dtype)
        with _open(path) as file:
            table = file.read(columns=list(self.columns))
        for i, column in enumerate(self.columns):
            values[:, i] = table[column].to_numpy()
        return values


@dataclass(frozen=True, slots=True)
class ParquetLists:
    """A column that has a list of numbers, all of one length, in each row."""

    column: str
    shape: tuple

    def verify(self, path):
        """Nothing to do: pages that have a checksum are compared with it when they are read."""

    def read(self, path):
        """Read the lists as the rows of one matrix."""
        with _open(path) as file:
            lists = file.read(columns=[self.column])[self.column].combine_chunks()
        lengths = np.asarray(lists.value_lengths().fill_null(0))
        if np.any(lengths != self.shape[1]):
            raise ValueError(f"column {self.column!r} has lists of {lengths.min()} to {lengths.max()} numbers.")
        return lists.flatten().to_numpy(zero_copy_only=False).reshape(self.shape)


def read_parquet_headers(path, size, max_ratio, features_key, coords_key):
    """Describe features and coordinates of a parquet file."""
    with _open(path) as file:
        schema = file.schema_arrow  # made anew at each access
        names = schema.names
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ValueError(f"several columns are named {repeated[0]!r}.")
        coords = _coords_columns(names, coords_key)
        features = _features_columns(schema, coords, features_key)
        limits = size, max_ratio
        return [None if columns is None else _describe(file, schema, columns, limits) for columns in (features, coords)]


def _open(path):
    parquet = import_optional("pyarrow.parquet", "data", "Reading parquet feature files")
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise ValueError(f"it is truncated or no parquet file: copy it again, or make it again ({error}).") from error


def _coords_columns(names, key):
    """Name of a column of lists, or names of two columns, or None."""
    if key is None:
        return COORDS if COORDS in names else _XY if set(_XY) <= set(names) else None
    return _known(names, key, "coords_key")


def _features_columns(schema, coords, key):
    """Name of a column of lists, or names of the columns of numbers."""
    types = import_optional("pyarrow", "data", "Reading parquet feature files").types
    if key is not None:
        return _known(schema.names, key, "features_key")
    usual = [name for name in FEATURES if name in schema.names]
    if len(usual) == 1:
        return usual[0]
    index = [name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)]
    others = [name for name in schema.names if name not in {coords, *(coords or ()), *index}]
    strange = [name for name in others if not types.is_floating(schema.field(name).type)]
    if strange or not others:
        raise ValueError(
            f"it is not clear which columns are features: {strange[:5] or schema.names[:5]} are not. Name them with "
            "features_key, one column of lists or a list of columns."
        )
    return tuple(others)


def _known(names, key, argument):
    keys = (key,) if isinstance(key, str) else tuple(key)
    absent = [name for name in keys if name not in names]
    if absent:
        more = " ..." if len(names) > 10 else ""
        raise ValueError(f"it has no column {absent[0]!r} ({argument}), but {names[:10]}{more}.")
    return key if isinstance(key, str) else keys


def _describe(file, schema, columns, limits):
    if isinstance(columns, str) and _is_list(schema.field(columns).type):
        return _describe_lists(file, schema.field(columns).type, columns, limits)
    columns = (columns,) if isinstance(columns, str) else columns
    dtypes = [_number_type(schema.field(name).type, name) for name in columns]
    dtype = np.result_type(*dtypes)
    shape = (file.metadata.num_rows, len(columns))
    check_announced(shape, dtype.itemsize, *limits)
    return ParquetColumns(tuple(columns), shape, dtype.str)


def _describe_lists(file, kind, column, limits):
    n_rows = file.metadata.num_rows
    dtype = _number_type(kind.value_type, column)
    width = kind.list_size if hasattr(kind, "list_size") else _mean_length(file, column)
    check_announced((n_rows, width), dtype.itemsize, *limits)
    return ParquetLists(column, (n_rows, width))


def _mean_length(file, column):
    """Length of the lists, if all have the same: from the number of values that the footer states."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    n_values = sum(chunk.num_values for chunk in chunks if chunk.path_in_schema.partition(".")[0] == column)
    if n_values % max(file.metadata.num_rows, 1):
        raise ValueError(f"column {column!r} has lists of different lengths.")
    return n_values // max(file.metadata.num_rows, 1)


def _is_list(kind):
    types = import_optional("pyarrow", "data", "Reading parquet feature files").types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _number_type(kind, column):
    types = import_optional("pyarrow", "data", "Reading parquet feature files").types
    if not (types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind)):
        raise ValueError(f"expected numbers, got column {column!r} of type {kind}.")
    # The integers of a column with missing values come as float64.
    return np.dtype(kind.to_pandas_dtype()) if types.is_floating(kind) else np.dtype(np.float64)
