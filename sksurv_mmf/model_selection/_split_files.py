"""The layouts in which others publish folds, read as one dict per fold: from side to the names on it."""

import csv
import os
import re
from itertools import count
from pathlib import Path

from ..files._text_files import read_lines
from ..utils._validation import shorten

SIDES = ("train", "val", "test")

# In bytes. The largest that are published have 12 million, with all clinical data of each slide.
_LARGEST = 50_000_000

_FILE = re.compile(r"splits_([0-9]{1,9})(_bool)?\.csv")
_FOLDER = re.compile(r"(.*?)_?k=([0-9]{1,9})")
_PATIENTS = ("case_id", "patient", "patient_id", "submitter_id")
_SLIDES = ("slide_id", "slide")
_BOOLEANS = {"true", "false"}


def find_folds(path):
    """Files or folders of the folds, in their order.

    CLAM and its relatives have files ``splits_0.csv``, and beside them ``splits_0_bool.csv`` with the same in other
    words; MMP has folders that end in ``k=0`` with a file for each side. `path` is the folder that has them, such a
    folder of a single fold, or what the names of folders begin with.
    """
    if _is_fold(path):
        return [path]
    files, folders = {}, {}
    if path.is_dir():
        for one in sorted(path.iterdir()):
            if match := _FILE.fullmatch(one.name):
                _add(files, (match[2] or "", int(match[1])), one)
    for one in sorted(path.iterdir() if path.is_dir() else path.parent.glob("*k=*")):
        if (match := _FOLDER.fullmatch(one.name)) and _is_fold(one) and (path.is_dir() or match[1] == path.name):
            _add(folders, (match[1], int(match[2])), one)
    plain = {key: file for key, file in files.items() if not key[0]}
    found = plain or files or folders
    if not found:
        raise FileNotFoundError(
            f"{path} has no files splits_0.csv, splits_1.csv and so on, and no folders that end in k=0 with train.csv."
        )
    prefixes = sorted({prefix for prefix, _ in found})
    if len(prefixes) > 1:
        raise ValueError(f"{path} has folds of {shorten(prefixes)}. Choose one: pass {str(path / prefixes[0])!r}.")
    by_fold = {fold: one for (_, fold), one in found.items()}
    last = max(by_fold)
    absent = next(fold for fold in count() if fold not in by_fold)
    if absent < last:
        raise FileNotFoundError(f"{path} lacks {_name_of(by_fold[last], last, absent)}, but has {by_fold[last].name}.")
    return [by_fold[fold] for fold in sorted(by_fold)]


def _is_fold(path):
    return path.is_dir() and (path / "train.csv").exists()


def _add(found, key, path):
    if key in found:
        raise ValueError(f"{path.parent} has fold {key[1]} twice: {found[key].name} and {path.name}.")
    found[key] = path


def _name_of(path, fold, other):
    """Name that another fold would have."""
    head, _, tail = path.name.rpartition(str(fold))
    return f"{head}{other}{tail}"


def read_sides(place, by_slide):
    """Names on each side of a fold, and whether one may be repeated because the rows are slides."""
    if _is_fold(place):
        files = {side: place / f"{side}.csv" for side in SIDES}
        return {side: _read_names(file, by_slide) for side, file in files.items() if file.exists()}, True
    head, *rows = read_table(place)
    names = dict(zip(head, zip(*rows))) if rows else dict.fromkeys(head, ())
    cells = {cell.casefold() for side in SIDES for cell in names.get(side, ()) if cell}
    if cells and cells <= _BOOLEANS:  # a row per patient, named first, and a tick where he is
        return {side: _ticked(rows, names[side]) for side in SIDES if side in names}, False
    return {side: list(filter(None, own)) for side, own in names.items() if side}, False


def _ticked(rows, cells):
    return [row[0] for row, cell in zip(rows, cells) if cell.casefold() == "true"]


def _read_names(file, by_slide):
    head, *rows = read_table(file)
    wanted = _SLIDES if by_slide else _PATIENTS
    column = next((name for name in wanted if name in head), None)
    if column is None:
        raise ValueError(f"{file} has no column {' or '.join(map(repr, wanted))}, only {shorten(head)}.")
    return [row[head.index(column)] for row in rows if row[head.index(column)]]


def read_table(file):
    """Rows of a table in a text file, the names of the columns first; all rows have as many cells."""
    size = os.path.getsize(file) if Path(file).is_file() else 0
    if size > _LARGEST:
        raise ValueError(f"{file} has {size} bytes; it is no table of patients.")
    lines = read_lines(file)
    head = next(lines, "")
    if not head.strip():
        raise ValueError(f"{file} is empty, or its first line is. Copy it again, or make it again.")
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader([head, *lines], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{file} is no table of names ({error}).") from error
    rows = [[cell.strip() for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    head = rows[0]
    repeated = sorted({name for name in head if head.count(name) > 1})
    if repeated:
        raise ValueError(f"{file} has several columns {repeated[0]!r}.")
    for row in rows[1:]:
        if len(row) > len(head):
            raise ValueError(f"{file} has {len(head)} columns, but a line with {len(row)} cells: {shorten(row, 3)}.")
        row.extend([""] * (len(head) - len(row)))
        row[:] = ["" if cell in ("nan", "NaN") else cell for cell in row]
    return rows
