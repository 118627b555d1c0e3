"""Event and time from the clinical tables of portals."""

import os
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..utils._validation import shorten
from ..utils._warnings import warn
from ._delimited import as_number, find_column, is_missing, open_table
from ._report import ReadReport, note_some
from ._samples import NO_PATIENT, PATIENT_COLUMNS, READ, check_identifiers, whose

_EVENTS = {
    **dict.fromkeys(["1", "1.0", "true", "dead", "deceased", "dead with tumor"], True),
    **dict.fromkeys(["recurred/progressed", "recurred", "progressed", "progression"], True),
    **dict.fromkeys(["0", "0.0", "false", "alive", "living", "alive or dead tumor free"], False),
    **dict.fromkeys(["diseasefree", "disease free", "censored"], False),
}
"""What portals write for the event and for its absence, in lower case; behind "1:" and "0:" anything may stand."""

_YES_OR_NO = {"0", "1", "0.0", "1.0", "false", "true"}

_CONFLICTS = ("error", "leave out", "longest")
UNKNOWN_EVENT, UNKNOWN_TIME, NEGATIVE, ZERO = "unknown status", "no time", "negative time", "time of zero"
CONFLICT = "rows differ"


@dataclass(frozen=True)
class _Layout:
    """Where event and time are: positions of columns, and what they mean."""

    name: str
    event: int
    times: tuple  # one column; of GDC that of the dead and that of the living
    unit: str
    is_reversed: bool = False


