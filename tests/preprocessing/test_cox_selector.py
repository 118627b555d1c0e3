"""The path, the deviance curve and the genes of cv.glmnet, and what the selector does with imperfect input."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.util import Surv

from sksurv_mmf.preprocessing import CoxElasticNetSelector, _cox_path, make_modality_transformer
from sksurv_mmf.preprocessing._cox_path import cox_partial_deviance, cox_path, interpolate_path
from sksurv_mmf.preprocessing._cox_selector import _stratified_folds

COHORTS = pytest.mark.parametrize("cohort", ["gse7390", "ties"])
VARIANTS = {
    "default": {},
    "tight": {"n_alphas": 50, "alpha_min_ratio": 0.05, "tol": 1e-10},
}
PATH = {"l1_ratio": 0.5, "n_alphas": 100, "alpha_min_ratio": "auto", "standardize": True, "tol": 1e-7}


@pytest.fixture
def glmnet(reference, monkeypatch):
    """Patients and folds of a cohort, and what glmnet made of it."""
    monkeypatch.setattr(_cox_path, "_MAX_ITER", 1_000_000)  # more than glmnet's, which 1e-10 exceeds in some folds

    def load(cohort, variant="default"):
        arrays = reference(f"glmnet_{cohort}")
        folds = [(np.flatnonzero(arrays["foldid"] != k), np.flatnonzero(arrays["foldid"] == k)) for k in range(1, 11)]
        prefix = f"R_glmnet/{variant}/"
        results = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        return arrays["X"], arrays["event"], arrays["time"], folds, results

    return load


def simulate(n_patients=80, n_genes=12, effect=2.0, seed=0):
    """Patients whose hazard rises with genes 0 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_patients, n_genes))
    time = rng.exponential(np.exp(-effect * (X[:, 0] + X[:, 1])))
    censored_at = rng.exponential(2 * np.quantile(time, 0.7), n_patients)
    return X, Surv.from_arrays(time <= censored_at, np.minimum(time, censored_at))


def selector(**parameters):
    return CoxElasticNetSelector(**({"cv": 4, "n_alphas": 20, "random_state": 0} | parameters))


def naive_deviance(eta, event, time):
    """The definition: every event against everybody still at risk, one by one."""
    log_likelihood = sum(eta[i] - np.logaddexp.reduce(eta[time >= time[i]]) for i in np.flatnonzero(event))
    saturated = -sum(d * np.log(d) for d in np.unique(time[event], return_counts=True)[1])
    return 2 * (saturated - log_likelihood)


class TestDeviance:
    @pytest.mark.parametrize("n_times", [3, 10, 10_000])
    @pytest.mark.parametrize("scale", [0.0, 1.0, 500.0])
    def test_equals_the_definition(self, n_times, scale):
        rng = np.random.default_rng(0)
        time, event = rng.integers(1, n_times + 1, 60).astype(float), rng.random(60) < 0.6
        eta = scale * rng.uniform(-1, 1, (60, 3))
        deviance = cox_partial_deviance(eta, event, time)
        np.testing.assert_allclose(deviance, [naive_deviance(one, event, time) for one in eta.T], rtol=1e-12)

    def test_is_zero_for_the_saturated_model(self):
        eta, time = np.array([800.0, 800.0, 0.0, -800.0]), np.array([1.0, 1.0, 2.0, 3.0])
        deviance = cox_partial_deviance(eta, np.array([True, True, True, False]), time)
        assert deviance == pytest.approx(0, abs=1e-11)

    def test_is_blind_to_a_shift_of_all_patients(self):
        X, y = simulate()
        shifted = cox_partial_deviance(X[:, 0] + 300, y["event"], y["time"])
        assert shifted == pytest.approx(cox_partial_deviance(X[:, 0], y["event"], y["time"]), rel=1e-12)

    @COHORTS
    def test_equals_glmnet(self, glmnet, cohort):
        X, event, time, _, R = glmnet(cohort)
        deviance = cox_partial_deviance(X @ R["coef_path"], event, time)
        assert deviance[0] == pytest.approx(R["nulldev"], rel=1e-13)
        np.testing.assert_allclose(1 - deviance / deviance[0], R["dev_ratio"], rtol=0, atol=1e-13)


