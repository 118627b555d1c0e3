"""Whatever takes any survival estimator asks all of them alike: risks point the right way, curves are found."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.ensemble import RandomSurvivalForest
from sksurv.functions import StepFunction
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis, IPCRidge
from sksurv.metrics import as_concordance_index_ipcw_scorer
from sksurv.svm import FastSurvivalSVM

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import CrossModalAttention
from sksurv_mmf.inspection import (
    CalibrationDisplay,
    ModalityAttentionDisplay,
    RiskGroupDisplay,
    TileAttentionDisplay,
    feature_importance,
    fusion_audit,
    integrated_gradients,
    modality_importance,
)
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.predictions._ask import predict_curves, predict_risk

matplotlib.use("Agg")

COXNET = CoxnetSurvivalAnalysis(alphas=[0.05], fit_baseline_model=True)
NETWORK = FusionSurvivalAnalysis(
    embedding_dim=4,
    n_estimators=1,
    max_epochs=8,
    lr=0.01,
    fusion=CrossModalAttention(hidden_dim=4),
    device="cpu",
    random_state=0,
)


def pipeline(model):
    return Pipeline([("scale", StandardScaler().set_output(transform="pandas")), ("model", model)])


def search(model):
    name = next(name for name in ("model__verbose", "verbose", "model__alpha", "alpha") if name in model.get_params())
    return GridSearchCV(model, {name: [model.get_params()[name]]}, cv=2)


WRAPPERS = {
    "alone": lambda model: model,
    "Pipeline": pipeline,
    "search": search,
    "search in Pipeline": lambda model: pipeline(search(model)),
    "Pipeline in search": lambda model: search(pipeline(model)),
    "search in Pipeline in search in Pipeline": lambda model: pipeline(search(pipeline(search_of_nothing(model)))),
    "scorer": lambda model: as_concordance_index_ipcw_scorer(search(model)),
    "search of scorer": lambda model: search_of_nothing(as_concordance_index_ipcw_scorer(model)),
}


def search_of_nothing(model):
    return GridSearchCV(model, {}, cv=2)


MODELS = {
    "network": NETWORK,
    "ensemble": clone(NETWORK).set_params(n_estimators=3, max_epochs=4),
    "late fusion": LateFusionSurvivalAnalysis([("all", COXNET, make_column_selector())], cv=2),
    "forest": RandomSurvivalForest(20, random_state=0),
    "ranking SVM": FastSurvivalSVM(random_state=0),
    "regressing SVM": FastSurvivalSVM(rank_ratio=0.5, fit_intercept=True, random_state=0),
}
MODELS |= {f"Coxnet, {how}": wrap(COXNET) for how, wrap in WRAPPERS.items()}
MODELS |= {f"IPCRidge, {how}": wrap(IPCRidge()) for how, wrap in WRAPPERS.items()}
WITHOUT_CURVES = [name for name in MODELS if name.startswith("IPCRidge") or name.endswith("SVM")]
FOLDS = SurvivalKFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def cohort():
    """Few genes, each of which matters, so that every model finds them."""
    return make_multimodal_survival(
        n_patients=100, n_genes=4, n_informative_genes=4, n_tiles=3, rna_effect=3.0, image_effect=0, random_state=0
    )


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def genes(cohort):
    return cohort.X.drop(columns="wsi__tiles")


def plain(name):
    """The model without a scorer of scikit-survival, whose own score is another one, and of times the reverse."""
    model = MODELS[name]
    while isinstance(model, GridSearchCV | as_concordance_index_ipcw_scorer) and "scorer" in name:
        model = model.estimator
    return model


@pytest.fixture(scope="module")
def scores(cohort, genes):
    """What scikit-learn says of each model in each fold."""
    return pd.DataFrame({name: cross_val_score(plain(name), genes, cohort.y, cv=FOLDS) for name in MODELS})


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def fitted(name, cohort, genes):
    train, test = next(FOLDS.split(genes, cohort.y))
    return clone(MODELS[name]).fit(genes.iloc[train], cohort.y[train]), genes.iloc[test], cohort.y[test]


def test_every_model_finds_the_signal(scores):
    assert (scores.min() > 0.65).all()


def test_comparison_and_audit_count_as_scikit_learn_does(cohort, genes, scores, name):
    models = {name: MODELS[name], "other": CoxPHSurvivalAnalysis(alpha=1)}
    comparison = compare_models(models, genes, cohort.y, FOLDS, scoring=["harrell", "ibs"])
    assert (comparison.fits["error"] == "").all()
    table = comparison.scores[comparison.scores["model"] == name].set_index("score")
    assert table.loc["harrell", "value"].tolist() == pytest.approx(scores[name].tolist())
    audit = fusion_audit(comparison, name, n_bootstrap=10, random_state=0)
    assert audit.c_index[name].tolist() == pytest.approx(scores[name].tolist())
    if name in WITHOUT_CURVES:
        assert (table.loc["ibs", "reason"] == "no predict_survival_function").all()
    else:
        assert (table.loc["ibs", "value"] < 0.25).all()  # what a curve that is 1/2 everywhere has


def test_modality_importance_counts_as_scikit_learn_does(cohort, genes, name):
    X = genes.assign(clinical__shoe=np.random.default_rng(0).normal(size=len(genes)))
    table = modality_importance(MODELS[name], X, cohort.y, cv=FOLDS, n_repeats=2, random_state=0).table
    scores = cross_val_score(plain(name), X, cohort.y, cv=FOLDS)
    assert table.loc["rna", "c_index"] == pytest.approx(scores.mean())
    assert table.loc["rna", "drop"] > 0.1
    assert abs(table.loc["clinical", "drop"]) < 0.1


def test_late_fusion_counts_as_the_model_does(cohort, genes, name):
    alone = clone(plain(name)).fit(genes, cohort.y).score(genes, cohort.y)
    late = LateFusionSurvivalAnalysis([("rna", MODELS[name])], cv=2).fit(genes, cohort.y)
    # A rank keeps the order of the training patients.
    assert late.score(genes, cohort.y) == pytest.approx(alone)
    assert late.combiner_.coef_[0] > 0


def test_risk_groups_are_in_order(fitted):
    display = RiskGroupDisplay.from_estimator(*fitted)
    low, high = (np.interp(np.median(fitted[2]["time"]), one.step_times, one.survival) for one in display.groups)
    assert low > high


def test_calibration_finds_curves_or_says_that_there_are_none(fitted, name):
    time = np.median(fitted[2]["time"])
    if name in WITHOUT_CURVES:
        with pytest.raises(AttributeError, match=r"estimator is a \w+, (which|whose \w+) has no predict_survival_fun"):
            CalibrationDisplay.from_estimator(*fitted, time=time, n_groups=2)
        return
    table = CalibrationDisplay.from_estimator(*fitted, time=time, n_groups=2).table
    assert table["predicted"].is_monotonic_increasing
    assert table["observed"].is_monotonic_increasing


def test_curves_and_risks_are_those_of_the_model_within(fitted, name):
    model, X, _ = fitted
    risk = predict_risk(model, X)
    predicts_times = name.startswith("IPCRidge") or name == "regressing SVM"
    assert np.array_equal(risk, -model.predict(X) if predicts_times else model.predict(X))
    if name in WITHOUT_CURVES:
        return
    curves = predict_curves(model, X)
    middle = np.median([curve.x[len(curve.x) // 2] for curve in curves])
    survival = np.array([curve(middle) for curve in curves])
    assert np.corrcoef(np.argsort(np.argsort(risk)), survival)[0, 1] < -0.8


class Halved(GridSearchCV):
    """A search with survival functions of its own."""

    def predict_survival_function(self, X):
        curves = self.best_estimator_.predict_survival_function(X)
        return [StepFunction(curve.x, curve(curve.x) / 2) for curve in curves]


def test_curves_are_those_of_the_outermost_that_has_them_and_of_transformed_patients(cohort, genes):
    shifted = 2 * genes + 10
    alone = clone(COXNET).fit(genes, cohort.y)
    expected = [curve(curve.x) for curve in predict_curves(alone, genes)]
    double = FunctionTransformer(lambda X: (X - 10) / 2)
    behind = make_pipeline(double, search_of_nothing(COXNET)).fit(shifted, cohort.y)
    np.testing.assert_allclose([curve(curve.x) for curve in predict_curves(behind, shifted)], expected, rtol=1e-9)
    halved = make_pipeline(double, Halved(COXNET, {}, cv=2)).fit(shifted, cohort.y)
    found = [curve(curve.x) for curve in predict_curves(halved, shifted)]
    np.testing.assert_allclose(found, np.array(expected) / 2, rtol=1e-9)


# What only a network can be asked. It standardises genes, so that twice the genes make the same network.
def double(X):
    return X.assign(**{name: 2 * X[name] for name in X.filter(like="rna__")})


DOUBLE = FunctionTransformer(double)
NETWORK_WRAPPERS = {
    "Pipeline": lambda model: make_pipeline(DOUBLE, model),
    "search": search_of_nothing,
    "search in Pipeline": lambda model: make_pipeline(DOUBLE, search_of_nothing(model)),
    "Pipeline in search": lambda model: search_of_nothing(make_pipeline(DOUBLE, model)),
}


@pytest.fixture(scope="module", params=["network", "ensemble"])
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def alone(cohort, model):
    return clone(model).fit(cohort.X, cohort.y)


@pytest.fixture(scope="module", params=NETWORK_WRAPPERS)
def wrapped(request, cohort, model):
    return NETWORK_WRAPPERS[request.param](clone(model)).fit(cohort.X, cohort.y)


def test_weights_of_modalities(cohort, alone, wrapped):
    found, expected = (ModalityAttentionDisplay.from_estimator(model, cohort.X) for model in (wrapped, alone))
    pd.testing.assert_frame_equal(found.attention, expected.attention)
    pd.testing.assert_series_equal(found.risk, expected.risk)


def test_weights_of_tiles(cohort, alone, wrapped):
    found, expected = (
        TileAttentionDisplay.from_estimator(model, cohort.X, patient="P0003") for model in (wrapped, alone)
    )
    assert np.array_equal(found.attention, expected.attention)


def test_gradients(cohort, alone, wrapped):
    found, expected = (integrated_gradients(model, cohort.X, n_steps=50) for model in (wrapped, alone))
    pd.testing.assert_frame_equal(found, expected)


def test_importance_of_features(cohort, wrapped, alone):
    found = feature_importance(clone(wrapped), cohort.X, cohort.y, cv=FOLDS, n_steps=50)
    pd.testing.assert_frame_equal(
        found.table, feature_importance(clone(alone), cohort.X, cohort.y, cv=FOLDS, n_steps=50).table
    )


def test_a_search_that_keeps_no_model(cohort, genes):
    model = GridSearchCV(IPCRidge(), {}, cv=2, refit=False).fit(genes, cohort.y)
    with pytest.raises(AttributeError, match="estimator is a GridSearchCV, which has no predict"):
        RiskGroupDisplay.from_estimator(model, genes, cohort.y)