def read_outcome(
    path: str | os.PathLike,
    endpoint: str = "OS",
    *,
    event: str | None = None,
    time: str | None = None,
    patient: str | None = None,
    identifiers="auto",
    conflicts: str = "error",
    zero_times: str = "keep",
) -> tuple[pd.DataFrame, ReadReport]:
    """Read event and time of patients from a clinical table of a portal, with a report.

    Knows these layouts by the names of their columns, in any order and whatever else there is:

    - UCSC Xena: ``OS`` and ``OS.time``, in days; the same for DSS, PFI and DFI,
    - cBioPortal: ``OS_STATUS``, such as "1:DECEASED", and ``OS_MONTHS``; the same for DSS, DFS and PFS,
    - GDC: ``vital_status``, ``days_to_death`` of the dead and ``days_to_last_follow_up`` of the living, also with
      ``demographic.`` and ``diagnoses.`` in front, or behind as Xena has it; overall survival alone,
    - SurvPath: ``survival_months`` and ``censorship``, with ``_dss`` and ``_pfi`` behind them for other endpoints,
    - MMP: ``os_survival_days`` and ``os_censorship``; the same for dss.

    Parameters
    ----------
    path : path
        The file, tab- or comma-separated, perhaps gzipped. Lines before the header that begin with "#" are comments.
    endpoint : str, default="OS"
        Which event, by the name that the file gives it: "OS", "DSS", "PFI", "DFI", "PFS" or "DFS". PFI and PFS are not
        taken for the same.
    event, time : str, default=None
        The two columns, if the layout is another one. An event whose column is called after censoring, such as
        "censorship", is 1 for the censored.
    patient : str, default=None
        The column of patients or their samples. None finds it.
    identifiers : {"auto", "tcga", "cptac"}, callable or None, default="auto"
        How a patient is made of what is in this column, as in `read_expression`.
    conflicts : {"error", "leave out", "longest"}, default="error"
        What is done with patients whose rows differ in event or time: they are left out, or the row with the longest
        time counts, the event before censoring, of those where both are known if there are some. Otherwise rows where
        one is missing are filled by the others.
    zero_times : {"keep", "leave out"}, default="keep"
        What is done with patients whose time is zero.

    Returns
    -------
    outcome : DataFrame of shape (n_patients, 2)
        "event", True where it happened, and "time", in the unit of the file, indexed by "patient". Those without a
        known event and a time of zero or more are left out.
    report : ReadReport
        Which columns were read, the unit, the polarity, and who was left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the endpoint is not in the file, or in several columns; if the event has values of unknown meaning, or the
        time such as are no numbers; if rows of a patient differ and `conflicts` is "error"; or if nobody is left.

    See Also
    --------
    read_expression : Numbers by gene from the files of the same portals.

    Notes
    -----
    Tested on a file of cBioPortal, and on made files in the other layouts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksurv_mmf.portals import read_outcome
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "metadata.csv")
    >>> _ = path.write_text("case_id,survival_months,censorship\\nTCGA-05-4244,14.5,1\\nTCGA-05-4245,30,0\\n")
    >>> outcome, report = read_outcome(path)
    >>> outcome
                  event  time
    patient
    TCGA-05-4244  False  14.5
    TCGA-05-4245   True  30.0
    >>> [note for note in report.notes if "censorship" in note]
    ["Event is 'censorship' turned round, because 1 marks the censored there."]
    >>> folder.cleanup()
    """
    check_identifiers(identifiers)
    if conflicts not in _CONFLICTS:
        raise ValueError(f"conflicts must be one of {', '.join(map(repr, _CONFLICTS))}, got {conflicts!r}.")
    if zero_times not in ("keep", "leave out"):
        raise ValueError(f"zero_times must be 'keep' or 'leave out', got {zero_times!r}.")
    if (event is None) != (time is None):
        raise ValueError(f"Name both columns or none, got event={event!r} and time={time!r}.")
    columns, lines, _ = open_table(path)
    layout = _named(columns, event, time, path) if event is not None else _find_layout(columns, endpoint, path)
    wanted = PATIENT_COLUMNS if patient is None else [patient]
    at = find_column(columns, wanted, path, "patients")
    rows, n_no_patient, notes = _read_rows(lines, columns, at, layout, identifiers, path)
    table, said = _one_row_each(rows, conflicts, zero_times, path)
    read = table[table["status"] == READ]
    if not len(read):
        raise ValueError(f"{os.fspath(path)!r}: nobody has a known event and time: {_counts(table)}.")
    outcome = pd.DataFrame({"event": read["event"].astype(bool), "time": read["time"].astype(float)})
    left_out = table[table["status"] != READ]
    n_lost = int((left_out["event"] == True).sum())  # noqa: E712 - of those of whom it is known
    _warn_of_lost_events(path, outcome, left_out, n_lost)
    numbers = {
        "patients": len(outcome),
        "events": int(outcome["event"].sum()),
        "left out": len(left_out),
        "left out with the event": n_lost,
        "zero times": int((outcome["time"] == 0).sum()),
        "rows": len(rows) + n_no_patient,
    }
    notes = [*_describe(layout, columns, columns[at]), *notes, *said]
    title = f"{'outcome' if event is not None else endpoint} of {os.fspath(path)}"
    return outcome, ReadReport(title, numbers, notes, table["status"].reset_index())


def _warn_of_lost_events(path, outcome, left_out, n_lost):
    if n_lost and not outcome["event"].any():
        warn(
            f"{os.fspath(path)!r}: none of the {len(outcome)} patients has the event, and {n_lost} who had it are left "
            f"out ({_counts(left_out)}). Look for the times of events in another column, and name both by event= and "
            "time=."
        )


def _find_layout(columns, endpoint, path):
    """The one layout in which the file has the endpoint."""
    if not isinstance(endpoint, str) or not re.fullmatch(r"\w+", endpoint):
        raise ValueError(f"endpoint must be a name such as 'OS' or 'PFI', got {endpoint!r}.")
    found = _layouts(columns, endpoint)
    if len(found) == 1:
        return found[0]
    name = os.fspath(path)
    if found:
        pairs = "; ".join(f"{one.name}: {shorten([columns[i] for i in (one.event, *one.times)])}" for one in found)
        raise ValueError(
            f"{name!r} has the endpoint {endpoint!r} in {len(found)} places ({pairs}). Choose by event= and time=, the "
            "names of two columns."
        )
    known = [one for one in ("OS", "DSS", "PFI", "DFI", "PFS", "DFS") if _layouts(columns, one)]
    others = f"It has {shorten(known)}" if known else f"None is found among its columns {shorten(columns, 12)}"
    raise ValueError(f"{name!r} has no endpoint {endpoint!r}. {others}. Or name two columns by event= and time=.")


