"""A study on one page."""

from numbers import Integral, Real

import numpy as np
import pandas as pd

from ..files._writing import check_target
from ..model_selection._comparison import ModelComparison
from ..outcome._outcome import Outcome
from ..pages._page import check_figures, write_page
from ..pages._parts import Section, Table, Text
from ..portals._cohort import CohortReport
from ..predictions._ask import check_frame
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import shorten, subject
from ._attention import attention_section
from ._folds import folds_section, scores_by_fold
from ._methods import methods_section
from ._models import models_section
from ._out_of_fold import calibration_section, decisions_section, risk_groups_section
from ._outcome import outcome_section
from ._patients import baseline_section, flow_section, modalities_section
from ._study import Study, count, modalities_of, who_has_what
from ._tripod import tripod_section


def _results(study):
    sections = study.comparison.sections(time_unit=study.time_unit)
    return Section("Results", [*sections, Section("Scores of each fold", [scores_by_fold(study)])])


def _external_validation(study):
    if study.validation is None:
        return "Pass validation=, as validate returns it."
    unseen = (
        "These patients were passed to validate. Whether they are others than those of the comparison is not known to "
        "this report; that no model has seen them is for the authors to state."
    )
    return Section("External validation", [Text(unseen, "authors"), *study.validation.sections()])


def _added_value(study):
    if study.added_value is None:
        return "Pass added_value=, what a model adds to a reference."
    return Section("Added value", study.added_value.sections(time_unit=study.time_unit))


SECTIONS = {
    "Methods": methods_section,
    "Cohort flow": flow_section,
    "Patients": baseline_section,
    "Modalities": modalities_section,
    "Outcome": outcome_section,
    "Folds": folds_section,
    "Models": models_section,
    "Results": _results,
    "Calibration": calibration_section,
    "Risk groups": risk_groups_section,
    "Decisions": decisions_section,
    "Attention": attention_section,
    "External validation": _external_validation,
    "Added value": _added_value,
}
"""In the order of the page. Each makes a section of a study, or says why it cannot."""


@validate_params(
    {
        "comparison": [ModelComparison],
        "title": [str],
        "cohort": [CohortReport, None],
        "horizons": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "n_groups": [Interval(Integral, 2, 5, closed="both")],
        "time_unit": [str, None],
    },
    prefer_skip_nested_validation=True,
)
def study_report(
    path,
    comparison,
    X,
    *,
    title="Study report",
    cohort=None,
    clinical=None,
    by=None,
    horizons=None,
    show=None,
    n_groups=2,
    model=None,
    validation=None,
    added_value=None,
    more=(),
    time_unit=None,
    figures=None,
    overwrite=False,
):
    """Write all of a study on one page of HTML, as a paper's supplement.

    Use it when a comparison is done, to hand it to those who have to judge it: how patients came into the study, what
    they were like, what was done, what came out, and which items of TRIPOD+AI [1]_ are answered by that. Methods are
    written from what was done. What the software cannot know is marked as left to the authors, and sections for which
    nothing was passed are absent and listed as such.

    Parameters
    ----------
    path : str or path-like
        File to write, such as "study.html".
    comparison : ModelComparison
        Of `compare_models`.
    X : DataFrame of shape (n_patients, n_columns)
        The patients of the comparison, as they were passed to it.
    title : str, default="Study report"
        Title of the page.
    cohort : CohortReport, default=None
        What `read_cohort` says of the files.
    clinical : DataFrame, default=None
        Clinical variables by patient for the table of patients. None takes the tables of X that have no more than 20
        columns.
    by : Series or callable, default=None
        Group of each patient in that table, such as the hospital; or a function that makes it of the index of the
        patients, such as `tissue_source_site`. None is whether the event was observed.
    horizons : float or list of float, default=None
        Times of interest, in the unit of y, for calibration, decisions and survival in groups. None takes those of the
        comparison.
    show : list of str, default=None
        Models of which calibration, risk groups and decisions are drawn. None is all.
    n_groups : int, default=2
        Number of risk groups, from 2 to 5.
    model : estimator, default=None
        Fitted model whose weights of modalities are shown.
    validation : Validation, default=None
        What `validate` returns; or anything with a method ``sections()``. Which patients it had is not known to the
        report: that no model has seen them is left to the authors.
    added_value : object, default=None
        What a model adds to a reference: anything with a method ``sections(time_unit=None)``, which returns parts of a
        page.
    more : sequence of Section, default=()
        Sections of your own behind the others, such as maps of attention.
    time_unit : str, default=None
        Unit of time for labels, such as "days". It is a word alone; nothing is converted.
    figures : str or path-like, default=None
        Folder for the figures as files. The page does not need them.
    overwrite : bool, default=False
        Whether to replace files of these names.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    FileExistsError
        If a file is there that must not be replaced, or the folder has figures of an earlier report.
    ValueError
        If X has other patients than the comparison, if a horizon is no time, if `show` names no models of it, or if
        `validation` has another unit of time.
    TypeError
        If `validation` or `added_value` have no ``sections()``.

    See Also
    --------
    sksurv_mmf.model_selection.compare_models : Makes a comparison.
    sksurv_mmf.portals.read_cohort : Makes a cohort of files, and says what it did.
    sksurv_mmf.evaluation.validate : Judges a model by patients of another hospital.
    baseline_table : The table of patients by itself.

    Notes
    -----
    Risk groups are made of ranks within folds, because risks of different folds come from different models. Predicted
    probabilities are pooled as they are. Where folds are repeated, ranks and probabilities of a patient are averaged.

    References
    ----------
    .. [1] Collins, G. S. et al. "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that
           use regression or machine learning methods." BMJ 385, e078378 (2024).

    Examples
    --------
    >>> import tempfile
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.model_selection import compare_models
    >>> from sksurv_mmf.report import study_report
    >>> cohort = load_breast_cancer_cohort()
    >>> X = cohort.X.filter(regex="age|size")
    >>> comparison = compare_models({"cox": CoxPHSurvivalAnalysis()}, X, cohort.y, cv=3, horizons=1825, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = study_report(f"{folder}/study.html", comparison, X, time_unit="days")
    ...     print(page.name, "Risk groups" in page.read_text("utf-8"))
    study.html True
    """
    check_target(path, overwrite)
    check_figures(figures, overwrite)
    X = _check_patients(X, comparison)
    for name, value in {"validation": validation, "added_value": added_value}.items():
        if value is not None and not hasattr(value, "sections"):
            raise TypeError(f"{name} must have a method sections(), as Validation has, got {type(value).__name__}.")
    _check_units(time_unit, getattr(validation, "time_unit", None))
    modalities = modalities_of(X)
    study = Study(
        comparison=comparison,
        X=X,
        outcome=Outcome.of(comparison.y),
        modalities=modalities,
        present=who_has_what(X, modalities),
        time_unit=time_unit,
        cohort=cohort,
        clinical=None if clinical is None else _check_clinical(clinical, X),
        by=by,
        horizons=_check_horizons(horizons, comparison),
        show=_check_show(show, comparison),
        n_groups=n_groups,
        model=model,
        validation=validation,
        added_value=added_value,
    )
    return write_page(path, title, _all_sections(study, more), figures=figures, overwrite=overwrite)


