"""Names that have changed: the old ones still work, say what the new one is, and do not go along with it."""

import pickle
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, load_model, presets, save_model
from sksurv_mmf.encoders import SNN
from sksurv_mmf.inspection import (
    CalibrationDisplay,
    ComparisonDisplay,
    FusionAudit,
    ModalityAttentionDisplay,
    ModalityImportance,
    RiskGroupDisplay,
    fusion_audit,
    modality_importance,
)
from sksurv_mmf.model_selection import compare_models
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.slides import extract_features
from sksurv_mmf.utils._old_names import renamed_method, renamed_parameters


@pytest.fixture(scope="module")
def data(make_cohort):
    """Genes of 30 patients, their outcome and a fitted model."""
    cohort = make_cohort()
    X = cohort.X.filter(like="rna__")
    return X, cohort.y, make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1.0)).fit(X, cohort.y)


@pytest.fixture(scope="module")
def comparison(data):
    X, y, model = data
    models = {"one": model, "two": CoxPHSurvivalAnalysis(alpha=9.0)}
    return compare_models(models, X, y, 2, scoring="harrell", random_state=0)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make_audit(**params):
    return FusionAudit(
        "one",
        "two",
        pd.DataFrame({"one": [0.7, 0.6], "two": [0.5, 0.6]}),
        pd.DataFrame({"gain": 0.1, "lower": 0.0, "upper": 0.2, "p_value": 0.4}, index=["corrected t-test"]),
        pd.DataFrame({"event": [True, False], "rank_single": [0.5, 1.0], "rank_fused": [1.0, 0.5]}),
        **params,
    )


def limits_of(display):
    return [limit for group in display.groups for limit in (group.lower, group.upper)]


def colors_of(display):
    return [line.get_color() for line in display.ax_.lines]


def twice(data):
    """Patients enough for two groups that calibration does not warn of."""
    X, y, _ = data
    return pd.concat([X, X.set_axis(X.index + "b")]), np.concatenate([y, y])


FOLDS = pd.DataFrame({"modality": ["rna"], "c_index": 0.7, "c_index_without": 0.5, "drop": 0.2, "n_patients": 9})

# Old name, new name, a value other than the default, and what takes it.
CALLS = {
    "summary": ("confidence", "confidence_level", 0.5, lambda c, d, **kw: c.summary(**kw)),
    "pairwise": ("confidence", "confidence_level", 0.5, lambda c, d, **kw: c.pairwise(n_bootstrap=5, **kw)),
    "comparison.plot": ("confidence", "confidence_level", 0.5, lambda c, d, **kw: c.plot(**kw).intervals),
    "ComparisonDisplay": (
        *("confidence", "confidence_level", 0.5),
        lambda c, d, **kw: ComparisonDisplay.from_predictions(c.scores, **kw).intervals,
    ),
    "fusion_audit": (
        *("confidence", "confidence_level", 0.5),
        lambda c, d, **kw: fusion_audit(c, "one", n_bootstrap=5, random_state=0, **kw).tests,
    ),
    "FusionAudit": (
        *("confidence", "confidence_level", 0.5),
        lambda c, d, **kw: make_audit(**kw).confidence_level,
    ),
    "modality_importance": (
        *("confidence", "confidence_level", 0.5),
        lambda c, d, **kw: (
            modality_importance(d[2], *d[:2], cv="prefit", n_repeats=1, n_bootstrap=20, random_state=0, **kw).table
        ),
    ),
    "ModalityImportance": (
        *("confidence", "confidence_level", 0.5),
        lambda c, d, **kw: ModalityImportance(FOLDS, {"rna": (0.1, 0.3)}, **kw).confidence_level,
    ),
    "CalibrationDisplay.from_estimator": (
        *("conf_level", "confidence_level", 0.5),
        lambda c, d, **kw: CalibrationDisplay.from_estimator(d[2], *twice(d), time=2, n_groups=2, **kw).table,
    ),
    "CalibrationDisplay.from_predictions": (
        *("conf_level", "confidence_level", 0.5),
        lambda c, d, **kw: (
            CalibrationDisplay.from_predictions(twice(d)[1], np.linspace(0, 1, 60), time=2, n_groups=2, **kw).table
        ),
    ),
    "RiskGroupDisplay.from_estimator": (
        *("conf_level", "confidence_level", 0.5),
        lambda c, d, **kw: limits_of(RiskGroupDisplay.from_estimator(d[2], *d[:2], **kw)),
    ),
    "RiskGroupDisplay.from_predictions": (
        *("conf_level", "confidence_level", 0.5),
        lambda c, d, **kw: limits_of(RiskGroupDisplay.from_predictions(d[1], d[2].predict(d[0]), **kw)),
    ),
    "RiskGroupDisplay.plot": (
        *("colors", "color", ["red", "blue"]),
        lambda c, d, **kw: colors_of(RiskGroupDisplay.from_estimator(d[2], *d[:2]).plot(**kw)),
    ),
    "ComparisonDisplay.plot": ("colors", "color", ["red", "blue"], lambda c, d, **kw: colors_of(c.plot().plot(**kw))),
    "FusionAudit.plot": ("colors", "color", ["red", "blue"], lambda c, d, **kw: colors_of(make_audit().plot(**kw))),
    "ModalityAttentionDisplay.plot": (
        *("colors", "color", ["red", "blue"]),
        lambda c, d, **kw: [
            one.get_facecolor()
            for one in ModalityAttentionDisplay(pd.DataFrame({"a": [0.2, 0.3], "b": [0.8, 0.7]})).plot(**kw).bars_
        ],
    ),
}


