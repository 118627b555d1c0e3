"""Names of columns, ``<modality>__<feature>``: made here and taken apart here."""

from collections import defaultdict

from ._validation import subject

SEPARATOR = "__"
"""Between modality and feature, as ColumnTransformer writes it."""


def column_name(modality, feature):
    """Name of the column that a feature of a modality has."""
    return f"{modality}{SEPARATOR}{feature}"


def modality_of(column):
    """Modality that the name of a column begins with, or None if it is named otherwise."""
    name, separator, _ = column.partition(SEPARATOR) if isinstance(column, str) else ("", "", "")
    return name if name and separator else None


def belongs_to(column, modality):
    """Whether a column is named ``<modality>__<feature>``."""
    return isinstance(column, str) and column.startswith(column_name(modality, ""))


def feature_of(column, modality):
    """Name of a column without the prefix of its modality, if it has it."""
    return str(column).removeprefix(column_name(modality, ""))


def without_modality(column):
    """Name of a column without the prefix of any modality; a name that would be empty stays as it is."""
    return column.partition(SEPARATOR)[2] or column


def columns_by_modality(columns):
    """The columns that are named ``<modality>__<feature>`` of each modality, in order of appearance."""
    found = defaultdict(list)
    for column in columns:
        name = modality_of(column)
        if name is not None:
            found[name].append(column)
    return found


def prefixes(columns):
    """Modalities of columns in order of appearance, empty unless all have a prefix; some without one are refused."""
    if not any(isinstance(column, str) and SEPARATOR in column for column in columns):
        return []
    loose = [column for column in columns if modality_of(column) is None]
    if loose:
        raise ValueError(
            f"{subject(loose, 'Column', 'belongs', 'belong')} to no modality: some columns of X are named "
            "'<modality>__<feature>', others are not. Rename or drop these, or say "
            "modalities=[(name, encoder, columns), ...]."
        )
    return list(columns_by_modality(columns))
