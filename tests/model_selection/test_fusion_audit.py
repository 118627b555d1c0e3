import numpy as np
import pandas as pd
import pytest
from pairs import comparable, higher, ratio_of_sums
from scipy.stats import rankdata
from sklearn.utils import Bunch
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from sksurv_mmf.inspection import fusion_audit
from sksurv_mmf.statistics._paired_tests import (
    corrected_resampled_t_test,
    mean_interval,
    paired_bootstrap,
    percentile_interval,
)


@pytest.fixture
def make_comparison():
    """Out-of-fold risks of models whose noise is known; the less noise, the better."""

    def make(noise, n_patients=120, n_folds=4, repeats=1, seed=0):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=n_patients)
        time = np.round(rng.exponential(np.exp(-2 * truth)), 2) + 0.01
        y = Surv.from_arrays(rng.random(n_patients) < 0.7, time)
        patients = pd.Index([f"P{i}" for i in range(n_patients)], name="patient")
        folds = []
        for _ in range(repeats):
            parts = np.array_split(rng.permutation(n_patients), n_folds)
            folds += [(np.setdiff1d(np.arange(n_patients), test), test) for test in parts]
        risks = [
            pd.DataFrame(
                {
                    "model": model,
                    "fold": fold,
                    "patient": patients[test],
                    # Every fold model has a scale of its own.
                    "risk_score": fold + (truth + size * rng.normal(size=n_patients))[test] * (1 + fold),
                }
            )
            for model, size in noise.items()
            for fold, (_, test) in enumerate(folds)
        ]
        return Bunch(risks=pd.concat(risks, ignore_index=True), y=y, patients=patients, folds=folds)

    return make


NOISE = {"wsi": 3.0, "fused": 0.3, "rna": 1.0}


def risks_of(comparison, model, fold):
    chosen = comparison.risks.query("model == @model and fold == @fold").set_index("patient")["risk_score"]
    return chosen[comparison.patients[comparison.folds[fold][1]]].to_numpy()


def test_the_best_single_and_the_tests_of_the_gain(make_comparison):
    comparison = make_comparison(NOISE)
    audit = fusion_audit(comparison, "fused", random_state=0)
    y = comparison.y
    for model in NOISE:
        for fold, (_, test) in enumerate(comparison.folds):
            expected = concordance_index_censored(
                y["event"][test], y["time"][test], risks_of(comparison, model, fold), tied_tol=0
            )[0]
            assert audit.c_index.loc[fold, model] == pytest.approx(expected)
    assert audit.single == "rna"
    gains = audit.c_index["fused"] - audit.c_index["rna"]
    t_test = audit.tests.loc["corrected t-test"]
    assert t_test["gain"] == pytest.approx(gains.mean())
    assert t_test[["lower", "upper"]].tolist() == pytest.approx(mean_interval(gains, 1 / 3))
    assert t_test["p_value"] == corrected_resampled_t_test(gains, 1 / 3)[1]
    bootstrap = audit.tests.loc["bootstrap"]
    assert bootstrap["lower"] < bootstrap["gain"] < bootstrap["upper"]
    assert 0 < bootstrap["surviving_gain"] == bootstrap["lower"]


def test_nothing_survives_of_a_gain_that_is_none(make_comparison):
    audit = fusion_audit(make_comparison({"fused": 1.0, "rna": 0.9, "wsi": 3.0}), "fused", random_state=0)
    assert audit.tests["surviving_gain"].tolist() == [0, 0]
    assert (audit.tests["p_value"] > 0.05).all()


def test_ranks_are_within_folds(make_comparison):
    comparison = make_comparison(NOISE)
    table = fusion_audit(comparison, "fused", n_bootstrap=10).reranked
    for fold, (_, test) in enumerate(comparison.folds):
        for model, column in (("fused", "rank_fused"), ("rna", "rank_single")):
            expected = rankdata(risks_of(comparison, model, fold)) / len(test)
            np.testing.assert_allclose(table.loc[comparison.patients[test], column], expected)
    np.testing.assert_allclose(table["change"], table["rank_fused"] - table["rank_single"])
    assert table["change"].abs().is_monotonic_decreasing
    np.testing.assert_array_equal(table["time"], comparison.y["time"][comparison.patients.get_indexer(table.index)])


def test_pairs_won_are_the_gain_patient_by_patient(make_comparison):
    comparison = make_comparison(NOISE, n_patients=40, n_folds=1)
    ((_, test),) = comparison.folds
    comparison.folds = [(np.arange(40), test)]
    audit = fusion_audit(comparison, "fused", n_bootstrap=10)
    event, time = comparison.y["event"][test], comparison.y["time"][test]
    fused, single = risks_of(comparison, "fused", 0), risks_of(comparison, "rna", 0)
    won, pairs = np.zeros(40), np.zeros(40)
    for i in range(40):
        for j in range(40):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                gain = float(fused[i] > fused[j]) - float(single[i] > single[j])
                won[[i, j]] += gain
                pairs[[i, j]] += 1
    expected = pd.Series(won / pairs, comparison.patients[test])
    np.testing.assert_allclose(audit.reranked["pairs_won"], expected[audit.reranked.index])
    assert audit.tests.loc["bootstrap", "gain"] == pytest.approx(won.sum() / pairs.sum())
    assert np.isnan(audit.tests.loc["corrected t-test", "p_value"])


