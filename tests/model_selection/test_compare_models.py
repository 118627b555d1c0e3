"""A comparison of models: the same folds for all, nothing lost when one fails, and tests that can be believed."""

import pickle
import threading
import warnings
from functools import partial
from pathlib import Path

import joblib
import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.encoders import MeanMIL
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold, compare_models
from sksurv_mmf.statistics._paired_tests import corrected_resampled_t_test

matplotlib.use("Agg")


class Column(BaseEstimator):
    """Takes a column as the risk; has no survival functions."""

    def __init__(self, column=0, mischief=None, patient="P000"):
        self.column = column
        self.mischief = mischief
        self.patient = patient

    def fit(self, X, y):
        if self.mischief is not None and self.patient in X.index:
            self.mischief(X)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return X.iloc[:, self.column].to_numpy()


def fail(X):
    raise RuntimeError("a bad day")


def warn(X):
    warnings.warn("a strange day", UserWarning, stacklevel=2)


class Logged(Column):
    """Notes every fit in a file, and is interrupted once, as by Ctrl-C, at the fit that the file names."""

    def __init__(self, folder="", interrupt_at=-1):
        super().__init__()
        self.folder = folder
        self.interrupt_at = interrupt_at

    def fit(self, X, y):
        log = Path(self.folder) / "fits"
        n_fits = len(log.read_text().splitlines()) if log.exists() else 0
        with log.open("a") as file:
            file.write("interrupted\n" if n_fits == self.interrupt_at else f"{joblib.hash(X)}\n")
        if n_fits == self.interrupt_at:
            raise KeyboardInterrupt
        return super().fit(X, y)


class NaNRisk(Column):
    def predict(self, X):
        return np.where(np.arange(len(X)) == 1, np.nan, 0.0)