def same(one, other):
    return pickle.dumps(one) == pickle.dumps(other)


@pytest.mark.parametrize("name", CALLS)
def test_an_old_parameter_does_what_the_new_one_does(name, comparison, data):
    old, new, value, call = CALLS[name]
    result = call(comparison, data, **{new: value})
    assert not same(result, call(comparison, data))
    with pytest.warns(FutureWarning, match=rf"^{old} of .* is now called {new}, and its old name goes") as caught:
        assert same(call(comparison, data, **{old: value}), result)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(TypeError, match=rf"got {new} and also {old}, its old name\. Leave {old} out\."):
        call(comparison, data, **{old: value, new: value})


def test_workers_are_n_jobs(monkeypatch, tmp_path):
    monkeypatch.setattr("sksurv_mmf.slides._features.import_openslide", lambda: None)
    encoder = torch.nn.Identity()
    with (
        pytest.warns(FutureWarning, match="^workers of extract_features is now called n_jobs"),
        pytest.raises(ValueError, match="paths is empty"),
    ):
        extract_features([], tmp_path, encoder=encoder, workers=2)
    with pytest.raises(TypeError, match="got n_jobs and also workers"):
        extract_features([], tmp_path, encoder=encoder, workers=2, n_jobs=2)
    with pytest.raises(ValueError, match="'n_jobs' parameter"):
        extract_features([], tmp_path, encoder=encoder, n_jobs=0)


def test_old_attributes(data):
    importance = ModalityImportance(FOLDS, {"rna": (0.1, 0.3)}, confidence_level=0.5)
    for thing in (importance, make_audit(confidence_level=0.5)):
        with pytest.warns(FutureWarning, match=rf"{type(thing).__name__}\.confidence is now called confidence_level"):
            assert thing.confidence == 0.5
    group = RiskGroupDisplay.from_estimator(data[2], *data[:2]).groups[0]
    with pytest.warns(FutureWarning, match=r"RiskGroup\.confidence is now called lower and upper"):
        np.testing.assert_array_equal(group.confidence, [group.lower, group.upper])


@pytest.mark.parametrize("color", ["red", ["red"]])
def test_every_group_needs_a_color(color, data):
    display = RiskGroupDisplay.from_estimator(data[2], *data[:2])
    for one in (display, make_audit()):
        with pytest.raises(ValueError, match=r"color must be a list of 2 colors, got "):
            one.plot(color=color)


def network(objective):
    return FusionSurvivalAnalysis(
        [("rna", SNN(4))],
        objective=objective,
        embedding_dim=4,
        n_estimators=1,
        max_epochs=1,
        random_state=0,
        device="cpu",
    )


class Doubled(CoxPH):
    """As one wrote it when `fit_baseline` was called `finish`."""

    def finish(self, predict, event, time):
        super().finish(predict, event, time)
        self.log_baseline_hazard_ = self.log_baseline_hazard_ + np.log(2)
        return self


