"""A cohort from the files of its modalities and of its outcome, and who has what."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..bags._array import BagDtype
from ..cohort._anndata import as_table, modalities_of, obs_of
from ..cohort._join import join_modalities
from ..outcome._table import read_outcome as read_table
from ..plotting._labels import shorten_apart
from ..plotting._modality_colors import modality_colors
from ..plotting._plotting import GREY, despine, import_pyplot
from ..utils._validation import shorten
from ._delimited import open_table
from ._expression import read_expression
from ._mutations import read_mutations
from ._outcome import read_outcome
from ._report import ReadReport
from ._samples import check_identifiers, choose_samples

OUTCOME = "outcome"
"""What the outcome is called among the modalities."""


@dataclass(frozen=True, eq=False)
class CohortReport:
    """Who has what in a cohort, and what was done to each of its files. `print` shows it, `plot` draws it.

    Made by `read_cohort`.

    Parameters
    ----------
    combinations : DataFrame
        "patients" and "events", how many have exactly these modalities, the largest first. The index has a level per
        modality, and one for the outcome; True where patients have it. Without an outcome no event is known.
    reports : dict of str to ReadReport
        What was done to each modality, and to the outcome.
    n_patients : int
        Number of patients in X.
    how : str
        Whether these have every modality ("inner") or perhaps some only ("outer").

    Examples
    --------
    >>> import pandas as pd
    >>> from sksurv_mmf.portals import CohortReport
    >>> index = pd.MultiIndex.from_tuples([(True, True), (False, True)], names=["rna", "outcome"])
    >>> table = pd.DataFrame({"patients": [9, 2], "events": [4, 1]}, index=index)
    >>> print(CohortReport(table, {}, 9, "inner"))
    cohort of 9 patients (inner join)
      9 patients, 4 events: rna, outcome
      2 patients, 1 events: outcome
    """

    combinations: pd.DataFrame
    reports: dict
    n_patients: int
    how: str

    def __str__(self):
        lines = [f"cohort of {self.n_patients} patients ({self.how} join)"]
        names = self.combinations.index.names
        for has, row in self.combinations.iterrows():
            own = ", ".join(name for name, is_there in zip(names, has) if is_there)
            lines.append(f"  {row['patients']} patients, {row['events']} events: {own}")
        return "\n".join([*lines, *(f"{name}: {report}" for name, report in self.reports.items())])

    def plot(self, most=12, *, color=None):
        """Draw how many patients have which modalities: a bar per combination, and below it what it has.

        Parameters
        ----------
        most : int, default=12
            How many combinations to draw, the largest first; the axis says how many are not drawn.
        color : matplotlib color, list or dict of matplotlib colors, default=None
            Colour of each modality, or of some by name. None takes those of
            :func:`~sksurv_mmf.plotting.modality_colors`, which are the same in every figure.

        Returns
        -------
        axes : list of matplotlib Axes
            The bars, whose darker part has the event, and the dots below.
        """
        table, names = self.combinations.iloc[:most], self.combinations.index.names
        height = 2.2 + 0.3 * len(names)
        _, (bars, dots) = import_pyplot().subplots(
            2,
            sharex=True,
            figsize=(max(4.5, 2.5 + 0.55 * len(table)), height),
            height_ratios=[1.9, 0.3 * len(names)],
            layout="constrained",
        )
        places = range(len(table))
        drawn = bars.bar(places, table["patients"], color="0.8", label="patients")
        bars.bar(places, table["events"], color="0.35", label="with the event")
        bars.bar_label(drawn, fontsize="small", padding=1)
        bars.set_ylabel("patients")
        bars.legend(frameon=False, fontsize="small")
        bars.tick_params(bottom=False)
        despine(bars)
        colors = {OUTCOME: "0.35"} | modality_colors([name for name in names if name != OUTCOME], color)
        for x, has in enumerate(table.index):
            there = [y for y, is_there in enumerate(has) if is_there]
            dots.plot([x] * len(names), range(len(names)), "o", color="0.88", markersize=7)
            dots.plot([x] * len(there), there, "-", color=GREY, linewidth=1.5)
            dots.scatter([x] * len(there), there, s=49, color=[colors[names[y]] for y in there], zorder=3)
        dots.set_yticks(range(len(names)), shorten_apart(names, 24))
        dots.set(xticks=[], ylim=(len(names) - 0.5, -0.5))
        n_more = len(self.combinations) - len(table)
        dots.set_xlabel(f"{n_more} smaller combinations are not drawn" if n_more else "")
        dots.spines[:].set_visible(False)
        dots.tick_params(left=False)
        return bars.figure.axes


def read_cohort(
    modalities, outcome, *, endpoint: str = "OS", identifiers="auto", how: str = "inner", sequenced=None
) -> tuple[pd.DataFrame, np.ndarray, CohortReport]:
    """Make X and y of a cohort from the files of its modalities and of its outcome, matched by patient.

    Files are read as `read_expression`, `read_mutations` and `read_outcome` do by default; where this is not what is
    wanted, call these and pass their tables.

    Parameters
    ----------
    modalities : dict of str to (path, DataFrame, Series or AnnData), or MuData
        A file by modality: a MAF file, known by its column ``Variant_Classification``, or a table of numbers by gene.
        Or a table whose index is the patient or the sample, or the bags of `read_bags`. Of an
        AnnData ``X`` is taken, as `join_modalities` does.
    outcome : path, DataFrame, AnnData or MuData
        A clinical file, or a table, perhaps as ``obs``, with event and time whose index is the patient, as
        `read_outcome` returns it.
    endpoint : str, default="OS"
        Which event of the file.
    identifiers : {"auto", "tcga", "cptac"}, callable or None, default="auto"
        How a patient is made of a sample's name, as in `read_expression`; of all files and tables.
    how : {"inner", "outer"}, default="inner"
        Keep the patients who have every modality, or all who have one; see `join_modalities`.
    sequenced : sequence of str or path, default=None
        Patients who were sequenced, or a case list of cBioPortal: who is named and has no row in a MAF file has zeros
        there and is not missing; `patients` of `read_mutations`.

    Returns
    -------
    X : DataFrame of shape (n_patients, n_columns)
        As `join_modalities` makes it, of the patients whose outcome is known.
    y : structured array of shape (n_patients,)
        Event and time in the order of X.
    report : CohortReport
        Who has what, and what was done to each file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file cannot be read, if the modalities and the outcome do not fit together, or if `sequenced` is given and
        no modality is a MAF file.

    Warns
    -----
    UserWarning
        If patients are left out for want of an outcome, if few patients have all modalities, and if a MAF file is read
        and nobody said who was sequenced.

    See Also
    --------
    sksurv_mmf.join_modalities : The same for tables that are indexed by patient already.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sksurv_mmf.portals import read_cohort
    >>> folder = tempfile.TemporaryDirectory()
    >>> rna, clinical = Path(folder.name, "rna.tsv"), Path(folder.name, "survival.tsv")
    >>> _ = rna.write_text("sample\\tTCGA-05-4244-01A\\tTCGA-05-4245-01A\\nTP53\\t1.5\\t2\\n")
    >>> lines = ["sample,OS,OS.time", "TCGA-05-4244-01A,1,30", "TCGA-05-4245-01A,0,60"]
    >>> _ = clinical.write_text("\\n".join(lines))
    >>> X, y, report = read_cohort({"rna": rna}, clinical)
    >>> X
                  rna__TP53
    patient
    TCGA-05-4244        1.5
    TCGA-05-4245        2.0
    >>> report.combinations
                  patients  events
    rna  outcome
    True True            2       1
    >>> folder.cleanup()
    """
    check_identifiers(identifiers)
    modalities = modalities_of(modalities)
    if not isinstance(modalities, Mapping) or not modalities or OUTCOME in modalities:
        raise ValueError(
            f"modalities must be a dict such as {{'rna': path}}, without {OUTCOME!r} as a name, got "
            f"{shorten(modalities) if isinstance(modalities, Mapping) else type(modalities).__name__}."
        )
    tables, reports = {}, {}
    for name, source in modalities.items():
        tables[name], reports[name] = _read(source, f"modality {name!r}", identifiers, sequenced)
    if sequenced is not None and not any("rows counted" in report.numbers for report in reports.values()):
        raise ValueError(
            "sequenced is for MAF files, and no modality is one. Leave it out, or pass the path of a MAF file."
        )
    known, reports[OUTCOME] = _read_outcome(outcome, endpoint, identifiers)
    X, y = join_modalities(tables, how, outcome=known, event="event", time="time")
    return X, y, CohortReport(_who_has_what(tables, known), reports, len(X), how)


def _read(source, what, identifiers, sequenced=None):
    """A modality as a table by patient, and what was done."""
    if isinstance(source, str | os.PathLike):
        if os.path.isdir(source):
            raise ValueError(
                f"{what[0].upper()}{what[1:]} is the folder {os.fspath(source)!r}. If feature files of slides are in "
                f"it, pass read_bags({os.fspath(source)!r}), or read_slide_vectors for vectors of slide encoders."
            )
        columns, lines, _ = open_table(source)
        lines.close()
        if "Variant_Classification" in columns:
            return read_mutations(source, identifiers=identifiers, patients=sequenced)
        return read_expression(source, identifiers=identifiers)
    source = as_table(source, what)
    if not isinstance(source, pd.DataFrame | pd.Series):
        raise TypeError(
            f"{what[0].upper()}{what[1:]} must be a path, or a DataFrame or Series whose index is the patient, got a "
            f"{type(source).__name__}."
        )
    kind = "bags" if isinstance(getattr(source, "dtype", None), BagDtype) else "a table"
    if isinstance(source.index, pd.MultiIndex) or not all(isinstance(one, str) for one in source.index):
        return source, ReadReport(f"{what}, {kind}", {"patients": len(source)}, ["Its index is taken as it is."])
    chosen = choose_samples(source.index.tolist(), identifiers, "primary")
    table = source.iloc[chosen.rows].set_axis(chosen.patients)
    numbers = {"patients": len(table), "samples": len(source)}
    return table, ReadReport(f"{what}, {kind}", numbers, chosen.notes, chosen.table)


def _read_outcome(outcome, endpoint, identifiers):
    if isinstance(outcome, str | os.PathLike):
        return read_outcome(outcome, endpoint, identifiers=identifiers)
    table, report = _read(obs_of(outcome), "the outcome", identifiers)
    if not isinstance(table, pd.DataFrame):
        raise TypeError("outcome must be a path or a DataFrame with event and time, got a Series.")
    return read_table(table, name="outcome"), report


def _who_has_what(tables, known):
    """How many patients, and events, have each combination of modalities and outcome."""
    present = {name: pd.Series(True, table.index) for name, table in tables.items()}
    known = known.dropna()
    present[OUTCOME] = pd.Series(True, known.index)
    has = pd.concat(present, axis=1, sort=False).notna()
    events = pd.Series(has.index.isin(known.index[known["event"] == 1]), has.index)
    groups = events.groupby([has[name] for name in has], sort=False)
    combinations = pd.DataFrame({"patients": groups.size(), "events": groups.sum().astype(int)})
    order = combinations["patients"].sort_values(ascending=False, kind="stable").index
    combinations = combinations.loc[order]
    if combinations.index.nlevels == 1:
        combinations.index = pd.MultiIndex.from_arrays([combinations.index], names=list(has))
    return combinations
