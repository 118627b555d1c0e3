"""What came out of a comparison of models."""

from itertools import combinations
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ..predictions._fold_outcome import FoldOutcome
from ..statistics._paired_tests import (
    bootstrap_p_value,
    corrected_resampled_t_test,
    difference_limits,
    holm,
    mean_interval,
    paired_bootstrap,
    percentile_interval,
    score_interval,
)
from ..utils._old_names import renamed_parameters
from ..utils._sklearn import Interval, validate_params
from ..utils._validation import RESAMPLES, shorten
from ..utils._warnings import warn
from ._comparison_display import ComparisonDisplay
from ._report import make_sections, write_report
from ._survival_scores import FoldPrediction, compute_scores

LEVEL = [Interval(Real, 0, 1, closed="neither")]
COUNTS = ["n_folds", "n_missing", "n_failed"]
PAIR_COLUMNS = ["difference", "better", "n_folds", "t_lower", "t_upper", "t_p", "boot_lower", "boot_upper", "boot_p"]


class ModelComparison:
    """Scores and out-of-fold predictions of several models on the same folds.

    Made by :func:`compare_models` and :func:`selection_leakage`.

    Parameters
    ----------
    predictions : dict of list
        For each model its predictions in every fold, or the text of the error that it raised there.

    y : structured array of shape (n_patients,)
        Event and time.

    patients : Index of shape (n_patients,)
        Patients in the order of y.

    folds : list of (train, test)
        Positions of training and test patients in y.

    definitions : dict
        Definitions of the scores, by name.

    reference : str, default=None
        Model that the others are compared with. None compares all pairs.

    random_state : int, RandomState instance or None, default=None
        Seed of the bootstrap.

    design : Design, default=None
        Splitter, groups and models, for reports.

    Attributes
    ----------
    scores : DataFrame
        Columns model, fold, score, value and reason; the value is NaN where the reason is not empty.
    risks : DataFrame
        Columns model, fold, patient and risk_score: one row per model, fold and test patient. Risks of different folds
        come from different models and may have different scales.
    survival : dict of Series
        For each model the out-of-fold survival functions, by fold and patient: ``survival["cox"][0, "P001"](365)`` is
        the probability of patient P001 not to have an event within 365 days. Empty for a model that has none.
    fits : DataFrame
        Columns model, fold, seconds (of training) and error, which is empty for a fit that succeeded.
    models : list of str
        Names of the models.
    design : Design or None
        Splitter, groups and models, in words.
    y : structured array of shape (n_patients,)
        Event and time.
    patients : Index of shape (n_patients,)
        Patients in the order of y.
    folds : list of (train, test)
        Positions of training and test patients in y; a fold's number is its place in this list.
    reference : str or None
        Model that the others are compared with.

    See Also
    --------
    compare_models : Makes a comparison.
    sksurv_mmf.inspection.ComparisonDisplay : Draws it.

    Examples
    --------
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv.tree import SurvivalTree
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.model_selection import compare_models
    >>> cohort = load_breast_cancer_cohort()
    >>> X = cohort.X.filter(regex="^rna").iloc[:, :20]
    >>> models = {"cox": CoxPHSurvivalAnalysis(alpha=100), "tree": SurvivalTree(random_state=0)}
    >>> comparison = compare_models(models, X, cohort.y, reference="tree", random_state=0)
    >>> comparison.pairwise("harrell")[["difference", "better", "t_p"]].round(2)
                 difference better   t_p
    model other
    cox   tree         0.13    cox  0.08
    >>> comparison.risks.head(2).round(2)
      model  fold patient  risk_score
    0   cox     0    P001       -0.27
    1   cox     0    P008       -1.71
    >>> comparison.survival["cox"].iloc[0](1825).round(2).item()
    0.62
    """

    def __init__(self, predictions, y, patients, folds, definitions, *, reference=None, random_state=None, design=None):
        self.models = list(predictions)
        self.y = y
        self.patients = patients
        self.folds = folds
        self.reference = reference
        self.random_state = random_state
        self.design = design
        self._predictions = predictions
        self._definitions = definitions
        self._outcomes = [FoldOutcome(y[train], y[test], patients[test]) for train, test in folds]
        self.fits = pd.DataFrame(self._fits(), columns=["model", "fold", "seconds", "error"])
        self.scores = pd.DataFrame(self._scores(), columns=["model", "fold", "score", "value", "reason"])
        self.risks = self._risks()
        self.survival = {model: self._survival(model) for model in self.models}
        self._warn_of_failed_fits()
        self._warn_of_missing_horizons()

    @renamed_parameters(confidence="confidence_level")
    @validate_params({"confidence_level": LEVEL}, prefer_skip_nested_validation=True)
    def summary(self, *, confidence_level=0.95):
        """Mean of every score of every model, and how sure it is.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Level of the confidence interval.

        Returns
        -------
        DataFrame
            One row per score and model: `mean` and standard deviation `sd` over the folds, confidence interval of the
            mean from `lower` to `upper`, number of folds that have the score (`n_folds`), in which it does not exist
            (`n_missing`), and in which the model failed (`n_failed`).

        Notes
        -----
        The interval uses the standard error of Nadeau and Bengio, which takes into account that folds share training
        patients, and Student's t. It is a good deal wider than sd / sqrt(n_folds) suggests. Of a C-index or AUC, which
        lie between 0 and 1, and of calibration, between -1 and 1, it is computed on the logit scale; that of a Brier
        score is cut off at 0. With two or three folds near an end it reaches nearly from 0 to 1: they know no more.
        Calibration has its sign here: errors of folds that go in different directions cancel in its mean.
        """
        rows = {}
        failed = self.fits[self.fits["error"] != ""].groupby("model").size()
        for score in self._definitions:
            table = self._table(score)
            for model, values in table.items():
                exists = values.notna()
                limits = self._definitions[score].limits
                lower, upper = score_interval(values[exists], self._test_ratio(exists), confidence_level, limits)
                n_failed = int(failed.get(model, 0))
                rows[score, model] = {
                    "mean": values.mean(),
                    "sd": values.std(),
                    "lower": lower,
                    "upper": upper,
                    "n_folds": exists.sum(),
                    "n_missing": (~exists).sum() - n_failed,
                    "n_failed": n_failed,
                }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["score", "model"])
        return table.astype(dict.fromkeys(COUNTS, int))

    @renamed_parameters(confidence="confidence_level")
    @validate_params(
        {"confidence_level": LEVEL, "n_bootstrap": [RESAMPLES]},
        prefer_skip_nested_validation=True,
    )
    def pairwise(self, score=None, *, confidence_level=0.95, n_bootstrap=2000):
        """Test whether the difference of two models is real.

        Parameters
        ----------
        score : str, default=None
            Score to compare by. None is the first.
        confidence_level : float, default=0.95
            Level of the confidence intervals.
        n_bootstrap : int, default=2000
            Number of resamples of the patients.

        Returns
        -------
        DataFrame
            One row per model and reference, or per pair of models if there is no reference. `difference` is the score
            of the model minus that of the other, on average over the `n_folds` folds in which both have one; `better`
            names the better of the two. `t_lower`, `t_upper`, `t_p` are confidence interval and p-value of the
            corrected resampled t-test, `t_p_holm` is the p-value corrected for the number of rows; `boot_lower`,
            `boot_upper`, `boot_p` and `boot_p_holm` are those of the bootstrap.

        Notes
        -----
        The corrected resampled t-test [1]_ asks whether the difference would be there with other training and test
        patients. It is the one to report: uncorrected, the t-test of cross-validation finds differences where there are
        none, because folds share training patients.

        The paired bootstrap resamples patients, a patient in all repetitions at once, and keeps the fitted models. It
        asks whether *these* models differ, and knows nothing of how they would change with other training patients.
        Only patients of the same fold are compared with each other.

        Of calibration, which is best at zero, the absolute values of each fold are compared. They are not those of
        `summary`, where errors of different folds may cancel.

        References
        ----------
        .. [1] Nadeau, C. and Bengio, Y. "Inference for the generalization error", Machine Learning 52, 2003.
        """
        score = self._check_score(score)
        pairs = list(self._pairs())
        rows = [self._compare(self._definitions[score], *pair, confidence_level, n_bootstrap) for pair in pairs]
        index = pd.MultiIndex.from_tuples(pairs, names=["model", "other"])
        table = pd.DataFrame(rows, index=index, columns=PAIR_COLUMNS)
        for test in ("t", "boot"):
            place = table.columns.get_loc(f"{test}_p") + 1
            table.insert(place, f"{test}_p_holm", holm(table[f"{test}_p"]))
        return table

    @renamed_parameters(confidence="confidence_level")
    @validate_params({"confidence_level": LEVEL}, prefer_skip_nested_validation=True)
    def plot(self, score=None, *, differences=False, confidence_level=0.95, time_unit=None, ax=None):
        """Draw the scores of all folds, or the differences to the reference.

        Parameters
        ----------
        score : str, default=None
            Score to draw. None is the first.
        differences : bool, default=False
            Whether to draw, fold by fold, the difference to the reference instead of the score itself, with p-values
            of the corrected resampled t-test, after Holm's correction for the number of models.
        confidence_level : float, default=0.95
            Level of the confidence intervals.
        time_unit : str, default=None
            Unit of time for scores at a horizon, such as "days".
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        sksurv_mmf.inspection.ComparisonDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If differences are asked for, but the comparison has no reference.
        """
        score = self._check_score(score)
        if differences and self.reference is None:
            raise ValueError("Differences need a reference; pass reference= to compare_models, the name of a model.")
        definition = self._definitions[score]
        scores, label, limits = self.scores, self._title(score, time_unit), definition.limits
        if differences and definition.better == "zero":
            scores, label, limits = scores.assign(value=scores["value"].abs()), f"|{label}|", (0, 1)
        return ComparisonDisplay.from_predictions(
            scores,
            score=score,
            reference=self.reference,
            differences=differences,
            test_ratio=self._test_ratio(),
            confidence_level=confidence_level,
            label=label,
            chance=definition.chance,
            limits=limits,
            better="lower" if definition.better == "zero" else definition.better,  # of calibration absolute values
            ax=ax,
        )

    def to_html(self, path=None, *, title="Comparison of models", time_unit=None):
        """Write a report that can be opened in a browser: tables, pictures, failures, all in one file.

        Parameters
        ----------
        path : str or Path, default=None
            File to write, or to replace as a whole. What a killed process left beside it is removed. None only returns
            the text.
        title : str, default="Comparison of models"
            Heading of the report.
        time_unit : str, default=None
            Unit of time, such as "days".

        Returns
        -------
        str
            The report. Without matplotlib it has no pictures.
        """
        return write_report(self, path, title, time_unit)

    def sections(self, *, time_unit=None):
        """Parts of a page: scores, differences and failures, for a report that has more of them.

        Parameters
        ----------
        time_unit : str, default=None
            Unit of time, such as "days".

        Returns
        -------
        list of Section
            For :func:`sksurv_mmf.pages.write_page`.
        """
        return make_sections(self, time_unit)

    def __repr__(self):
        size = f"{len(self.models)} models, {len(self.folds)} folds, {len(self.patients)} patients"
        return f"<ModelComparison: {size}>\n{self.summary().to_string(float_format='{:.3f}'.format)}"

    def _fits(self):
        for model, in_folds in self._predictions.items():
            for fold, prediction in enumerate(in_folds):
                failed = isinstance(prediction, str)
                yield model, fold, np.nan if failed else prediction.seconds, prediction if failed else ""

    def _scores(self):
        for model, in_folds in self._predictions.items():
            for fold, prediction in enumerate(in_folds):
                if isinstance(prediction, str):
                    yield from (
                        (model, fold, score, np.nan, f"fit failed: {prediction}") for score in self._definitions
                    )
                else:
                    values = compute_scores(self._definitions, self._outcomes[fold], prediction)
                    yield from ((model, fold, *value) for value in values)

    def _missing(self):
        """Rows of `scores` that do not exist although the model was fitted."""
        scores = self.scores.merge(self.fits)
        return scores[(scores["error"] == "") & (scores["reason"] != "")]

    def _warn_of_failed_fits(self):
        failed = self.fits[self.fits["error"] != ""]
        if len(failed):
            counts = [f"{model!r} in {len(own)} of {len(self.folds)} folds" for model, own in failed.groupby("model")]
            more = f" and {len(counts) - 2} more models" if len(counts) > 2 else ""
            first = failed.iloc[0]
            warn(
                f"{len(failed)} of {len(self.fits)} fits failed, and take no part in means and tests: "
                f"{', '.join(counts[:2])}{more}. The first, {first['model']!r} in fold {first['fold']}: "
                f"{first['error'].rstrip('.')}. All are in the attribute fits."
            )

    def _warn_of_missing_horizons(self):
        for score, rows in self._missing().groupby("score", sort=False):
            if "@" in score and self._table(score).isna().all(axis=None):
                # the caller of the function that makes the comparison, which scikit-learn's validation wraps
                reason = rows["reason"].iloc[0].rstrip(".")
                warn(f"The score {score!r} exists in no fold: {reason}.")

    def _succeeded(self, model):
        """Yield (fold, test patients, prediction) of the fits that did not fail."""
        for fold, ((_, test), prediction) in enumerate(zip(self.folds, self._predictions[model])):
            if isinstance(prediction, FoldPrediction):
                yield fold, self.patients[test], prediction

    def _risks(self):
        tables = [
            pd.DataFrame({"model": model, "fold": fold, "patient": patients, "risk_score": prediction.risk})
            for model in self.models
            for fold, patients, prediction in self._succeeded(model)
        ]
        empty = pd.DataFrame(columns=["model", "fold", "patient", "risk_score"])
        return pd.concat(tables, ignore_index=True) if tables else empty

    def _survival(self, model):
        curves = {}
        for fold, patients, prediction in self._succeeded(model):
            if not isinstance(prediction.curves, str):  # which says why there are none
                curves |= {(fold, patient): curve for patient, curve in zip(patients, prediction.curves)}
        index = pd.MultiIndex.from_tuples(list(curves), names=["fold", "patient"])
        return pd.Series(list(curves.values()), index=index, dtype=object, name=model)

    def _title(self, score, time_unit):
        title = self._definitions[score].title
        return f"{title}\N{NO-BREAK SPACE}{time_unit}" if time_unit and "@" in score else title

    def _check_score(self, score):
        if score is None:
            return next(iter(self._definitions))
        if not isinstance(score, str) or score not in self._definitions:
            raise ValueError(f"score={score!r} was not computed; there are {shorten(self._definitions, 20)}.")
        return score

    def _table(self, score):
        """Folds x models."""
        chosen = self.scores[self.scores["score"] == score]
        return chosen.pivot(index="fold", columns="model", values="value")[self.models]

    def _test_ratio(self, which=slice(None)):
        """Test patients per training patient, on average over folds."""
        ratios = np.array([len(test) / len(train) for train, test in self.folds])[which]
        return ratios.mean() if len(ratios) else np.nan

    def _pairs(self):
        if self.reference is None:
            return combinations(self.models, 2)
        return ((model, self.reference) for model in self.models if model != self.reference)

    def _compare(self, definition, a, b, confidence_level, n_bootstrap):
        """A row of `pairwise`: the values of `PAIR_COLUMNS`."""
        table = self._table(definition.name)[[a, b]].dropna()
        if definition.better == "zero":
            table = table.abs()
        differences = table[a] - table[b]
        mean, ratio = differences.mean(), self._test_ratio(table.index)
        limits = (0, 1) if definition.better == "zero" else definition.limits  # of calibration absolute values
        t_lower, t_upper = mean_interval(differences, ratio, confidence_level, difference_limits(limits))
        draws = self._bootstrap(definition, a, b, table.index, n_bootstrap)
        boot_lower, boot_upper = percentile_interval(draws, confidence_level)
        gain = mean if definition.better == "higher" else -mean
        better = a if gain > 0 else b
        if gain == 0 or np.isnan(gain):
            better = "neither"
        _, t_p = corrected_resampled_t_test(differences, ratio)
        return mean, better, len(table), t_lower, t_upper, t_p, boot_lower, boot_upper, bootstrap_p_value(draws)

    def _bootstrap(self, definition, a, b, folds, n_bootstrap):
        if not len(folds):
            return np.array([])
        tested = [self.folds[fold][1] for fold in folds]
        differences = (
            definition.difference(self._outcomes[fold], self._predictions[a][fold], self._predictions[b][fold])
            for fold in folds
        )
        return paired_bootstrap(tested, differences, n_bootstrap, check_random_state(self.random_state))