class DoubledAnew(CoxPH):
    def fit_baseline(self, predict, event, time):
        super().fit_baseline(predict, event, time)
        self.log_baseline_hazard_ = self.log_baseline_hazard_ + np.log(2)
        return self


def test_an_objective_of_the_users_own_that_defines_finish(data):
    X, y, _ = data
    expected = network(DoubledAnew()).fit(X, y).predict_cumulative_hazard_function(X, return_array=True)
    with (
        pytest.warns(FutureWarning, match=r"^Doubled\.finish is now called fit_baseline"),
        pytest.warns(FutureWarning, match=r"^CoxPH\.finish is now called fit_baseline"),
    ):
        model = network(Doubled()).fit(X, y)
    np.testing.assert_array_equal(model.predict_cumulative_hazard_function(X, return_array=True), expected)
    plain = network(CoxPH()).fit(X, y).predict_cumulative_hazard_function(X, return_array=True)
    np.testing.assert_allclose(expected, 2 * plain, rtol=1e-6)


def test_a_mixin_that_defines_finish(data):
    X, y, _ = data

    class Mixed:
        def finish(self, predict, event, time):
            CoxPH.fit_baseline(self, predict, event, time)
            self.log_baseline_hazard_ = self.log_baseline_hazard_ + np.log(2)
            return self

    class Own(Mixed, CoxPH):
        pass

    with pytest.warns(FutureWarning, match=r"^Own\.finish is now called fit_baseline"):
        model = network(Own()).fit(X, y)
    expected = network(DoubledAnew()).fit(X, y).predict_cumulative_hazard_function(X, return_array=True)
    np.testing.assert_array_equal(model.predict_cumulative_hazard_function(X, return_array=True), expected)


def test_finish_may_be_called():
    event, time, outputs = np.array([True, True, False]), np.array([1.0, 2.0, 3.0]), torch.zeros(3, 1).double()
    expected = CoxPH().fit(event, time).fit_baseline(lambda: outputs, event, time).cumulative_hazard(outputs)
    with pytest.warns(FutureWarning, match=r"^CoxPH\.finish is now called fit_baseline"):
        objective = CoxPH().fit(event, time).finish(lambda: outputs, event, time)
    assert torch.equal(objective.cumulative_hazard(outputs), expected)


def test_finish_of_an_objective_without_a_baseline(data):
    X, y, _ = data
    model = network(None).fit(X, y)
    with pytest.warns(FutureWarning, match=r"^Objective\.finish is now called fit_baseline"):
        assert model.objective_.finish(None, y["event"], y["time"]) is model.objective_


def test_a_class_that_defines_both_names_keeps_both():
    class Both:
        def old(self):
            return "old"

        def new(self):
            return "new"

    renamed_method(Both, "old", "new")
    assert (Both().old(), Both().new()) == ("old", "new")


def test_weigh_alike_has_become_private(data):
    with pytest.warns(FutureWarning, match=r"^presets\.weigh_alike is private from the next release on"):
        assert presets.weigh_alike is presets._weigh_alike
    with pytest.raises(AttributeError, match="has no attribute 'weigh_all'"):
        presets.weigh_all  # noqa: B018


def test_saved_models_that_name_weigh_alike(data, tmp_path, monkeypatch):
    X, y, _ = data
    model = make_pipeline(FunctionTransformer(presets._weigh_alike), CoxPHSurvivalAnalysis(alpha=1.0)).fit(X, y)
    with monkeypatch.context() as before:
        before.setattr(presets._weigh_alike, "__name__", "weigh_alike")
        before.setattr(presets._weigh_alike, "__qualname__", "weigh_alike")
        save_model(model, tmp_path / "old.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_model(tmp_path / "old.zip")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    save_model(loaded, tmp_path / "new.zip")
    assert load_model(tmp_path / "new.zip")[0].func is presets._weigh_alike


def test_what_is_positional_cannot_be_given_twice():
    @renamed_parameters(old="new")
    def function(new):
        return new

    with pytest.warns(FutureWarning, match="is now called new"), pytest.raises(TypeError, match="multiple values"):
        function(1, old=2)