@pytest.fixture(scope="module")
def data():
    """80 patients; column 0 is a good risk, column 1 a weaker one, the others are noise."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 5)), [f"P{i:03d}" for i in range(80)], list("abcde"))
    time = rng.exponential(np.exp(-1.5 * X["a"] - 0.3 * X["b"])) * 100 + 1
    censored = rng.exponential(300, 80) + 1
    return X, Surv.from_arrays(time <= censored, np.minimum(time, censored))


@pytest.fixture(scope="module")
def cox(data):
    """Cox model on all columns, the better column, and noise; repeated folds."""
    models = {"cox": CoxPHSurvivalAnalysis(alpha=0.1), "a": Column(0), "noise": Column(3)}
    cv = RepeatedSurvivalKFold(4, 2, random_state=0)
    return compare_models(models, *data, cv, horizons=[60], reference="noise", random_state=0)


def test_fold_scores_are_those_of_models_fitted_by_hand(data, cox):
    X, y = data
    folds = list(RepeatedSurvivalKFold(4, 2, random_state=0).split(X, y))
    assert len(cox.folds) == 8
    harrell = cox.scores[(cox.scores["score"] == "harrell") & (cox.scores["model"] == "cox")].set_index("fold")["value"]
    for fold, (train, test) in enumerate(folds):
        np.testing.assert_array_equal(cox.folds[fold][1], test)
        model = CoxPHSurvivalAnalysis(alpha=0.1).fit(X.iloc[train], y[train])
        assert harrell[fold] == pytest.approx(model.score(X.iloc[test], y[test]), rel=1e-12)
        risks = cox.risks[(cox.risks["model"] == "cox") & (cox.risks["fold"] == fold)]
        assert risks["patient"].tolist() == X.index[test].tolist()
        np.testing.assert_allclose(risks["risk_score"], model.predict(X.iloc[test]), rtol=1e-12)
        curve = model.predict_survival_function(X.iloc[test[:1]])[0]
        assert cox.survival["cox"][fold, X.index[test[0]]](60) == pytest.approx(curve(60), rel=1e-12)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_jobs_are_as_many_as_asked_for(data, n_jobs):
    threads = set()

    class Noting(Column):
        def fit(self, X, y):
            threads.add(threading.get_ident())
            return super().fit(X, y)

    with joblib.parallel_config(backend="threading"):
        compare_models({"a": Noting(0), "b": Noting(1)}, *data, 4, n_jobs=n_jobs)
    assert (threads == {threading.get_ident()}) == (n_jobs == 1)


def test_every_patient_is_predicted_once_in_each_repetition(cox):
    counts = cox.risks.groupby(["model", "patient"]).size().unstack("model")
    assert counts.to_numpy().tolist() == [[2, 2, 2]] * 80
    assert cox.survival["cox"].groupby("patient").size().eq(2).all()
    assert len(cox.survival["a"]) == 0
    assert cox.patients.tolist() == [f"P{i:03d}" for i in range(80)]


def test_summary_holds_means_and_reasons_hold_what_is_missing(cox):
    summary = cox.summary()
    table = cox.scores.pivot(index="fold", columns=["score", "model"], values="value")
    for key, row in summary.iterrows():
        np.testing.assert_allclose([row["mean"], row["sd"]], [table[key].mean(), table[key].std()])
    assert summary.loc[("harrell", "cox"), ["n_folds", "n_missing", "n_failed"]].tolist() == [8, 0, 0]
    assert summary.loc[("ibs", "a"), ["n_folds", "n_missing", "n_failed"]].tolist() == [0, 8, 0]
    without_value = cox.scores["value"].isna()
    assert (without_value == (cox.scores["reason"] != "")).all()
    assert set(cox.scores.loc[without_value, "reason"]) == {"no predict_survival_function"}


def test_pairwise_is_the_corrected_test_of_the_fold_differences(cox):
    row = cox.pairwise("harrell", n_bootstrap=200).loc[("cox", "noise")]
    table = cox.scores[cox.scores["score"] == "harrell"].pivot(index="fold", columns="model", values="value")
    differences = table["cox"] - table["noise"]
    assert row["difference"] == pytest.approx(differences.mean(), rel=1e-12)
    assert row["t_p"] == pytest.approx(corrected_resampled_t_test(differences, 1 / 3)[1], rel=1e-12)
    assert (row["t_lower"] + row["t_upper"]) / 2 == pytest.approx(row["difference"], rel=1e-12)


def test_a_better_model_is_found_and_named(cox):
    for score in ["harrell", "uno", "auc@60"]:
        table = cox.pairwise(score, n_bootstrap=500)
        assert table.index.tolist() == [("cox", "noise"), ("a", "noise")]
        assert table["better"].tolist() == ["cox", "a"]
        assert (table[["t_p", "boot_p"]] < 0.05).all(axis=None)
        assert (table["boot_lower"] > 0).all()
        assert (table["t_p_holm"] >= table["t_p"]).all()
        assert table["boot_p_holm"].max() <= 2 * table["boot_p"].max()


def test_lower_brier_scores_are_better(data):
    models = {"good": CoxPHSurvivalAnalysis(alpha=0.1), "dull": CoxPHSurvivalAnalysis(alpha=1e6)}
    comparison = compare_models(models, *data, 4, horizons=60, random_state=0)
    for score in ["ibs", "brier@60"]:
        row = comparison.pairwise(score, n_bootstrap=500).loc[("good", "dull")]
        assert row["difference"] < 0
        assert row["better"] == "good"
        assert row["boot_upper"] < 0
    calibration = comparison.scores[comparison.scores["score"] == "calibration@60"]
    absolute = calibration.pivot(index="fold", columns="model", values="value").abs()
    row = comparison.pairwise("calibration@60").loc[("good", "dull")]
    assert row["difference"] == pytest.approx((absolute["good"] - absolute["dull"]).mean(), rel=1e-12)
    assert row["boot_lower"] < row["difference"] < row["boot_upper"]


def test_a_model_does_not_differ_from_itself(data):
    models = [("one", CoxPHSurvivalAnalysis(alpha=0.1)), ("two", CoxPHSurvivalAnalysis(alpha=0.1))]
    comparison = compare_models(models, *data, 4, horizons=60)
    for score in comparison.scores["score"].unique():
        row = comparison.pairwise(score, n_bootstrap=50).loc[("one", "two")]
        assert row[["difference", "boot_lower", "boot_upper"]].tolist() == [0, 0, 0]
        assert row[["t_p", "boot_p", "t_p_holm", "boot_p_holm"]].tolist() == [1, 1, 1, 1]
        assert row["better"] == "neither"


def test_the_order_of_patients_and_of_models_changes_nothing(data):
    X, y = data
    folds = list(SurvivalKFold(4).split(X, y))
    models = {"cox": CoxPHSurvivalAnalysis(alpha=0.1), "a": Column(0)}
    scoring = {"scoring": ["harrell", "uno", "auc", "ibs"], "random_state": 0}
    one = compare_models(models, X, y, folds, **scoring)
    order = np.random.default_rng(1).permutation(80)
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in folds]
    other = compare_models(dict(reversed(models.items())), X.iloc[order], y[order], moved, **scoring)
    a, b = (each.scores.set_index(["model", "fold", "score"])["value"].sort_index() for each in (one, other))
    pd.testing.assert_series_equal(a, b, rtol=1e-6)
    key = ["model", "fold", "patient"]
    a, b = (each.risks.set_index(key)["risk_score"].sort_index() for each in (one, other))
    pd.testing.assert_series_equal(a, b, rtol=1e-6)
    forth, back = one.pairwise(n_bootstrap=10).iloc[0], other.pairwise(n_bootstrap=10).iloc[0]
    assert forth["difference"] == pytest.approx(-back["difference"], rel=1e-9)
    assert forth["t_p"] == pytest.approx(back["t_p"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:.* fits failed")
def test_a_failing_model_is_reported_and_stops_nobody(data):
    models = {"moody": Column(0, fail), "nan": NaNRisk(), "a": Column(0)}
    comparison = compare_models(models, *data, 4, scoring="harrell", reference="a", random_state=0)
    errors = comparison.fits[comparison.fits["error"] != ""].groupby("model")["error"].agg(list)
    assert errors["moody"] == ["RuntimeError: a bad day"] * 3
    nan = "ValueError: predict of NaNRisk returned NaN or infinity for 1 patients, for example for"
    assert errors["nan"] == [f"{nan} {data[0].index[test[1]]!r}." for _, test in comparison.folds]
    summary = comparison.summary().loc["harrell"]
    assert summary["n_failed"].to_dict() == {"moody": 3, "nan": 4, "a": 0}
    assert summary["n_folds"].to_dict() == {"moody": 1, "nan": 0, "a": 4}
    assert np.isnan(summary.loc["nan", "mean"])
    reasons = comparison.scores.loc[comparison.scores["model"] == "moody", "reason"]
    assert sorted(reasons) == ["", *["fit failed: RuntimeError: a bad day"] * 3]
    table = comparison.pairwise(n_bootstrap=20)
    assert table["n_folds"].tolist() == [1, 0]
    assert table.loc[("moody", "a"), "difference"] == 0
    assert table["better"].tolist() == ["neither", "neither"]


def test_failed_fits_are_told_once(data):
    models = {"moody": Column(0, fail), "nan": NaNRisk(), "a": Column(0)}
    message = (
        r"7 of 12 fits failed.*'moody' in 3 of 4 folds, 'nan' in 4 of 4 folds\. The first, 'moody' in fold \d: Run"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        compare_models(models, *data, 4, scoring="harrell")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("make", [partial(SurvivalKFold, shuffle=True), RepeatedSurvivalKFold, ShuffleSplit])
def test_a_cache_of_folds_that_never_come_again(data, tmp_path, make):
    with pytest.warns(UserWarning, match=r"shuffles patients anew in each run.*random_state"):
        compare_models({"a": Column(0)}, *data, make(2), scoring="harrell", cache=tmp_path)
    compare_models({"a": Column(0)}, *data, make(2), scoring="harrell")
    compare_models({"a": Column(0)}, *data, make(2, random_state=0), scoring="harrell", cache=tmp_path)


@pytest.mark.filterwarnings("ignore:.* fits failed")
def test_a_warning_of_a_model_stops_nobody(data):
    models = {"strange": Column(0, warn), "a": Column(0)}
    with pytest.warns(UserWarning, match="a strange day"):
        comparison = compare_models(models, *data, 4, scoring="harrell")
    assert (comparison.fits["error"] == "").all()
    comparison = compare_models(models, *data, 4, scoring="harrell")  # here warnings are errors
    assert (comparison.fits["error"] != "").groupby(comparison.fits["model"]).sum().to_dict() == {"a": 0, "strange": 3}


def test_curves_that_a_model_only_pretends_to_have_are_no_failure(data):
    comparison = compare_models({"net": CoxnetSurvivalAnalysis(n_alphas=5)}, *data, 4, scoring=["harrell", "ibs"])
    scores = comparison.scores.set_index("score")
    assert scores.loc["harrell", "value"].notna().all()
    assert scores.loc["ibs", "reason"].str.contains("predict_survival_function failed: `fit` must be called").all()


def test_a_fold_without_events_has_no_score_and_not_zero(data):
    X, y = data
    y = y.copy()
    folds = list(KFold(4).split(X))
    y["event"][folds[2][1]] = False
    comparison = compare_models({"a": Column(0), "b": Column(1)}, X, y, folds, scoring=["harrell", "uno"])
    missing = comparison.scores[comparison.scores["value"].isna()]
    assert set(missing["fold"]) == {2}
    assert len(missing) == 4
    assert set(missing["reason"]) == {"no event among 20 test patients"}
    assert (comparison.scores["value"].dropna() > 0).all()
    assert comparison.summary()["n_folds"].tolist() == [3, 3, 3, 3]
    assert comparison.pairwise(n_bootstrap=20)["n_folds"].tolist() == [3]


def test_tuning_happens_inside_the_fold_and_its_curves_are_found(data):
    X, y = data
    alphas = {"alpha": [0.1, 1000.0]}
    search = GridSearchCV(CoxPHSurvivalAnalysis(), alphas, cv=SurvivalKFold(3))
    models = {"search": search, "behind scaling": make_pipeline(StandardScaler(), search)}
    comparison = compare_models(models, X, y, 3, scoring=["harrell", "ibs"])
    assert comparison.scores["value"].notna().all()
    train, test = comparison.folds[1]
    by_hand = GridSearchCV(CoxPHSurvivalAnalysis(), alphas, cv=SurvivalKFold(3)).fit(X.iloc[train], y[train])
    own = comparison.risks[(comparison.risks["model"] == "search") & (comparison.risks["fold"] == 1)]
    np.testing.assert_allclose(own["risk_score"], by_hand.predict(X.iloc[test]), rtol=1e-12)


def test_an_interrupted_run_goes_on_where_it_was(data, tmp_path):
    X, y = data
    models = {"a": Column(0), "logged": Logged(str(tmp_path), interrupt_at=2)}
    run = {"scoring": "harrell", "cache": tmp_path / "cache"}
    with pytest.raises(KeyboardInterrupt):
        compare_models(models, X, y, 4, **run)
    assert len((tmp_path / "fits").read_text().splitlines()) == 3  # two are done, the third was interrupted
    comparison = compare_models(models, X, y, 4, **run)
    fits = (tmp_path / "fits").read_text().splitlines()
    assert len(fits) == 5
    assert len({fit for fit in fits if fit != "interrupted"}) == 4
    fresh = compare_models({"a": Column(0), "logged": Column(0)}, X, y, 4, scoring="harrell")
    pd.testing.assert_frame_equal(comparison.scores, fresh.scores)

    compare_models(models, X, y, 4, scoring=["uno"], cache=joblib.Memory(str(tmp_path / "cache"), verbose=0))
    assert len((tmp_path / "fits").read_text().splitlines()) == 5  # other scores of the same fits
    compare_models(models, X.assign(a=X["a"] + 1), y, 4, **run)
    assert len((tmp_path / "fits").read_text().splitlines()) == 9  # other patients


@pytest.mark.filterwarnings("ignore:.* fits failed")
def test_a_failed_fit_is_tried_again(data, tmp_path):
    Logged(str(tmp_path)).fit(*data)
    models = {"moody": Column(0, fail)}
    first = compare_models(models, *data, 4, scoring="harrell", cache=tmp_path)
    second = compare_models(models, *data, 4, scoring="harrell", cache=tmp_path)
    assert (first.fits["error"] == second.fits["error"]).all()
    assert second.summary()["n_failed"].item() == 3


def test_a_model_that_cannot_be_cached_is_named(data, tmp_path):
    with pytest.raises(ValueError, match=r"Fits of model 'odd' cannot be kept in the cache: .*lambda"):
        compare_models({"odd": Column(0, lambda X: None)}, *data, 4, cache=tmp_path)


def test_bags_of_tiles_go_through_as_they_are(make_cohort):
    cohort = make_cohort(n_patients=24)
    model = FusionSurvivalAnalysis([("wsi", MeanMIL())], n_estimators=1, max_epochs=1, random_state=0)
    one, two = (
        compare_models({"net": model}, cohort.X[["wsi__tiles"]], cohort.y, 2, scoring=["harrell", "ibs"])
        for _ in range(2)
    )
    assert one.scores["value"].notna().all()
    pd.testing.assert_frame_equal(one.risks, two.risks)


def test_the_bootstrap_is_seeded(data):
    models = {"a": Column(0), "b": Column(1)}
    draws = [
        compare_models(models, *data, 4, scoring="harrell", random_state=s).pairwise(n_bootstrap=99) for s in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(draws[0], draws[1])
    assert draws[0]["boot_lower"].item() != draws[2]["boot_lower"].item()


def test_an_array_is_numbered(data):
    X, y = data
    comparison = compare_models({"cox": CoxPHSurvivalAnalysis(alpha=0.1)}, X.to_numpy(), y, 4, scoring="harrell")
    assert sorted(comparison.risks["patient"]) == list(range(80))


def test_concordance_is_what_scikit_survival_says(data, cox):
    X, y = data
    test = cox.folds[0][1]
    expected = concordance_index_censored(y["event"][test], y["time"][test], X["a"].to_numpy()[test])[0]
    rows = cox.scores.set_index(["model", "fold", "score"])["value"]
    assert rows["a", 0, "harrell"] == pytest.approx(expected, rel=1e-14)


@pytest.mark.filterwarnings("ignore:.* fits failed")
def test_the_report_holds_everything_and_is_safe(data, tmp_path):
    models = {"<i>a</i> & co": Column(0), "moody": Column(0, fail), "cox": CoxPHSurvivalAnalysis(alpha=0.1)}
    comparison = compare_models(
        models, *data, 4, scoring=["harrell", "calibration"], horizons=[60], reference="cox", random_state=0
    )
    text = comparison.to_html(tmp_path / "report.html", title="Ours > theirs", time_unit="days")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == text
    assert "<i>" not in text
    assert "&lt;i&gt;a&lt;/i&gt; &amp; co" in text
    assert "<title>Ours &gt; theirs</title>" in text
    assert "RuntimeError: a bad day" in text
    assert "no predict_survival_function" in text
    assert text.count("data:image/png;base64,") == 3  # nobody but the reference has a calibration
    mean = comparison.summary().loc[("harrell", "cox"), "mean"]
    assert f"<td>{mean:.3f}</td>" in text
    assert "at\N{NO-BREAK SPACE}60\N{NO-BREAK SPACE}days" in text


def test_the_picture_shows_the_summary(cox):
    import matplotlib.pyplot as plt

    display = cox.plot("uno")
    np.testing.assert_allclose(display.intervals["mean"], cox.summary().loc["uno", "mean"].loc[["cox", "a", "noise"]])
    np.testing.assert_allclose(display.intervals["upper"], cox.summary().loc["uno", "upper"].loc[["cox", "a", "noise"]])
    differences = cox.plot("uno", differences=True)
    pairs = cox.pairwise("uno", n_bootstrap=5)
    np.testing.assert_allclose(differences.intervals["p_value"], pairs["t_p"])
    np.testing.assert_allclose(differences.intervals["lower"], pairs["t_lower"])
    plt.close("all")


def test_a_comparison_can_be_kept(cox):
    again = pickle.loads(pickle.dumps(cox))
    pd.testing.assert_frame_equal(again.pairwise("ibs", n_bootstrap=5), cox.pairwise("ibs", n_bootstrap=5))
    pd.testing.assert_frame_equal(again.summary(), cox.summary())


def test_repr_names_the_size(cox):
    assert repr(cox).startswith("<ModelComparison: 3 models, 8 folds, 80 patients>\n")


A, B = Column(0), Column(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {}}, "models must be a dictionary such as"),
        ({"models": A}, "models must be a dictionary such as"),
        ({"models": [A, B]}, "models must be pairs of name and estimator"),
        ({"models": [("a", A), ("a", B)]}, "Names of models must differ, but these come twice: 'a'"),
        ({"models": {"": A}}, "name of a model must be a string that is not empty"),
        ({"models": {1: A}}, "name of a model must be a string that is not empty"),
        ({"models": {"a": Column}}, "is a class; make an estimator of it: Column\\(\\)"),
        ({"models": {"a": StandardScaler()}}, "must be a survival estimator with fit and predict"),
        ({"reference": "c"}, "reference='c' is none of the models: 'a', 'b'"),
        ({"scoring": "cindex"}, "scoring names 'cindex', which is no score; the scores are harrell, uno, auc"),
        ({"scoring": "auc@60"}, "The time of a score goes into horizons=, not into its name"),
        ({"scoring": []}, "scoring names no score"),
        ({"scoring": ["brier"]}, "The score 'brier' needs a time"),
        ({"horizons": [-1.0]}, "horizons must be positive times, got \\[-1.0\\]"),
        ({"cv": 1}, "The 'cv' parameter of compare_models"),
        ({"cv": []}, "cv gave no fold"),
        ({"cv": [([0, 1], [1, 2])]}, "Fold 0 of cv tests 1 patients that it also trains on, at positions"),
        ({"cv": [(np.arange(40), np.arange(40, 81))]}, "positions from 0 to 79"),
        ({"cv": [(np.arange(80) < 40, np.arange(80) >= 40)]}, "must name training patients by their positions"),
        ({"cv": [(np.arange(40), [])]}, "must name test patients by their positions"),
        ({"cv": [(1, 2, 3)]}, "must be a pair \\(train, test\\), got 3 parts"),
        ({"n_jobs": "two"}, "The 'n_jobs' parameter of compare_models"),
    ],
)
def test_what_cannot_be_compared_is_named(data, change, message):
    X, y = data
    arguments = {"models": {"a": A, "b": B}, "X": X, "y": y, "cv": 4} | change
    with pytest.raises(ValueError, match=message):
        compare_models(**arguments)


def test_unusable_patients_are_named(data):
    X, y = data
    twice = X.set_axis(["P001", *X.index[1:]])
    with pytest.raises(ValueError, match=r"Patients must not come twice, but these do: 'P001'\. One of their rows"):
        compare_models({"a": A}, twice, y)
    with pytest.raises(ValueError, match="X has 80 patients and y has 79"):
        compare_models({"a": A}, X, y[:-1])
    with pytest.raises(ValueError, match="structured array"):
        compare_models({"a": A}, X, y["time"])
    comparison = compare_models({"a": A}, X, y, 4, scoring="harrell")
    with pytest.raises(ValueError, match="score='uno' was not computed; there are 'harrell'"):
        comparison.pairwise("uno")
    with pytest.raises(ValueError, match="Differences need a reference"):
        comparison.plot(differences=True)
    assert comparison.pairwise().empty
    nobody = y.copy()
    nobody[nobody.dtype.names[0]] = False
    with pytest.raises(ValueError, match="None of the 80 patients has an event"):
        compare_models({"a": A}, X, nobody)
    for wrong in [{"confidence_level": 95}, {"n_bootstrap": 0}]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            comparison.pairwise(**wrong)


def test_a_horizon_beyond_the_follow_up_is_told(data):
    with pytest.warns(UserWarning, match=r"The score 'auc@10000' exists in no fold: horizon 10000 is not within"):
        comparison = compare_models({"a": A, "b": B}, *data, 4, scoring=["harrell", "auc"], horizons=[60, 10_000])
    with pytest.raises(ValueError, match="no model has a value in any fold: horizon 10000 is not within"):
        comparison.plot("auc@10000")