def _layouts(columns, endpoint):
    """All layouts in which the columns have an endpoint; of columns with one name each counts."""
    names = [name.strip().casefold() for name in columns]
    last = [re.sub(r"^(demographic|diagnoses)\.|\.(demographic|diagnoses)$", "", name) for name in names]
    one = endpoint.casefold()
    behind = "" if one == "os" else f"_{one}"
    pairs = [
        ("UCSC Xena", one, f"{one}.time", "days", False),
        ("cBioPortal", f"{one}_status", f"{one}_months", "months", False),
        ("SurvPath", f"censorship{behind}", f"survival_months{behind}", "months", True),
        ("MMP", f"{one}_censorship", f"{one}_survival_days", "days", True),
    ]
    found = [
        _Layout(portal, i, (j,), unit, is_reversed)
        for portal, event, time, unit, is_reversed in pairs
        for i in _where(names, event)
        for j in _where(names, time)
    ]
    if one == "os":
        parts = [_where(last, name) for name in ("vital_status", "days_to_death", "days_to_last_follow_up")]
        found += [_Layout("GDC", i, (j, k), "days") for i in parts[0] for j in parts[1] for k in parts[2]]
    return found


def _where(names, name):
    return [i for i, one in enumerate(names) if one == name]


def _named(columns, event, time, path):
    i, j = (find_column(columns, [name], path, what) for name, what in ((event, "the event"), (time, "the time")))
    units = [unit for unit in ("day", "week", "month", "year") if unit in columns[j].casefold()]
    unit = f"{units[0]}s" if len(units) == 1 else "a unit that the column does not name"
    # "uncensored" and the like mean the event.
    is_reversed = re.search(r"(?<![a-z])(is_)?cens", columns[i].casefold()) and "not" not in columns[i].casefold()
    return _Layout("columns as named", i, (j,), unit, bool(is_reversed))


def _describe(layout, columns, patient):
    event = columns[layout.event]
    times = " for the dead and ".join(repr(columns[i]) for i in layout.times)
    times += " for the living" if len(layout.times) == 2 else ""
    turned = " turned round, because 1 marks the censored there" if layout.is_reversed else ""
    return [
        f"Layout: {layout.name}; patients are {patient!r}.",
        f"Event is {event!r}{turned}.",
        f"Time is {times}, in {layout.unit}, as in the file.",
    ]


def _read_rows(lines, columns, at, layout, identifiers, path):
    """A frame of patient, event and time by row, how many rows have no patient, and what to say."""
    cells = [(number, [row[i].strip() for i in (at, layout.event, *layout.times)]) for number, row in lines]
    if not cells:
        raise ValueError(f"{os.fspath(path)!r} has a header and no rows.")
    samples, notes = whose([row[0] for _, row in cells], identifiers)
    _check_events({row[1] for _, row in cells}, columns[layout.event], path)
    event = [_event_of(row[1]) for _, row in cells]
    # Words such as "Dead" say what they mean, whatever the column is called; numbers do not.
    event = [not one if layout.is_reversed and _is_bare(row[1]) else one for one, (_, row) in zip(event, cells)]
    time = []
    for (number, row), one in zip(cells, event):
        # Of GDC the dead have the first time and the living the second.
        which = 0 if len(layout.times) == 1 or one else 1
        time.append(_time_of(row[2 + which], columns[layout.times[which]], number, path))
    event = pd.array(event, dtype="boolean")
    rows = pd.DataFrame({"patient": [one.patient for one in samples], "event": event, "time": time})
    unnamed = [row[0] for (_, row), one in zip(cells, samples) if one.patient is None]
    notes += note_some(unnamed, f"rows are left out, {NO_PATIENT} in them")
    return rows[rows["patient"].notna()], len(unnamed), notes


