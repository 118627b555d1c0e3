"""Hospitals stay together: no group is on both sides of a fold, and folds are as balanced as groups allow."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.inspection import modality_importance
from sksurv_mmf.model_selection import (
    RepeatedSurvivalKFold,
    SurvivalKFold,
    compare_models,
    selection_leakage,
    tissue_source_site,
)

SPLITTERS = [
    SurvivalKFold(4),
    SurvivalKFold(4, shuffle=True, random_state=0),
    RepeatedSurvivalKFold(4, 3, random_state=0),
]


def make_cohort(seed, n_patients=200, n_groups=30, evenness=2):
    rng = np.random.default_rng(seed)
    patients = pd.Index([f"P{i:03}" for i in range(n_patients)])
    X = pd.DataFrame(rng.normal(size=(n_patients, 2)), index=patients, columns=["age", "grade"])
    event, time = rng.random(n_patients) < 0.4, rng.exponential(np.exp(-X["age"]))
    shares = rng.dirichlet(np.full(n_groups, evenness))
    sites = pd.Series(rng.choice([f"site {g:02}" for g in range(n_groups)], n_patients, p=shares), patients)
    return X, Surv.from_arrays(event, time), sites


def spread(counts):
    return max(counts) - min(counts)


def folds_by_name(cv, X, y, groups):
    return {frozenset(X.index[test]) for _, test in cv.split(X, y, groups)}


@pytest.mark.parametrize("cv", SPLITTERS, ids=repr)
def test_no_group_is_on_both_sides_and_everybody_is_tested(cv):
    X, y, sites = make_cohort(0)
    tested = np.zeros(len(X), dtype=int)
    for train, test in cv.split(X, y, sites):
        assert not set(sites.iloc[train]) & set(sites.iloc[test])
        assert sorted([*train, *test]) == list(range(len(X)))
        tested[test] += 1
    np.testing.assert_array_equal(tested, cv.get_n_splits() // 4)


@pytest.mark.parametrize("evenness", [1, 5])
@pytest.mark.parametrize("cv", SPLITTERS[:2], ids=repr)
def test_folds_of_random_groups_differ_by_no_more_than_the_largest_group(cv, evenness):
    time_spreads = []
    for seed in range(20):
        X, y, sites = make_cohort(seed, evenness=evenness)
        event, folds = y["event"], [test for _, test in cv.split(X, y, sites)]
        assert spread([len(test) for test in folds]) <= sites.value_counts().max()
        assert spread([event[test].sum() for test in folds]) <= sites[event].value_counts().max()
        late = event & (y["time"] > np.median(y["time"][event]))
        time_spreads.append(spread([late[test].sum() for test in folds]))
    assert np.mean(time_spreads) < 6  # of ten late events in each fold; groups in random folds differ by nine


def test_each_fold_has_an_event_if_there_are_as_many_groups_with_events():
    y = Surv.from_arrays(np.arange(40) % 10 == 0, np.arange(1, 41))
    # four groups with one event each, the first of them large, and a larger one without
    sites = np.repeat(["a", "b", "c", "d", "e"], 8)
    sites[[0, 10, 20, 30]] = ["a", "b", "c", "d"]
    for _, test in SurvivalKFold(4).split(y, y, sites):
        assert y["event"][test].sum() == 1


@pytest.mark.parametrize("cv", SPLITTERS, ids=repr)
def test_the_order_of_rows_does_not_matter(cv):
    X, y, sites = make_cohort(1)
    order = np.random.default_rng(0).permutation(len(X))
    expected = folds_by_name(cv, X, y, sites)
    assert folds_by_name(cv, X.iloc[order], y[order], sites.iloc[order]) == expected
    # a Series goes by its index, an array by position
    assert folds_by_name(cv, X.iloc[order], y[order], sites) == expected
    assert folds_by_name(cv, X.iloc[order], y[order], sites.to_numpy()[order]) == expected


def test_repetitions_differ_and_a_seed_repeats_them():
    X, y, sites = make_cohort(2)
    cv = RepeatedSurvivalKFold(4, 5, random_state=0)
    assert len(folds_by_name(cv, X, y, sites)) == 20
    assert folds_by_name(cv, X, y, sites) == folds_by_name(cv, X, y, sites)
    assert folds_by_name(cv, X, y, sites) != folds_by_name(RepeatedSurvivalKFold(4, 5, random_state=1), X, y, sites)


@pytest.mark.parametrize("cv", SPLITTERS, ids=repr)
def test_patients_alone_are_dealt_as_without_groups(cv):
    X, y, _ = make_cohort(3)
    for alone, expected in zip(cv.split(X, y, X.index[::-1]), cv.split(X, y), strict=True):
        np.testing.assert_array_equal(alone[1], expected[1])


def test_rows_of_one_patient_stay_together_in_a_frame_that_repeats_her():
    X, y, _ = make_cohort(4)
    rows = np.repeat(np.arange(len(X)), 2)
    X, y = X.iloc[rows], y[rows]
    for train, test in SurvivalKFold(4).split(X, y, X.index):
        assert not set(X.index[train]) & set(X.index[test])
        assert abs(len(test) - 100) <= 2


class TestWhatCannotBeSplit:
    def test_fewer_groups_than_folds(self):
        X, y, _ = make_cohort(0)
        with pytest.raises(
            ValueError, match=r"SurvivalKFold\(n_splits=4\) needs at least as many groups.* got 3: 0, 1"
        ):
            next(SurvivalKFold(4).split(X, y, np.arange(200) % 3))

    def test_fewer_groups_with_events_than_folds(self):
        y = Surv.from_arrays(np.arange(40) < 20, np.arange(1, 41))
        with pytest.raises(ValueError, match="only 4 of 8 groups have events"):
            next(SurvivalKFold(5).split(y, y, np.arange(40) // 5))

    @pytest.mark.parametrize(("n_splits", "n_events", "warns"), [(3, 55, True), (3, 45, False), (10, 25, True)])
    @pytest.mark.filterwarnings("always")
    def test_a_group_with_too_many_events_is_warned_of(self, recwarn, n_splits, n_events, warns):
        y = Surv.from_arrays(np.ones(100, dtype=bool), np.arange(1, 101))
        groups = np.where(np.arange(100) < n_events, 99, np.arange(100) % 20)
        next(SurvivalKFold(n_splits).split(y, y, groups))
        said = [str(one.message) for one in recwarn]
        assert len(said) == warns
        assert all(f"Group 99 has {n_events} of 100 events" in one for one in said)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda sites: sites.where(sites.index != "P007"), "Patient 'P007' has no group"),
            (lambda sites: sites.drop("P007"), "Patient 'P007' of X is not in groups"),
            (lambda sites: pd.concat([sites, sites[["P007"]]]), "Patient 'P007' comes several times in groups"),
            (lambda sites: sites.reset_index(drop=True), r"of X are not in groups, whose patients are 0, 1"),
            (lambda sites: sites.to_numpy()[:9], r"one entry for each of the 200 patients, but has shape \(9,\)"),
            (lambda sites: sites.to_frame(), r"has shape \(200, 1\)"),
            (lambda sites: "site", "'groups' parameter of compare_models must be"),
        ],
    )
    def test_groups_that_do_not_match(self, change, message):
        X, y, sites = make_cohort(0)
        with pytest.raises(ValueError, match=message):
            compare_models({"cox": CoxPHSurvivalAnalysis()}, X, y, groups=change(sites))


class SeenPatients(BaseEstimator):
    """Keeps whom it was trained on, and scores who of the tested has a site that it knows."""

    def __init__(self, sites, alpha=1):
        self.sites = sites
        self.alpha = alpha

    def fit(self, X, y):
        self.known_ = set(self.sites[X.index])
        return self

    def score(self, X, y):
        return self.sites[X.index].isin(self.known_).mean()


class TestInSearchesAndComparisons:
    def test_scikit_learn_passes_groups(self):
        X, y, sites = make_cohort(0)
        model, cv = SeenPatients(sites), SurvivalKFold(4)
        assert cross_val_score(model, X, y, cv=cv).min() > 0.5
        np.testing.assert_array_equal(cross_val_score(model, X, y, cv=cv, groups=sites), 0)
        np.testing.assert_array_equal(cross_val_score(model, X, y, cv=cv, groups=sites.sample(frac=1)), 0)
        search = GridSearchCV(model, {"alpha": [1, 2]}, cv=cv).fit(X, y, groups=sites)
        np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 0)

    def test_groups_are_routed_where_scikit_learn_routes(self):
        X, y, sites = make_cohort(0)
        with config_context(enable_metadata_routing=True):
            scores = cross_validate(SeenPatients(sites), X, y, cv=SurvivalKFold(4), params={"groups": sites})
        np.testing.assert_array_equal(scores["test_score"], 0)

    def test_models_are_compared_on_folds_of_groups(self):
        X, y, sites = make_cohort(0)
        cox = {"cox": CoxPHSurvivalAnalysis()}
        comparison = compare_models(cox, X, y, SurvivalKFold(4), groups=sites.sample(frac=1), scoring="harrell")
        expected = cross_val_score(CoxPHSurvivalAnalysis(), X, y, cv=SurvivalKFold(4), groups=sites)
        np.testing.assert_allclose(comparison.scores["value"], expected)
        for train, test in comparison.folds:
            assert not set(sites.iloc[train]) & set(sites.iloc[test])

    def test_any_splitter_of_groups_will_do_and_others_are_refused(self):
        X, y, sites = make_cohort(0)
        compare = [{"cox": CoxPHSurvivalAnalysis()}, X, y]
        comparison = compare_models(*compare, GroupKFold(3), groups=sites, scoring="harrell")
        assert comparison.scores["value"].notna().sum() == 3
        plain = list(KFold(3).split(X))
        with pytest.raises(ValueError, match=r"Fold 0 of cv trains and tests on the same groups: 'site 0"):
            compare_models(*compare, plain, groups=sites)


class TestTissueSourceSite:
    def test_it_is_the_second_part_of_a_barcode(self):
        names = ["TCGA-05-4244", "tcga-a2-a0cm-01Z-00-DX1", "TCGA-44-2655-01A"]
        assert tissue_source_site(names).to_dict() == dict(zip(names, ["05", "A2", "44"]))

    @pytest.mark.parametrize("stranger", ["P-01", "TCGA-5-4244", "xTCGA-05-4244", 7, None])
    def test_strangers_are_named(self, stranger):
        with pytest.raises(ValueError, match=rf"Patient {stranger!r} has no barcode of TCGA"):
            tissue_source_site(["TCGA-05-4244", stranger])

    def test_it_makes_the_groups_of_a_comparison(self):
        X, y, _ = make_cohort(0)
        X.index = [f"TCGA-{i % 17:02}-{i:04}" for i in range(len(X))]
        comparison = compare_models(
            {"cox": CoxPHSurvivalAnalysis()}, X, y, 4, groups=tissue_source_site, scoring="harrell"
        )
        for train, test in comparison.folds:
            assert not set(X.index[train].str[5:7]) & set(X.index[test].str[5:7])


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_a_leak_and_an_importance_are_measured_over_the_same_groups():
    X, y, sites = make_cohort(3, n_patients=80, n_groups=8)
    X = X.add_prefix("clinical__")
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), CoxPHSurvivalAnalysis(alpha=1.0))
    leak = selection_leakage(model, X, y, 3, groups=sites)
    for train, test in leak.folds:
        assert not set(sites.iloc[train]) & set(sites.iloc[test])
    with pytest.raises(ValueError, match="trains and tests on the same groups"):
        selection_leakage(model, X, y, KFold(3), groups=sites)
    by_group = modality_importance(model, X, y, cv=3, groups=sites, n_repeats=1, random_state=0)
    alone = modality_importance(model, X, y, cv=3, n_repeats=1, random_state=0)
    assert not np.allclose(by_group.folds["drop"], alone.folds["drop"])
    with pytest.raises(ValueError, match="groups have no effect"):
        modality_importance(model.fit(X, y), X, y, cv="prefit", groups=sites)
