"""What a validation found: tables, a figure and a page."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..pages._cells import write_estimate
from ..pages._page import write_page
from ..pages._parts import Figure, Section, Table, Text
from ..utils._validation import format_time
from ._validation_display import draw_validation

KAPLAN_MEIER = "Kaplan-Meier"
TITLES = {
    "harrell": "Harrell's C-index",
    "uno": "Uno's C-index",
    "ibs": "Integrated Brier score",
    "scaled_ibs": "Scaled integrated Brier score",
    "auc": "AUC",
    "brier": "Brier score",
    "scaled_brier": "Scaled Brier score",
}
SHOWN_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, eq=False)
class Validation:
    """How a model did with patients whom it had not seen; :func:`validate` makes it.

    Limits are percentiles of the bootstrap, except for observed probabilities of 0 and 1 (see :func:`validate`). A
    number that does not exist is NaN, and its reason says why.

    Parameters
    ----------
    scores : DataFrame
        Columns "model" (also "Kaplan-Meier", for Brier scores); "score": "harrell", "uno", "ibs", "scaled_ibs", and at
        each horizon "auc", "brier", "scaled_brier"; "horizon", NaN for scores over time; "value", "lower", "upper",
        "reason".
    calibration : DataFrame
        Columns "model", "horizon"; "measure": "expected", "observed", "observed/expected", "slope"; "value", "lower",
        "upper", "reason".
    calibration_curves : DataFrame
        Columns "model", "horizon"; "predicted", "observed" with "lower" and "upper": probabilities of an event among
        patients with neighbouring predictions; "n_patients".
    groups : DataFrame
        Columns "group", "horizon", "n_patients"; "n_events" up to the horizon; "expected", "observed" with "lower" and
        "upper": probabilities of an event. Empty without cut-offs.
    decisions : DataFrame
        Columns "model" (also "Treat all" and "Treat none"), "horizon", "threshold"; "net_benefit" with "lower" and
        "upper"; "treated", the share.
    horizons : ndarray of float
        The times of interest.
    cutoffs : ndarray of float or None
        Risks that separate the groups.
    cutoffs_source : str
        Where they are from, or why there are none.
    group_curves : list of RiskGroup
        Kaplan-Meier curves of those groups that have patients.
    p_value : float
        Of the log-rank test between groups; NaN without any.
    n_patients, n_events : int
        How many there were.
    n_bootstrap : int
        Number of resamples.
    confidence_level : float
        Level of the intervals.
    time_unit : str, default=None
        Unit of time for labels.

    See Also
    --------
    validate : Makes it.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.evaluation import validate
    >>> cohort = make_multimodal_survival(n_patients=200, n_genes=5, n_tiles=2, random_state=0)
    >>> X, y = cohort.X.drop(columns="wsi__tiles"), cohort.y
    >>> model = CoxPHSurvivalAnalysis().fit(X[:100], y[:100])
    >>> validation = validate(model, X[100:], y[100:], 24, n_bootstrap=50, time_unit="months", random_state=0)
    >>> validation.summary().loc["Observed/expected at 24 months", "Model"]
    '0.980 (0.776 to 1.203)'
    """

    scores: pd.DataFrame
    calibration: pd.DataFrame
    calibration_curves: pd.DataFrame
    groups: pd.DataFrame
    decisions: pd.DataFrame
    horizons: np.ndarray
    cutoffs: np.ndarray | None
    cutoffs_source: str
    group_curves: list
    p_value: float
    n_patients: int
    n_events: int
    n_bootstrap: int
    confidence_level: float
    time_unit: str | None = None

    def __repr__(self):
        return f"Validation with {self.n_patients} patients, {self.n_events} events:\n{self.summary().to_string()}"

    def summary(self):
        """The numbers with their intervals as text, one row each and one column per model.

        Returns
        -------
        DataFrame of shape (n_numbers, n_models)
            Such as "0.71 (0.66 to 0.76)"; a dash where there is no number.
        """
        scores = self.scores.assign(title=[self._title(*one) for one in self.scores[["score", "horizon"]].to_numpy()])
        measure, at = self.calibration["measure"], self.calibration["horizon"]
        calibration = self.calibration.assign(title=[self._title(*one) for one in zip(measure, at)])
        rows = pd.concat([scores, calibration])
        rows["text"] = [write_estimate(*one) for one in rows[["value", "lower", "upper"]].to_numpy()]
        table = rows.pivot(index="title", columns="model", values="text")
        table = table.reindex(index=rows["title"].unique(), columns=rows["model"].unique())
        return table.fillna("\N{EN DASH}").rename_axis(index=None, columns=None)

    def plot(self):
        """Draw risk groups, scores, and for each horizon calibration and decision curves.

        Returns
        -------
        matplotlib Figure
            The figure.
        """
        return draw_validation(self)

    def to_html(self, path, *, title="External validation", overwrite=False):
        """Write a page of HTML with the figure and the tables, which needs no other file.

        Parameters
        ----------
        path : str or path-like
            File to write.
        title : str, default="External validation"
            Title of the page.
        overwrite : bool, default=False
            Whether to replace a file of that name.

        Returns
        -------
        Path
            The file that was written.

        Raises
        ------
        FileExistsError
            If there is a file that must not be replaced.
        """
        return write_page(path, title, self.sections(), overwrite=overwrite)

    def sections(self):
        """Parts of a page, for a report that has more of them.

        Returns
        -------
        list of Section
            For :func:`sksurv_mmf.pages.write_page`.
        """
        level = f"{100 * self.confidence_level:g}"
        patients = (
            f"{self.n_patients} patients with {self.n_events} events. Intervals are {level} % "
            f"percentile intervals of {self.n_bootstrap} resamples of these patients. Weights against censoring are "
            "those of these patients, as is the Kaplan-Meier curve that scaled Brier scores refer to."
        )
        picture = Figure(
            self.plot(),
            "Risk groups, scores, and at each horizon calibration and net benefit.",
            "Kaplan-Meier curves of risk groups, scores with intervals, calibration curves and decision curves.",
        )
        at = self.decisions[self.decisions["threshold"].round(6).isin(SHOWN_THRESHOLDS)]
        benefit = at.pivot(index=["horizon", "threshold"], columns="model", values="net_benefit")
        benefit = benefit[at["model"].unique()].reset_index()
        return [
            Section("Patients", [Text(patients)]),
            Section("Overview", [picture]),
            Section(
                "Scores and calibration",
                [Table(self.summary(), f"Scores and calibration, with {level} % intervals."), *self._reasons()],
            ),
            Section("Risk groups", self._group_parts()),
            Section(
                "Decisions",
                [Table(benefit.set_index("horizon"), "Net benefit, in true positives per patient.", {"threshold": 1})],
            ),
        ]

    def _group_parts(self):
        if self.cutoffs is None:
            return [Text(f"There are no groups: {self.cutoffs_source}.")]
        table = Table(self.groups.set_index("group"), "Probability of an event, predicted and Kaplan-Meier's.")
        cutoffs = ", ".join(f"{one:.3g}" for one in self.cutoffs)
        return [Text(f"Cut-offs of the risk are {cutoffs}: {self.cutoffs_source}."), table]

    def _reasons(self):
        rows = pd.concat([self.scores.rename(columns={"score": "measure"}), self.calibration])
        rows = rows[rows["reason"] != ""].groupby(["model", "reason"], sort=False)["measure"].unique()
        return [
            Text(f"{model} lacks {', '.join(TITLES.get(one, one) for one in found)}: {reason}.", "note")
            for (model, reason), found in rows.items()
        ]

    def _title(self, measure, horizon):
        title = TITLES.get(measure, measure.capitalize())
        return title if np.isnan(horizon) else f"{title} at {self.at(horizon)}"

    def at(self, horizon):
        """A horizon with its unit, for labels.

        Parameters
        ----------
        horizon : float
            The time.

        Returns
        -------
        str
            Such as "24 months".
        """
        return format_time(horizon, self.time_unit)