class TestPath:
    @COHORTS
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_equals_glmnet(self, glmnet, cohort, variant):
        X, event, time, _, R = glmnet(cohort, variant)
        alphas, coef = cox_path(X, event, time, **(PATH | VARIANTS[variant]))
        np.testing.assert_allclose(alphas, R["lambda"], rtol=1e-7)  # same length: both end early at the same penalty
        np.testing.assert_allclose(coef, R["coef_path"], rtol=0, atol=1e-7 * abs(coef).max())
        np.testing.assert_array_equal(np.count_nonzero(coef, axis=0), R["nzero"])

    @COHORTS
    def test_without_standardising_equals_glmnet(self, glmnet, cohort):
        X, event, time, _, R = glmnet(cohort, "tight")
        alphas, coef = cox_path(X, event, time, **(PATH | VARIANTS["tight"] | {"standardize": False}))
        np.testing.assert_allclose(alphas, R["nostd_lambda"], rtol=1e-7)
        np.testing.assert_allclose(coef, R["nostd_coef_path"], rtol=0, atol=1e-6 * abs(coef).max())

    @pytest.mark.parametrize("n_alphas", [12, 40])
    def test_few_distinct_times_do_not_end_it(self, n_alphas):
        """The solver alone gives up after six penalties here; the optimum is checked by its definition."""
        X, y = simulate(n_genes=6)
        event, time = y["event"], np.digitize(y["time"], np.quantile(y["time"], [0.3, 0.6])) + 1.0
        alphas, coef = cox_path(
            X, event, time, **(PATH | {"n_alphas": n_alphas, "tol": 1e-12, "alpha_min_ratio": 0.05})
        )
        assert len(alphas) > 6
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        step = 1e-5
        for alpha, beta in zip(alphas, (coef * X.std(axis=0)[:, np.newaxis]).T):
            around = Z @ (beta[:, np.newaxis] + np.hstack([step * np.eye(6), -step * np.eye(6)]))
            deviance = cox_partial_deviance(around, event, time)
            gradient = (deviance[6:] - deviance[:6]) / (4 * step * len(Z)) - 0.5 * alpha * beta
            active = beta != 0
            np.testing.assert_allclose(gradient[active], 0.5 * alpha * np.sign(beta[active]), atol=1e-4 * alpha)
            assert (abs(gradient[~active]) <= 0.5 * alpha * (1 + 1e-4)).all()

    def test_interpolation_is_exact_at_its_nodes(self):
        rng = np.random.default_rng(0)
        alphas, values = np.sort(rng.random(9))[::-1], rng.normal(size=(4, 9))
        np.testing.assert_allclose(interpolate_path(alphas, values, alphas), values, rtol=1e-12)


class TestAgainstCvGlmnet:
    @COHORTS
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_curve_and_genes(self, glmnet, cohort, variant):
        X, event, time, folds, R = glmnet(cohort, variant)
        model = CoxElasticNetSelector(cv=folds, **VARIANTS[variant]).fit(X, Surv.from_arrays(event, time))
        np.testing.assert_allclose(model.deviance_mean_, R["cvm"], rtol=1e-6)
        np.testing.assert_allclose(model.deviance_std_, R["cvsd"], rtol=1e-6)
        np.testing.assert_array_equal(model.n_nonzero_, R["nzero"])
        assert model.alpha_ == model.alpha_min_ == pytest.approx(R["lambda_min"], rel=1e-7)
        assert model.alpha_1se_ == pytest.approx(R["lambda_1se"], rel=1e-7)
        np.testing.assert_array_equal(model.get_support(indices=True), R["selected_min"])

    def test_one_standard_error_rule(self, glmnet):
        X, event, time, folds, R = glmnet("ties")
        model = CoxElasticNetSelector(cv=folds, rule="1se").fit(X, Surv.from_arrays(event, time))
        np.testing.assert_array_equal(model.get_support(indices=True), R["selected_1se"])

    def test_one_standard_error_rule_may_want_no_gene(self, glmnet):
        X, event, time, folds, R = glmnet("gse7390")
        assert len(R["selected_1se"]) == 0
        y = Surv.from_arrays(event, time)
        message = r"from 198 patients with 51 events: rule='1se' prefers .* rule='min' would select \d+"
        with pytest.raises(ValueError, match=message):
            CoxElasticNetSelector(cv=folds, n_alphas=30, alpha_min_ratio=0.1, rule="1se").fit(X, y)
        parameters = {"n_alphas": 30, "alpha_min_ratio": 0.1, "rule": "1se", "min_features": 1}
        model = CoxElasticNetSelector(cv=folds, **parameters).fit(X, y)
        assert model.alpha_ == model.alphas_[model.n_nonzero_ > 0][0]