def _all_sections(study, more):
    made = {title: make(study) for title, make in SECTIONS.items()}
    sections = [section for section in made.values() if isinstance(section, Section)]
    absent = {title: why for title, why in made.items() if not isinstance(why, Section)}
    sections = [*sections, *more]
    sections.append(tripod_section(study, [section.title for section in sections]))
    if absent:
        table = pd.DataFrame({"why": absent}).rename_axis("section")
        sections.append(Section("Absent sections", [Table(table, "Sections that this report does not have.")]))
    return [Text(_summary(study)), *sections]


def _summary(study):
    comparison, n_events = study.comparison, study.outcome.n_events
    return (
        f"{count(len(study.X), 'patient')} with {count(n_events, 'event')}; {count(len(comparison.models), 'model')} "
        f"on {count(len(comparison.folds), 'fold')}. Numbers are of patients whom the model "
        "that predicted them had not seen, unless it is said otherwise."
    )


def _check_patients(X, comparison):
    X = check_frame(X)
    lacking, strangers = comparison.patients.difference(X.index), X.index.difference(comparison.patients)
    if len(lacking) or len(strangers) or X.index.has_duplicates:
        which = f"lacks {shorten(lacking)}" if len(lacking) else f"has {shorten(strangers)} beside them"
        which = which if len(lacking) or len(strangers) else "has some of them twice"
        raise ValueError(f"X must have the patients of the comparison, but it {which}. Pass what was compared.")
    return X.loc[comparison.patients]


def _check_clinical(clinical, X):
    clinical = check_frame(clinical)
    lacking = X.index.difference(clinical.index)
    if len(lacking) or clinical.index.has_duplicates:
        said = f"{subject(lacking, 'Patient', 'is', 'are')} not in" if len(lacking) else "Patients are twice in"
        raise ValueError(f"{said} clinical. Pass one row for each patient of X, with NA for what is not known.")
    return clinical.loc[X.index]


def _check_units(time_unit, of_validation):
    if None not in (time_unit, of_validation) and time_unit != of_validation:
        raise ValueError(
            f"time_unit is {time_unit!r}, but validation was made with time_unit={of_validation!r}. One page has one "
            "unit: make the validation anew, with times in that of the comparison, or leave it out."
        )


def _check_horizons(horizons, comparison):
    if horizons is None:
        return sorted({float(name.partition("@")[2]) for name in comparison._definitions if "@" in name})
    horizons = np.atleast_1d(np.asarray(horizons, dtype=float)).tolist()
    first, last = _range_of_follow_up(comparison)
    wrong = [one for one in horizons if not first <= one <= last]
    if wrong:
        raise ValueError(
            f"horizons must lie between the first event and the last time, {first:g} and {last:g}, got {wrong}."
        )
    return horizons


def _range_of_follow_up(comparison):
    event, time = Outcome.of(comparison.y)
    return time[event].min(), time.max()


def _check_show(show, comparison):
    if show is None:
        return comparison.models
    show = [show] if isinstance(show, str) else list(show)
    unknown = [name for name in show if name not in comparison.models]
    if unknown or not show:
        raise ValueError(f"show must be names of models, of {shorten(comparison.models, 10)}, got {show!r}.")
    return show