def test_numbers_are_those_over_the_matrix_of_pairs(make_comparison):
    comparison = make_comparison(NOISE, repeats=2)
    comparison.risks["risk_score"] = comparison.risks["risk_score"].round(1)  # with ties
    audit = fusion_audit(comparison, "fused", n_bootstrap=60, random_state=0)
    event, time, tests = comparison.y["event"], comparison.y["time"], [test for _, test in comparison.folds]
    pairs = [comparable(event[test], time[test]) for test in tests]
    orders = {name: [higher(risks_of(comparison, name, k)) for k in range(8)] for name in ("fused", "rna")}
    for name, found in orders.items():
        expected = [(p * order).sum() / p.sum() for p, order in zip(pairs, found)]
        np.testing.assert_allclose(audit.c_index[name], expected, rtol=1e-12)
    gains = [a - b for a, b in zip(orders["fused"], orders["rna"])]
    ratios = [ratio_of_sums(p * gain, p) for p, gain in zip(pairs, gains)]
    interval = percentile_interval(paired_bootstrap(tests, ratios, 60, np.random.RandomState(0)))
    np.testing.assert_allclose(audit.tests.loc["bootstrap", ["lower", "upper"]].astype(float), interval, rtol=1e-12)
    won, n_pairs = np.zeros(120), np.zeros(120)
    for test, p, gain in zip(tests, pairs, gains):
        won[test] += (p * gain).sum(axis=0) + (p * gain).sum(axis=1)
        n_pairs[test] += p.sum(axis=0) + p.sum(axis=1)
    found = audit.reranked.loc[comparison.patients, "pairs_won"]
    assert found.isna().tolist() == (n_pairs == 0).tolist()
    np.testing.assert_allclose(found.fillna(0), won / np.maximum(n_pairs, 1), rtol=1e-12, atol=1e-12)


def test_repetitions_are_averaged(make_comparison):
    comparison = make_comparison(NOISE, repeats=3)
    table = fusion_audit(comparison, "fused", n_bootstrap=10).reranked
    patient = table.index[5]
    position = comparison.patients.get_loc(patient)
    ranks = [
        (rankdata(risks_of(comparison, "fused", fold)) / len(test))[test == position][0]
        for fold, (_, test) in enumerate(comparison.folds)
        if position in test
    ]
    assert len(table) == 120
    assert len(ranks) == 3
    assert table.loc[patient, "rank_fused"] == pytest.approx(np.mean(ranks))


def test_singles_may_be_named(make_comparison):
    comparison = make_comparison({"fused": 0.5, "other": 0.3, "rna": 1.0})
    assert fusion_audit(comparison, "fused", n_bootstrap=10).single == "other"
    assert fusion_audit(comparison, "fused", ["rna"], n_bootstrap=10).single == "rna"


def test_the_picture_shows_every_patient(make_comparison):
    audit = fusion_audit(make_comparison(NOISE), "fused", random_state=0).plot()
    _, events, censored = audit.ax_.lines
    shown = audit.reranked[audit.reranked["event"]]
    np.testing.assert_array_equal(events.get_xydata(), shown[["rank_single", "rank_fused"]])
    assert len(censored.get_xdata()) == (~audit.reranked["event"]).sum()
    *_, strip = audit.ax_.child_axes
    test, c_index = audit.tests.loc["corrected t-test"], audit.c_index
    _, folds, mean = [line for line in strip.lines if line.get_marker() in ("None", "o", "D")]
    np.testing.assert_allclose(folds.get_xdata(), c_index["fused"] - c_index["rna"])
    assert mean.get_xdata()[0] == test["gain"]
    np.testing.assert_allclose(strip.collections[0].get_segments()[0][:, 0], test[["lower", "upper"]])
    assert f"Gain in C-index over rna: {test['gain']:.3f}" in strip.get_title(loc="left").replace("\n", " ")


def test_the_title_says_the_level_of_the_interval(make_comparison):
    audit = fusion_audit(make_comparison(NOISE), "fused", confidence_level=0.995, random_state=0).plot()
    assert "99.5% CI" in audit.ax_.child_axes[-1].get_title(loc="left").replace("\n", " ")


def test_what_cannot_be_audited_is_named(make_comparison):
    comparison = make_comparison(NOISE)
    with pytest.raises(ValueError, match="no risks of 'concat'; its models are 'wsi', 'fused', 'rna'"):
        fusion_audit(comparison, "concat")
    with pytest.raises(ValueError, match="singles names 'fused', which is the fused model"):
        fusion_audit(comparison, "fused", ["rna", "fused"])
    alone = Bunch(**{**comparison, "risks": comparison.risks.query("model == 'fused'")})
    with pytest.raises(ValueError, match="no model beside 'fused'"):
        fusion_audit(alone, "fused")
    failed = Bunch(**{**comparison, "risks": comparison.risks.query("not (model == 'rna' and fold == 2)")})
    with pytest.raises(ValueError, match=r"Model 'rna' has no risk for 30 test patients of fold 2.*Did its fit fail"):
        fusion_audit(failed, "fused")
    censored = Bunch(**{**comparison, "y": Surv.from_arrays(np.arange(120) == 0, comparison.y["time"])})
    with pytest.raises(ValueError, match=r"In fold ., of 30 test patients with 0 events, no two can be compared"):
        fusion_audit(censored, "fused")