class TestSelection:
    def test_finds_the_genes_that_matter(self):
        X, y = simulate()
        assert list(selector(rule="1se", max_features=2).fit(X, y).get_support(indices=True)) == [0, 1]

    def test_limits_move_the_choice_to_the_best_penalty_within(self):
        X, y = simulate(effect=0.5)
        free = selector(min_features=1).fit(X, y)
        assert free.get_support().sum() > 2
        for limits in ({"min_features": 1, "max_features": 2}, {"min_features": 9}):
            model = selector(**limits).fit(X, y)
            allowed = (model.n_nonzero_ >= limits["min_features"]) & (
                model.n_nonzero_ <= limits.get("max_features", 12)
            )
            best = free.deviance_mean_[allowed].min()
            assert model.deviance_mean_[model.alphas_ == model.alpha_] == best > free.deviance_mean_.min()
            assert model.get_support().sum() == model.n_nonzero_[model.alphas_ == model.alpha_]

    def test_ignores_units_order_of_patients_and_clock(self):
        X, y = simulate(effect=0.7)
        foldid = np.arange(80) % 5
        order = np.random.default_rng(1).permutation(80)

        def fit(X, y, foldid):
            cv = [(np.flatnonzero(foldid != k), np.flatnonzero(foldid == k)) for k in range(5)]
            model = selector(cv=cv, tol=1e-10).fit(X, y)
            return model.get_support(), model.deviance_mean_

        support, curve = fit(X, y, foldid)
        for other in (
            (X * np.geomspace(1e-3, 1e3, 12) + 5, y, foldid),
            (X[order], y[order], foldid[order]),
            (X, Surv.from_arrays(y["event"], np.log1p(y["time"])), foldid),
        ):
            other_support, other_curve = fit(*other)
            np.testing.assert_array_equal(other_support, support)
            np.testing.assert_allclose(other_curve, curve, rtol=1e-6)

    def test_unit_matters_if_not_standardised(self):
        X, y = simulate()
        X[:, 0] *= 1e-3
        assert not selector(standardize=False).fit(X, y).get_support()[0]
        assert selector().fit(X, y).get_support()[0]

    @pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
    @pytest.mark.parametrize("standardize", [True, False])
    def test_genes_without_variance_change_nothing(self, l1_ratio, standardize):
        X, y = simulate()
        constant = np.column_stack([X, np.full(80, 0.1), np.zeros(80)])
        parameters = {"l1_ratio": l1_ratio, "standardize": standardize, "n_alphas": 5, "alpha_min_ratio": 0.01}
        plain, model = selector(**parameters).fit(X, y), selector(**parameters).fit(constant, y)
        assert not model.get_support()[12:].any()
        np.testing.assert_allclose(model.coef_[:12], plain.coef_, rtol=1e-10)
        np.testing.assert_allclose(model.deviance_mean_, plain.deviance_mean_, rtol=1e-10)

    def test_gene_that_varies_in_one_patient_only(self):
        """It is constant in the fold that leaves this patient out."""
        X, y = simulate()
        X[:, 3] = 0
        X[7, 3] = 1
        assert np.isfinite(selector().fit(X, y).deviance_mean_).all()

    def test_same_seed_same_folds(self):
        X, y = simulate()
        curve = selector().fit(X, y).deviance_mean_
        np.testing.assert_array_equal(selector().fit(X, y).deviance_mean_, curve)
        assert (selector(random_state=1).fit(X, y).deviance_mean_ != curve).any()

    def test_folds_share_out_events(self):
        event = np.random.default_rng(0).random(103) < 0.3
        folds = _stratified_folds(event, 5, np.random.RandomState(0))
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(103))
        assert np.ptp([event[test].sum() for _, test in folds]) <= 1
        assert np.ptp([len(test) for _, test in folds]) <= 1
        assert all(len(np.intersect1d(train, test)) == 0 for train, test in folds)

    def test_splitter_gives_what_its_splits_give(self):
        X, y = simulate()
        splitter = KFold(3)
        np.testing.assert_array_equal(
            selector(cv=splitter).fit(X, y).deviance_mean_,
            selector(cv=list(splitter.split(X))).fit(X, y).deviance_mean_,
        )

    def test_processes_change_nothing(self):
        X, y = simulate()
        one, two = selector().fit(X, y), selector(n_jobs=2).fit(X, y)
        np.testing.assert_array_equal(one.coef_, two.coef_)
        np.testing.assert_array_equal(one.deviance_mean_, two.deviance_mean_)

    def test_unfinished_paths_are_reported(self, monkeypatch):
        monkeypatch.setattr(_cox_path, "_MAX_ITER", 5)
        X, y = simulate()
        with pytest.warns(ConvergenceWarning, match="5 of 5 paths did not converge at tol=1e-07. Raise tol"):
            selector().fit(X, y)


