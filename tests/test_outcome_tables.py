"""An outcome in a table goes with its patients, wherever y is taken."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, join_modalities
from sksurv_mmf.datasets import write_survival_splits
from sksurv_mmf.inspection import (
    CalibrationDisplay,
    RiskGroupDisplay,
    feature_importance,
    fusion_audit,
    modality_importance,
)
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold, compare_models, selection_leakage
from sksurv_mmf.preprocessing import BagTransformer, CoxElasticNetSelector, make_modality_transformer

mpl.use("Agg")


@pytest.fixture
def cohort(make_cohort):
    return make_cohort(n_patients=45)


@pytest.fixture
def X(cohort):
    return cohort.X


@pytest.fixture
def rna(X):
    return X.filter(like="rna__")


@pytest.fixture
def y(cohort):
    return cohort.y


@pytest.fixture
def table(X, y):
    """In the order of X, as cross-validation needs it."""
    return pd.DataFrame({"os": y["event"], "os_time": y["time"]}, X.index)


@pytest.fixture
def shuffled(table):
    return table.sample(frac=1, random_state=0)[["os_time", "os"]]


def network(**params):
    return FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=0, **params)


def late():
    return LateFusionSurvivalAnalysis([("rna", make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1)))], cv=3)


def selector():
    return CoxElasticNetSelector(min_features=1, cv=3, n_alphas=20, random_state=0)


def pipeline():
    prepare = make_modality_transformer(
        wsi=BagTransformer(StandardScaler()), rna=make_pipeline(StandardScaler(), selector())
    )
    return Pipeline([("prepare", prepare), ("fuse", network())])


class TestEstimators:
    @pytest.mark.parametrize("make", [network, pipeline])
    def test_networks(self, make, X, y, shuffled):
        expected, model = make().fit(X, y), make().fit(X, shuffled)
        assert_array_equal(model.predict(X), expected.predict(X))
        assert model.score(X, shuffled) == expected.score(X, y)

    def test_late_fusion(self, rna, y, shuffled):
        expected, model = late().fit(rna, y), late().fit(rna, shuffled)
        assert_array_equal(model.predict(rna), expected.predict(rna))
        assert model.score(rna, shuffled) == expected.score(rna, y)

    def test_selectors(self, rna, y, shuffled):
        assert_array_equal(selector().fit(rna, shuffled).coef_, selector().fit(rna, y).coef_)
        assert_array_equal(
            selector().set_params(cv=SurvivalKFold(3)).fit(rna, shuffled).coef_,
            selector().set_params(cv=SurvivalKFold(3)).fit(rna, y).coef_,
        )

    def test_rows_without_names_keep_their_outcome(self, rna, table):
        """PresentPatients hands arrays on, so it must have matched the patients before."""
        some = rna.copy()
        some.iloc[::5] = np.nan
        transformer = make_modality_transformer(rna=make_pipeline(StandardScaler(), selector()))
        expected = transformer.fit(some, table).get_feature_names_out()
        assert_array_equal(transformer.fit(some, table.iloc[::-1]).get_feature_names_out(), expected)

    def test_an_outer_join_has_another_order_than_the_outcome(self, X, table):
        tables = {"b": X.filter(like="rna__G0").iloc[20:], "a": X.filter(like="rna__G1").iloc[:40]}
        X, y = join_modalities(tables, "outer", outcome=table)
        assert X.index.tolist() != table.index.tolist()
        assert_array_equal(network().fit(X, table).predict(X), network().fit(X, y).predict(X))


class TestSplitting:
    @pytest.mark.parametrize("cv", [3, KFold(3, shuffle=True, random_state=0), SurvivalKFold(3)])
    def test_cross_validation(self, cv, X, y, table):
        assert_array_equal(cross_val_score(network(), X, table, cv=cv), cross_val_score(network(), X, y, cv=cv))
        risk = cross_val_predict(network(), X, table, cv=cv)
        assert_array_equal(risk, cross_val_predict(network(), X, y, cv=cv))

    def test_search(self, X, y, table):
        search = GridSearchCV(pipeline(), {"fuse__lr": [1e-3, 1e-2]}, cv=SurvivalKFold(3))
        expected = search.fit(X, y).cv_results_["mean_test_score"]
        assert_array_equal(search.fit(X, table).cv_results_["mean_test_score"], expected)

    @pytest.mark.parametrize("cv", [3, SurvivalKFold(3), RepeatedSurvivalKFold(3, 2)])
    def test_another_order_is_refused_because_rows_are_cut_by_position(self, cv, X, shuffled):
        with pytest.raises(ValueError, match=r"Pass y\.loc\[X\.index\]|bring y into the order of X"):
            cross_val_score(network(), X, shuffled, cv=cv, error_score="raise")

    def test_arrays(self, rna, table, y):
        numbered = table.reset_index(drop=True)
        scores = cross_val_score(network(), rna.to_numpy(), numbered, cv=3)
        assert_array_equal(scores, cross_val_score(network(), rna.to_numpy(), y, cv=3))

    def test_files_of_folds(self, X, table, shuffled, tmp_path):
        write_survival_splits(SurvivalKFold(3), X, table, tmp_path / "a")
        with pytest.raises(ValueError, match=r"y\.loc\[X\.index\]"):
            write_survival_splits(SurvivalKFold(3), X, shuffled, tmp_path / "b")


class TestComparisons:
    def test_compare_models(self, rna, y, shuffled):
        models = {"cox": make_pipeline(StandardScaler(), CoxPHSurvivalAnalysis(alpha=1)), "late": late()}
        comparison = compare_models(models, rna, shuffled, cv=3)
        assert_array_equal(comparison.y.tolist(), y.tolist())
        pd.testing.assert_frame_equal(comparison.summary(), compare_models(models, rna, y, cv=3).summary())
        audit = fusion_audit(comparison, "late", random_state=0, n_bootstrap=20)
        comparison.y = shuffled
        again = fusion_audit(comparison, "late", random_state=0, n_bootstrap=20)
        pd.testing.assert_frame_equal(again.c_index, audit.c_index)

    def test_selection_leakage(self, rna, y, shuffled):
        model = make_pipeline(selector(), CoxPHSurvivalAnalysis(alpha=1))
        pd.testing.assert_frame_equal(
            selection_leakage(model, rna, shuffled, 3).summary(), selection_leakage(model, rna, y, 3).summary()
        )


class TestInspection:
    def test_importance(self, X, y, shuffled):
        settings = {"cv": SurvivalKFold(2), "random_state": 0}
        pd.testing.assert_frame_equal(
            modality_importance(network(), X, shuffled, **settings).table,
            modality_importance(network(), X, y, **settings).table,
        )
        pd.testing.assert_frame_equal(
            feature_importance(network(), X, shuffled, cv=SurvivalKFold(2)).table,
            feature_importance(network(), X, y, cv=SurvivalKFold(2)).table,
        )

    def test_displays(self, X, y, table, shuffled):
        model = network().fit(X, y)
        risk = pd.Series(model.predict(X), X.index)
        expected = RiskGroupDisplay.from_estimator(model, X, y).p_value
        assert RiskGroupDisplay.from_estimator(model, X, shuffled).p_value == expected
        assert RiskGroupDisplay.from_predictions(shuffled, risk).p_value == expected
        assert RiskGroupDisplay.from_predictions(table, risk.to_numpy()).p_value == expected
        settings = {"time": float(np.median(y["time"])), "n_groups": 2}
        expected = CalibrationDisplay.from_estimator(model, X, y, **settings).table
        pd.testing.assert_frame_equal(CalibrationDisplay.from_estimator(model, X, shuffled, **settings).table, expected)


class TestUnusable:
    """What one function refuses, all refuse."""

    @pytest.fixture
    def users(self, X, rna, y):
        model = network().fit(X, y)
        return {
            "fit": lambda y: network().fit(X, y),
            "score": lambda y: model.score(X, y),
            "late fusion": lambda y: late().fit(rna, y),
            "selector": lambda y: selector().fit(rna, y),
            "folds": lambda y: list(SurvivalKFold(3).split(X, y)),
            "comparison": lambda y: compare_models({"network": network()}, X, y, cv=3),
            "leakage": lambda y: selection_leakage(make_pipeline(selector(), late()), rna, y, cv=3),
            "importance": lambda y: modality_importance(model, X, y, cv="prefit"),
            "risk groups": lambda y: RiskGroupDisplay.from_estimator(model, X, y),
            "calibration": lambda y: CalibrationDisplay.from_estimator(model, X, y, time=1.0),
        }

    def refused(self, users, y, message):
        for use in users.values():
            with pytest.raises(ValueError, match=message):
                use(y)

    def test_a_column_vector(self, users, y):
        self.refused(users, y[:, np.newaxis], r"has shape \(45, 1\)\. Pass y\.ravel\(\)")

    def test_masked_entries(self, users, y):
        masked = np.ma.array(y)
        masked[[3, 7]] = np.ma.masked
        self.refused(users, masked, r"Patients ('P003', 'P007'|3, 7) have no event or no time \(masked\)")

    def test_missing_patients(self, users, table):
        self.refused(users, table.rename({"P005": "P999"}), "Patient 'P005' of X is not in y")

    def test_missing_values(self, users, table):
        table.loc["P005", "os_time"] = np.nan
        self.refused(users, table, r"Patient '?P?00?5'? has no event or no time \(NaN\)")

    def test_other_codes(self, users, table):
        self.refused(users, table.assign(os=table["os"] + 1), r"as in R, pass y\['os'\]\.map\(\{")

    def test_another_kind_of_number(self, users, y):
        complex_times = y.astype([("event", bool), ("time", complex)])
        self.refused(users, complex_times, "dtype complex128")


class TestTheOutcomeAmongTheColumns:
    @pytest.mark.parametrize(
        ("column", "what"),
        [(lambda y: y["time"] / 30.4, "time"), (lambda y: -y["time"], "time"), (lambda y: y["event"], "event")],
    )
    def test_all_that_learn_warn(self, X, rna, y, column, what):
        X, rna = (table.assign(rna__OS=column(y).astype(float)) for table in (X, rna))
        model = make_pipeline(selector(), CoxPHSurvivalAnalysis(alpha=1))
        users = [
            lambda: network().fit(X, y),
            lambda: late().fit(rna, y),
            lambda: selector().fit(rna, y),
            lambda: compare_models({"cox": CoxPHSurvivalAnalysis(alpha=1)}, rna, y, cv=2),
            lambda: selection_leakage(model, rna, y, cv=2),
        ]
        for use in users:
            with pytest.warns(UserWarning, match=rf"1 of \d columns .* the {what} in y without exception.*'rna__OS'"):
                use()

    def test_scaling_hides_nothing(self, rna, y):
        model = make_pipeline(StandardScaler(), network()).set_output(transform="pandas")
        with pytest.warns(UserWarning, match="the time in y without exception.*'rna__OS'"):
            model.fit(rna.assign(rna__OS=y["time"]), y)