def _is_bare(text):
    """Whether a cell says of an event or a censoring no more than that it is there."""
    return text.casefold() in _YES_OR_NO


def _event_of(text):
    if is_missing(text):
        return None
    text = text.casefold()
    return text[0] == "1" if re.match(r"[01]:", text) else _EVENTS.get(text)


def _check_events(texts, column, path):
    unclear = sorted(text for text in texts if not is_missing(text) and _event_of(text) is None)
    if unclear:
        raise ValueError(
            f"{os.fspath(path)!r}, column {column!r}: whether {shorten(unclear)} is the event is not known. Expected 1 "
            "and 0, '1:DECEASED' and '0:LIVING', 'Dead' and 'Alive' or the like. Make a column of 1 and 0 and name it "
            "by event=."
        )


def _time_of(text, column, number, path):
    time = as_number(text)
    if time is None:
        raise ValueError(
            f"{os.fspath(path)!r}, line {number}, column {column!r}: the time {text!r:.40} is no number. Correct it, "
            "or leave the cell empty."
        )
    return time


def _one_row_each(rows, conflicts, zero_times, path):
    """A frame of event, time and status by patient, and sentences on it."""
    groups = rows.groupby("patient", sort=False)
    n_values = groups[["event", "time"]].nunique()
    differ = n_values.index[(n_values > 1).any(axis=1)]
    if len(differ) and conflicts == "error":
        _refuse_differing(rows, differ, path)
    table = groups[["event", "time"]].first()
    # A row that lacks the event or the time says less than a shorter one that has both.
    is_whole = rows["event"].notna() & np.isfinite(rows["time"])
    order = ["is_whole", "time", "event"]
    longest = rows[rows["patient"].isin(differ)].assign(is_whole=is_whole).sort_values(order, ascending=False)
    longest = longest.groupby("patient")[["event", "time"]].first()
    table.loc[longest.index, ["event", "time"]] = longest
    table["status"] = READ
    reasons = {
        ZERO: (table["time"] == 0) & (zero_times == "leave out"),
        NEGATIVE: table["time"] < 0,
        UNKNOWN_TIME: ~np.isfinite(table["time"]),
        UNKNOWN_EVENT: table["event"].isna(),
        CONFLICT: table.index.isin(differ) & (conflicts == "leave out"),
    }
    for reason, is_so in reasons.items():
        table.loc[is_so, "status"] = reason
    repeated = groups.size()
    zero = table.index[(table["time"] == 0) & (table["status"] == READ)]
    return table, [
        *note_some(repeated.index[repeated > 1].tolist(), "patients have several rows, which become one"),
        *note_some(differ.tolist(), f"patients have rows that differ (conflicts={conflicts!r})"),
        *(
            note
            for reason in reversed(reasons)
            for note in note_some(table.index[table["status"] == reason].tolist(), f"patients are left out, {reason}")
        ),
        *note_some(zero.tolist(), "patients have a time of zero and stay in"),
    ]


def _refuse_differing(rows, differ, path):
    own = rows[rows["patient"] == differ[0]][["event", "time"]].drop_duplicates()
    pairs = [tuple(one) for one in own.to_numpy().tolist()]
    raise ValueError(
        f"{os.fspath(path)!r}: {len(differ)} patients have rows that differ in event or time: "
        f"{shorten(differ, 3)}; {differ[0]!r} has {shorten(pairs, 4)}. Pass "
        "conflicts='leave out' or 'longest'."
    )


def _counts(table):
    return ", ".join(f"{n} {status!r}" for status, n in table["status"].value_counts().items())