class TestPatientsWithoutGenes:
    @pytest.fixture
    def gaps(self):
        """A frame in which every seventh patient lacks the genes."""
        X, y = simulate()
        frame = pd.DataFrame(X, [f"P{i}" for i in range(80)], [f"rna__G{i}" for i in range(12)])
        absent = np.arange(80) % 7 == 0
        frame.loc[absent] = np.nan
        return frame, y, absent

    def test_take_no_part_in_the_fit(self, gaps):
        X, y, absent = gaps
        np.testing.assert_array_equal(selector().fit(X, y).coef_, selector().fit(X[~absent], y[~absent]).coef_)

    def test_row_numbers_of_given_folds_count_them(self, gaps):
        X, y, absent = gaps
        folds = list(KFold(3).split(X))
        number = np.cumsum(~absent) - 1
        without = [tuple(number[part[~absent[part]]] for part in fold) for fold in folds]
        np.testing.assert_array_equal(
            selector(cv=folds).fit(X, y).deviance_mean_,
            selector(cv=without).fit(X[~absent], y[~absent]).deviance_mean_,
        )

    def test_stay_missing(self, gaps):
        X, y, absent = gaps
        model = selector().set_output(transform="pandas").fit(X, y)
        pd.testing.assert_frame_equal(model.transform(X), X.loc[:, model.get_support()])
        restored = model.inverse_transform(model.transform(X))
        np.testing.assert_array_equal(np.isnan(restored).all(axis=1), absent)
        np.testing.assert_array_equal(restored[~absent], np.where(model.get_support(), X[~absent], 0))

    def test_one_modality_of_a_cohort(self, gaps):
        X, y, _ = gaps
        cohort = X.assign(clinical__age=50.0)
        prepare = make_modality_transformer(rna=make_pipeline(StandardScaler(), selector()))
        prepared = prepare.fit_transform(cohort, y)
        assert list(prepared.columns[:2]) == ["rna__G0", "rna__G1"]
        assert prepared.columns[-1] == "clinical__age"
        assert prepared.index.equals(X.index)

    def test_gaps_are_refused_by_name(self, gaps):
        X, y, _ = gaps
        model = selector().fit(X, y)
        X.iloc[3, 4:6] = np.nan
        message = r"patient 'P3' lacks 2 of 12 genes \('rna__G4', 'rna__G5'\)\. Impute them"
        for function in (lambda: selector().fit(X, y), lambda: model.transform(X)):
            with pytest.raises(ValueError, match=message):
                function()

    def test_infinite_values_are_refused_by_name(self, gaps):
        X, y, _ = gaps
        model = selector().fit(X, y)
        X.iloc[3, 4] = -np.inf
        for function in (lambda: selector().fit(X, y), lambda: model.transform(X)):
            with pytest.raises(ValueError, match="patient 'P3' has -inf for gene 'rna__G4'"):
                function()

    def test_nobody_has_genes(self, gaps):
        X, y, _ = gaps
        with pytest.raises(ValueError, match="at least 2 patients; 0 of 80 has any"):
            selector().fit(X * np.nan, y)

    def test_nobody_who_has_genes_has_an_event(self, gaps):
        X, y, _ = gaps
        X[y["event"]] = np.nan
        with pytest.raises(ValueError, match="No patient who has the genes has an event"):
            selector().fit(X, y)


class TestAsTransformer:
    def test_names_pickle_clone_and_pipeline(self):
        X, y = simulate()
        frame = pd.DataFrame(X, columns=[f"G{i}" for i in range(12)])
        model = selector(rule="1se", max_features=2).fit(frame, y)
        assert list(model.get_feature_names_out()) == ["G0", "G1"]
        copied = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(copied.transform(frame), X[:, :2])
        np.testing.assert_array_equal(clone(model).fit_transform(frame, y), X[:, :2])
        scaled = make_pipeline(StandardScaler(), clone(model)).fit_transform(X, y)
        np.testing.assert_allclose(scaled, StandardScaler().fit_transform(X[:, :2]))

    def test_single_precision_is_kept(self):
        X, y = simulate()
        model = selector().fit(X.astype(np.float32), y)
        assert model.transform(X.astype(np.float32)).dtype == np.float32
        np.testing.assert_allclose(model.coef_, selector().fit(X, y).coef_, rtol=1e-4, atol=1e-6)

    def test_fit_leaves_its_input_alone(self):
        X, y = simulate()
        before = X.copy()
        selector().fit(X, y)
        np.testing.assert_array_equal(X, before)


