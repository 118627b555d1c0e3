"""Which slides of a cohort become bags, as far as their barcodes tell, and what is said about those that do."""

from collections.abc import Callable

import pandas as pd
from pandas.api.types import is_list_like

from ..utils._identifiers import better_match
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._tcga import DIAGNOSTIC, FIRST_OF_NORMAL, FROZEN, SAMPLE_TYPES, read_barcode

READ, NO_PATIENT, NO_FILE, OTHER_FILE = "read", "no patient", "no file", "other file"
NORMAL, NOT_SELECTED = "normal tissue", "not selected"
"""What can have become of a slide, in the report."""

_TISSUES = ("auto", "tumor", "normal", "all")
_KINDS = {DIAGNOSTIC: (DIAGNOSTIC,), **{kind: (kind,) for kind in FROZEN}, "frozen": FROZEN}


def check_choice(slides):
    """Refuse what chooses no slides."""
    if isinstance(slides, str):
        if slides not in (*_TISSUES, *_KINDS):
            names = ", ".join(map(repr, (*_TISSUES, *_KINDS)))
            raise ValueError(f"slides must be one of {names} or a function of the slide's name, got {slides!r}.")
    elif not isinstance(slides, Callable):
        raise TypeError(
            "slides must be a name such as 'DX' or a function of the slide's name, such as lambda name: 'DX' in name; "
            f"got a {type(slides).__name__}."
        )


def add_barcodes(slides):
    """Give the table of slides the columns "sample_type" and "slide_kind"."""
    barcodes = [read_barcode(name) for name in slides["slide"]]
    for column in ("sample_type", "slide_kind"):
        values = [barcode and getattr(barcode, column) for barcode in barcodes]
        slides[column] = pd.Series(values, index=slides.index, dtype=object)


def select(slides, choice):
    """Set the status of slides that were found, but are not to become bags.

    Parameters
    ----------
    slides : DataFrame
        The table of slides with their barcodes.
    choice : str or callable
        What the user asks for; not "auto".
    """
    found = slides["status"] == READ
    is_normal = slides["sample_type"].map(_is_normal).astype(bool)
    if isinstance(choice, Callable):
        wanted = slides["slide"][found].map(lambda name: _call(choice, name)).astype(bool)
        slides.loc[wanted.index[~wanted], "status"] = NOT_SELECTED
    elif choice in _KINDS:
        slides.loc[found & ~slides["slide_kind"].isin(_KINDS[choice]), "status"] = NOT_SELECTED
        slides.loc[(slides["status"] == READ) & is_normal, "status"] = NORMAL
    elif choice == "normal":
        slides.loc[found & ~is_normal, "status"] = NOT_SELECTED
    elif choice == "tumor":
        slides.loc[found & is_normal, "status"] = NORMAL


def _is_normal(sample_type):
    return isinstance(sample_type, str) and sample_type.startswith(FIRST_OF_NORMAL)


def _call(choice, name):
    wanted = choice(name)
    if is_list_like(wanted):
        raise ValueError(f"The function slides returned {wanted!r} for slide {name!r}; expected True or False.")
    return bool(wanted) and not pd.isna(wanted)


def warn_mixed(slides, choice):
    """Warn if slides of several tissues, or prepared in several ways, become bags and nobody asked for it."""
    if choice == "all" or isinstance(choice, Callable):
        return
    read = slides[slides["status"] == READ]
    names = read["slide"]
    kinds = [
        (names[read["slide_kind"] == DIAGNOSTIC], "diagnostic (DX)"),
        (names[read["slide_kind"].isin(FROZEN)], "frozen (TS, MS, BS)"),
    ]
    _warn_groups(kinds, "kinds", "Choose with slides='DX' or slides='frozen'")
    types = [
        (own, f"of sample type {code} ({SAMPLE_TYPES.get(code, 'not in the code table of TCGA')})")
        for code, own in names.groupby(read["sample_type"])
    ]
    _warn_groups(types, "sample types", "Choose with a function such as slides=lambda name: name[13:15] == '01'")


def _warn_groups(groups, what, way_out):
    groups = [(own, label) for own, label in groups if len(own)]
    if len(groups) > 1:
        found = "; ".join(f"{_count(own)} {label}: {shorten(own, 2)}" for own, label in groups)
        warn(
            f"The cohort mixes slides of several {what}: {found}. {way_out}; slides='all' takes all of them without "
            "this warning.",
            UserWarning,
        )


def warn_left_out(slides):
    """Warn of slides and patients that do not become bags though the user may expect it."""
    names = {status: slides["slide"][slides["status"] == status] for status in (NO_PATIENT, NO_FILE, NORMAL)}
    lost = slides["status"].isin([NO_FILE, NORMAL, NOT_SELECTED])
    kept = slides["patient"][slides["status"] == READ]
    without = pd.unique(slides["patient"][lost & slides["patient"].notna() & ~slides["patient"].isin(kept)])
    parts = [
        f"{len(own)} {what}: {shorten(own, most)}{way_out}"
        for own, what, most, way_out in [
            (names[NO_PATIENT], "slide(s) without a patient are left out", 5, ""),
            (
                names[NORMAL],
                "slide(s) of normal tissue (sample types 10 to 19) are left out",
                2,
                " (slides='all' takes them, too, slides='normal' takes them alone)",
            ),
            (names[NO_FILE], "slide(s) of the table have no file", 5, ""),
            (without, "patient(s) are left without any slide", 5, ""),
        ]
        if len(own)
    ]
    if parts:
        said = f"{'; '.join(parts)}.{hint_of_names(slides)}"
        warn(f"{said} return_report=True returns all of them.")


def hint_of_names(slides):
    """How slides of a table and files without a patient would match, as a sentence; nothing if they would not."""
    listed, files = (pd.Index(slides["slide"][slides["status"] == one].unique()) for one in (NO_FILE, NO_PATIENT))
    match = better_match(listed, files) if len(listed) and len(files) else None
    return "" if match is None else f" With names of table and files {match.how}, {match.n_common} would match."


def _count(names):
    return f"{len(names)} slide{'s' if len(names) > 1 else ''}"
