"""Late fusion: ranks by hand, missing modalities, honest stacking."""

import numpy as np
import pandas as pd
import pytest
from chance import margin_of_chance
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.base import SurvivalAnalysisMixin
from sksurv.linear_model import CoxPHSurvivalAnalysis, IPCRidge
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from sksurv_mmf import LateFusionSurvivalAnalysis
from sksurv_mmf.late_fusion._ranks import relative_rank
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.preprocessing import BagPooling


class FirstColumn(SurvivalAnalysisMixin, BaseEstimator):
    """Has nothing to learn: the risk is the first column."""

    def fit(self, X, y):
        self.fitted_ = list(X.index)
        return self

    def predict(self, X):
        return X.iloc[:, 0].to_numpy(dtype=float)


class Memory(FirstColumn):
    """Knows the training patients' times by heart, and of others nothing."""

    def fit(self, X, y):
        self.time_ = pd.Series(y["time"], index=X.index)
        return super().fit(X, y)

    def predict(self, X):
        noise = [np.random.default_rng(abs(hash(patient)) % 1000).normal() for patient in X.index]
        return np.where(X.index.isin(self.time_.index), -self.time_.reindex(X.index), noise)


def cox(alpha=1.0):
    return make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=alpha))


def cohort_of(seed=0, n_patients=120, effects=(1.0, 1.0)):
    """One column per modality, with the log hazard ratios `effects`."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_patients, len(effects)))
    time = rng.exponential(np.exp(-values @ effects))
    event = rng.random(n_patients) < 0.7
    index = pd.RangeIndex(n_patients, name="patient")
    return pd.DataFrame(values, index, [f"{'abc'[i]}__x" for i in range(len(effects))]), Surv.from_arrays(event, time)


def test_relative_rank_by_hand():
    reference = np.array([5.0, 2.0, 1.0, 2.0])  # ranks 7/8, 1/2, 1/8, 1/2
    risk = np.array([1, 2, 5, 3.5, -9, 9])
    assert_allclose(relative_rank(risk, reference), [0.125, 0.5, 0.875, 0.6875, 0.125, 0.875])
    assert_array_equal(relative_rank(risk, np.full(3, 7.0)), np.full(6, 0.5))


def test_relative_rank_knows_no_scale_and_no_noise():
    rng = np.random.default_rng(0)
    reference, risk = rng.integers(0, 9, 50).astype(float), rng.normal(4, 3, 20)
    rank = relative_rank(risk, reference)
    assert_allclose(relative_rank(100 + 1e-3 * risk, 100 + 1e-3 * reference), rank, atol=1e-6)
    noisy = reference + 1e-13 * rng.normal(size=50)
    assert_allclose(relative_rank(noisy, noisy), relative_rank(reference, reference), atol=1e-6)
    assert_allclose(relative_rank(reference, reference).mean(), 0.5)


def test_mean_rank_by_hand():
    X = pd.DataFrame({"a__x": [1.0, 2, 3, 4], "b__x": [10.0, 30, np.nan, 20]}, index=list("wxyz"))
    y = Surv.from_arrays([True] * 4, [4.0, 3, 2, 1])
    model = LateFusionSurvivalAnalysis([("a", FirstColumn()), ("b", FirstColumn())], cv=2).fit(X, y)
    a, b = [1 / 8, 3 / 8, 5 / 8, 7 / 8], [1 / 6, 5 / 6, np.nan, 3 / 6]
    assert_allclose(model.modality_ranks(X), np.column_stack([a, b]))
    assert_allclose(model.predict(X), [7 / 48, 29 / 48, 5 / 8, 11 / 16])
    assert model.estimators_["b"].fitted_ == list("wxz")


@pytest.mark.parametrize("combine", ["rank", "stack"])
def test_a_prediction_does_not_depend_on_who_else_is_predicted(combine):
    X, y = cohort_of()
    model = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], combine=combine).fit(X[:80], y[:80])
    together = model.predict(X[80:])
    alone = np.concatenate([model.predict(X.iloc[[i]]) for i in range(80, 120)])
    assert_allclose(alone, together, rtol=1e-9)
    assert len(np.unique(together)) > 30


def test_a_missing_modality_is_neutral():
    X, y = cohort_of()
    lacking = X.assign(b__x=X["b__x"].where(np.arange(len(X)) % 3 > 0))
    rank = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())]).fit(lacking, y)
    stack = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], combine="stack").fit(lacking, y)
    without = lacking.index[lacking["b__x"].isna()]
    ranks_of_a = rank.modality_ranks(lacking.loc[without])["a"]
    assert_allclose(rank.predict(lacking.loc[without]), ranks_of_a)
    assert_allclose(np.diff(stack.predict(lacking.loc[without])), stack.weights_["a"] * np.diff(ranks_of_a), atol=1e-12)
    assert stack.held_out_ranks_["b"].isna().to_numpy().nonzero()[0].tolist() == without.tolist()


def test_stacking_sees_held_out_patients_only():
    X, y = cohort_of(effects=(1.0, 0.0), n_patients=200)
    train, test = np.arange(200) < 150, np.arange(200) >= 150
    model = LateFusionSurvivalAnalysis([("a", cox()), ("b", Memory())], combine="stack").fit(X[train], y[train])
    # of its training patients the memory knows all: stacked on these, it would get all the weight
    in_sample = model.modality_ranks(X[train])
    assert concordance_index_censored(y["event"][train], y["time"][train], in_sample["b"])[0] == 1.0
    greedy = CoxPHSurvivalAnalysis(alpha=1.0).fit(in_sample - 0.5, y[train]).coef_
    assert greedy[1] > 3 * greedy[0]
    assert model.weights_["a"] > 3 * abs(model.weights_["b"])
    alone = cox().fit(X.loc[train, ["a__x"]], y[train]).score(X.loc[test, ["a__x"]], y[test])
    assert model.score(X[test], y[test]) > alone - 0.03


def test_stacking_weighs_modalities_by_what_they_know():
    X, y = cohort_of(effects=(1.5, 0.5, 0.0), n_patients=200)
    modalities = [(name, cox()) for name in "abc"]
    weights = LateFusionSurvivalAnalysis(modalities, combine="stack").fit(X, y).weights_
    assert weights["a"] > weights["b"] > abs(weights["c"])
    assert_allclose(LateFusionSurvivalAnalysis(modalities).fit(X, y).weights_, 1 / 3)


def test_held_out_ranks_are_those_of_models_that_have_not_seen_the_patient():
    X, y = cohort_of(n_patients=40)
    cv = SurvivalKFold(4)
    model = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], cv=cv).fit(X, y)
    for train, test in cv.split(X, y):
        part = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], cv=2).fit(X.iloc[train], y[train])
        assert_allclose(model.held_out_ranks_.iloc[test], part.modality_ranks(X.iloc[test]))


def test_folds_are_dealt_in_the_order_of_event_and_time_whatever_the_order_of_rows():
    X, y = cohort_of(n_patients=40)
    order = np.random.default_rng(1).permutation(40)
    models = [
        LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], cv=4).fit(X.iloc[rows], y[rows])
        for rows in (np.arange(40), order)
    ]
    assert_allclose(models[1].held_out_ranks_.loc[X.index], models[0].held_out_ranks_)
    by_outcome = np.lexsort((y["time"], ~y["event"]))
    for k in range(4):
        others = np.delete(by_outcome, np.arange(k, 40, 4))
        part = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], cv=2).fit(X.iloc[others], y[others])
        left_out = by_outcome[k::4]
        assert_allclose(models[0].held_out_ranks_.iloc[left_out], part.modality_ranks(X.iloc[left_out]))


@pytest.mark.parametrize("combine", ["rank", "stack"])
def test_alpha_shrinks_what_the_ranks_count(combine):
    X, y = cohort_of()
    sizes = []
    for alpha in (0.1, 10.0):
        model = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], combine=combine, alpha=alpha).fit(X, y)
        scores = model.held_out_ranks_ - 0.5
        scores = scores.mean(axis=1).to_frame() if combine == "rank" else scores
        expected = CoxPHSurvivalAnalysis(alpha=alpha).fit(scores, y).coef_
        assert_allclose(model.combiner_.coef_, expected, rtol=1e-6)
        sizes.append(np.abs(expected).sum())
    assert sizes[1] < sizes[0] / 2


def test_curves_are_honest_about_a_model_that_overfits():
    X, y = cohort_of(effects=(0.0, 0.0))
    model = LateFusionSurvivalAnalysis([("a", Memory()), ("b", Memory())]).fit(X, y)
    at_end = model.predict_survival_function(X, return_array=True)[:, len(model.unique_times_) // 2]
    assert np.ptp(model.predict(X)) > 0.9
    assert np.ptp(at_end) < 0.4
    assert np.corrcoef(at_end, model.predict(X))[0, 1] < 0 or np.ptp(at_end) == 0


def test_ranks_that_mislead_give_everybody_the_same_curve():
    X, y = cohort_of(effects=(-2.0,))
    model = LateFusionSurvivalAnalysis([("a", FirstColumn())]).fit(X, y)
    assert np.ptp(model.predict_survival_function(X, return_array=True), axis=0).max() == 0


def test_estimators_that_predict_times_are_turned_round():
    X, y = cohort_of(effects=(2.0, 0.0))
    times = IPCRidge().fit(X, y).predict(X)
    assert times[X["a__x"].argmax()] < times[X["a__x"].argmin()]
    model = LateFusionSurvivalAnalysis([("a", IPCRidge())], combine="stack").fit(X[["a__x"]], y)
    assert model.weights_["a"] > 0
    assert model.score(X[["a__x"]], y) > 0.5 + margin_of_chance(y, model.predict(X[["a__x"]]))


def test_bags_and_columns_may_be_named(make_cohort):
    cohort = make_cohort(n_patients=40)
    image, genes = make_pipeline(BagPooling(), cox()), cox()
    by_prefix = LateFusionSurvivalAnalysis([("wsi", image), ("rna", genes)]).fit(cohort.X, cohort.y)
    columns = list(cohort.X.columns[1:])
    by_name = LateFusionSurvivalAnalysis([("slide", image, ["wsi__tiles"]), ("genes", genes, columns)])
    assert_array_equal(by_name.fit(cohort.X, cohort.y).predict(cohort.X), by_prefix.predict(cohort.X))
    assert by_name.set_params(genes__coxphsurvivalanalysis__alpha=7).modalities[1][1][-1].alpha == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modalities": []}, "modalities is an empty list"),
        ({"modalities": [("a", StandardScaler())]}, "estimators that predict risk scores, got .*StandardScaler"),
        ({"modalities": [("a", cox()), ("z", cox())]}, "Modality 'z' is not in X"),
        ({"modalities": [("a", cox())]}, "Column 'b__x' is in X, but in no modality of 'a'"),
        ({"combine": "mean"}, "'combine' parameter"),
        ({"cv": 90}, "cv=90 folds need 90 events"),
        ({"alpha": 0}, "'alpha' parameter"),
    ],
)
def test_wrong_parameters_are_named(change, message):
    X, y = cohort_of()
    params = {"modalities": [("a", cox()), ("b", cox())]} | change
    with pytest.raises(ValueError, match=message):
        LateFusionSurvivalAnalysis(**params).fit(X, y)


def test_a_splitter_must_leave_out_everybody_once():
    class Half:
        def split(self, X, y):
            yield np.arange(60, 120), np.arange(60)

        def get_n_splits(self):
            return 1

    X, y = cohort_of()
    with pytest.raises(ValueError, match="each of the 120 patients once, but it leaves out 60"):
        LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())], cv=Half()).fit(X, y)


def test_patients_without_anything_and_failing_estimators_are_named():
    X, y = cohort_of()
    X.loc[3] = np.nan
    model = LateFusionSurvivalAnalysis([("a", cox()), ("b", cox())])
    with pytest.raises(ValueError, match="Patient 3 has none of the modalities 'a', 'b'"):
        model.fit(X, y)
    with pytest.raises(TypeError, match="estimator of modality 'b' cannot be fitted: BagPooling works on columns of"):
        model.set_params(b=make_pipeline(BagPooling(), cox()), cv=2).fit(X.fillna(0), y)