class TestRefusals:
    def check(self, message, X=None, y=None, **parameters):
        default_X, default_y = simulate()
        with pytest.raises(ValueError, match=message):
            selector(**parameters).fit(default_X if X is None else X, default_y if y is None else y)

    def test_y_is_required(self):
        with pytest.raises(ValueError, match=r"requires y to be passed.* sksurv\.util\.Surv"):
            selector().fit(simulate()[0], None)

    def test_no_gene_varies(self):
        self.check("All 12 genes are constant", X=np.ones((80, 12)))

    def test_genes_without_signal(self):
        self.check(
            "No gene was selected from 80 patients.*min_features=1", X=np.random.default_rng(3).normal(size=(80, 5))
        )

    def test_everybody_at_risk_has_the_event(self):
        y = Surv.from_arrays(np.ones(80, dtype=bool), np.ones(80))
        self.check("at each event time, all patients still at risk have the event. Check the times in y", y=y)

    def test_fewer_events_than_folds(self):
        _, y = simulate()
        y["event"] = np.arange(80) < 3
        self.check("cv=4 folds need 4 events.* there are 3. Set cv=3 or less", y=y)
        y["event"] = np.arange(80) < 1
        self.check("there are 1. Genes cannot be selected by cross-validation", y=y)

    def test_fold_without_events(self):
        _, y = simulate()
        y["event"] = np.arange(80) < 40
        self.check("Fold 0 of cv has no event among its 40 training patients. Use fewer folds", y=y, cv=KFold(2))
        self.check("Fold 2 of cv has no event among its 20 left-out patients. Use fewer folds", y=y, cv=KFold(4))

    def test_fold_that_cannot_be_fitted_is_named(self):
        X, _ = simulate()
        X[:40] = 0
        self.check("Fold 1 of cv cannot be fitted: All 12 genes are constant", X=X, cv=KFold(2))

    def test_folds_that_make_no_sense(self):
        self.check("Fold 0 of cv leaves out patients that it also trains on", cv=[(range(60), range(50, 80))] * 2)
        self.check(
            "Fold 1 of cv must hold row numbers of X between 0 and 79", cv=[(range(60), range(60, 80)), ([80], [0])]
        )
        self.check("Fold 0 of cv must hold row numbers", cv=[(np.ones(80, dtype=bool), [0])])
        self.check(r"cv gave 1 split\(s\), at least 2", cv=[(range(60), range(60, 80))])
        self.check(r"cv gave 0 split\(s\).*A generator", cv=iter([]))

    def test_limits_that_no_penalty_meets(self):
        self.check("between min_features=13 and max_features=None genes.*Widen", min_features=13)
        self.check("between min_features=3 and max_features=2", min_features=3, max_features=2)
        self.check("more than max_features=1; raise max_features", max_features=1, n_alphas=2, alpha_min_ratio=1e-3)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("l1_ratio", 0.0),
            ("l1_ratio", 1.5),
            ("n_alphas", 1),
            ("alpha_min_ratio", 1.0),
            ("alpha_min_ratio", "small"),
            ("cv", 1),
            ("cv", None),
            ("rule", "best"),
            ("min_features", -1),
            ("max_features", 0),
            ("standardize", "yes"),
            ("tol", 0),
            ("n_jobs", 1.5),
        ],
    )
    def test_parameters(self, name, value):
        self.check(f"The '{name}' parameter of CoxElasticNetSelector must be", **{name: value})


def test_adrenocortical_cancer():
    """79 patients, 2,000 genes: the tail of a real cohort of many more genes than patients."""
    folder = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tcga_acc"
    if not folder.is_dir():
        pytest.skip(f"needs the TCGA-ACC cohort in {folder}")
    X = pd.read_parquet(folder / "rnaseq.parquet")
    clinical = pd.read_csv(folder / "clinical.csv", index_col="patient").loc[X.index]
    y = Surv.from_arrays(clinical["os"] == 1, clinical["os_time"])
    X = X.loc[:, X.var().nlargest(2000).index]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = CoxElasticNetSelector(cv=3, random_state=0).set_output(transform="pandas").fit(X, y)
    selected = model.transform(X)
    assert 1 <= selected.shape[1] <= len(X)
    assert selected.columns.isin(X.columns).all()
    at_min = model.alphas_ == model.alpha_
    assert model.deviance_mean_[at_min] < model.deviance_mean_[0]
