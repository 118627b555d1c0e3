import numpy as np
import pandas as pd
import pytest
from chance import margin_of_chance
from scipy.stats import kstest, norm, spearmanr
from sklearn.metrics import roc_auc_score
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from sksurv_mmf.datasets import make_multimodal_survival

SMALL = {"n_genes": 20, "n_tiles": (5, 15), "n_tile_features": 8}


def concordance(cohort, score):
    return concordance_index_censored(cohort.y["event"], cohort.y["time"], np.asarray(score))[0]


def same_X(one, other):
    return all(
        (a == b).all() if column == "wsi__tiles" else a.equals(b)
        for column, a, b in ((c, one.X[c], other.X[c]) for c in one.X.columns)
    )


def test_risk_is_made_of_the_returned_parts():
    cohort = make_multimodal_survival(**SMALL, image_effect=0.5, rna_effect=-2, interaction=0.7, random_state=0)
    effect = cohort.coefficients
    genes = cohort.X.filter(like="rna__")
    np.testing.assert_allclose(genes @ cohort.gene_weights, cohort.rna_risk, rtol=1e-12)
    np.testing.assert_allclose(
        effect["image"] * cohort.image_risk
        + effect["rna"] * cohort.rna_risk
        + effect["interaction"] * cohort.image_risk * cohort.rna_risk,
        cohort.risk,
    )
    assert list(effect) == [0.5, -2, 0.7]
    assert cohort.genes == list(cohort.gene_weights.index[cohort.gene_weights != 0])
    assert len(cohort.genes) == 10


def test_scores_are_standard_normal_and_genes_correlate_in_blocks():
    cohort = make_multimodal_survival(n_patients=4000, n_genes=20, n_tiles=1, n_tile_features=2, random_state=1)
    for score in (cohort.image_risk, cohort.rna_risk):
        assert kstest(score, norm.cdf).pvalue > 0.001
    correlation = cohort.X.filter(like="rna__").corr().to_numpy()
    same_block = np.equal.outer(np.arange(20) // 10, np.arange(20) // 10) & ~np.eye(20, dtype=bool)
    assert correlation[same_block].mean() == pytest.approx(0.3, abs=0.03)
    assert correlation[:10, 10:].mean() == pytest.approx(0, abs=0.03)


def test_cox_regression_on_the_true_scores_recovers_the_effects():
    cohort = make_multimodal_survival(
        **SMALL, n_patients=3000, image_effect=1.0, rna_effect=-0.5, interaction=0.8, random_state=0
    )
    z, r = cohort.image_risk, cohort.rna_risk
    coef = CoxPHSurvivalAnalysis().fit(np.column_stack([z, r, z * r]), cohort.y).coef_
    # standard errors are about 0.03
    np.testing.assert_allclose(coef, [1.0, -0.5, 0.8], atol=0.1)


def test_concordance_of_the_true_risk_without_censoring_is_the_logistic_one():
    # two patients: P(T1 < T2 | eta) = expit(eta1 - eta2), so C = E expit(|eta1 - eta2|) with eta ~ N(0, 1)
    cohort = make_multimodal_survival(**SMALL, n_patients=2000, image_effect=0, censoring=0, random_state=0)
    difference = np.abs(np.sqrt(2) * norm.ppf((np.arange(10000) + 0.5) / 10000))
    expected = np.mean(1 / (1 + np.exp(-difference)))
    assert concordance(cohort, cohort.risk) == pytest.approx(expected, abs=0.015)


def test_concordance_grows_with_the_effect():
    values = []
    for effect in (0, 0.5, 1, 3):
        cohort = make_multimodal_survival(
            **SMALL, n_patients=500, image_effect=effect, rna_effect=effect, random_state=0
        )
        values.append(concordance(cohort, cohort.risk if effect else cohort.image_risk))
    assert np.all(np.diff(values) > 0.04)
    assert abs(values[0] - 0.5) < margin_of_chance(cohort.y)


def test_without_effects_the_risk_is_constant_and_times_do_not_depend_on_X():
    cohort = make_multimodal_survival(
        n_patients=1000, n_genes=30, n_tiles=4, n_tile_features=4, image_effect=0, rna_effect=0, random_state=0
    )
    np.testing.assert_array_equal(cohort.risk, 0)
    margin = margin_of_chance(cohort.y, n_shuffles=30)
    for score in (cohort.image_risk, cohort.rna_risk, cohort.image_risk * cohort.rna_risk):
        assert abs(concordance(cohort, score) - 0.5) < margin


def test_a_pure_interaction_is_invisible_to_each_modality():
    cohort = make_multimodal_survival(
        n_patients=2000,
        n_tiles=1,
        n_genes=10,
        image_effect=0,
        rna_effect=0,
        interaction=1.5,
        censoring=0,
        random_state=0,
    )
    margin = margin_of_chance(cohort.y, n_shuffles=30)
    assert concordance(cohort, cohort.risk) > 0.5 + margin
    for score in (cohort.image_risk, cohort.rna_risk, cohort.image_risk.abs(), cohort.rna_risk.abs()):
        assert abs(concordance(cohort, score) - 0.5) < margin


@pytest.mark.parametrize("censoring", [0, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("effect", [0, 3])
def test_censoring_has_the_wanted_share_and_is_independent_of_risk(censoring, effect):
    cohort = make_multimodal_survival(**SMALL, n_patients=201, image_effect=effect, censoring=censoring, random_state=0)
    assert abs((~cohort.y["event"]).sum() - censoring * 201) <= 1
    assert cohort.y["event"].any()
    assert (cohort.y["time"] > 0).all()


def test_censoring_only_ever_shortens_the_times():
    full = make_multimodal_survival(**SMALL, censoring=0, random_state=0)
    cut = make_multimodal_survival(**SMALL, censoring=0.6, random_state=0)
    event = cut.y["event"]
    np.testing.assert_array_equal(cut.y["time"][event], full.y["time"][event])
    assert (cut.y["time"][~event] < full.y["time"][~event]).all()
    assert same_X(full, cut)


def test_witness_tiles_can_be_found_and_carry_the_image_score():
    cohort = make_multimodal_survival(n_patients=300, n_tiles=(40, 60), witness_rate=0.2, random_state=0)
    marker, signal = cohort.tile_directions.to_numpy()
    assert marker @ signal == pytest.approx(0, abs=1e-12)
    bags, witnesses = cohort.X["wsi__tiles"], cohort.witness_tiles
    auc = roc_auc_score(np.concatenate(list(witnesses)), np.concatenate([bag.features @ marker for bag in bags]))
    assert auc == pytest.approx(norm.cdf(3 / np.sqrt(2)), abs=0.01)

    of_witnesses = [(bag.features[own] @ signal).mean() for bag, own in zip(bags, witnesses)]
    of_all = [(bag.features @ signal).mean() for bag in bags]
    of_others = [(bag.features[~own] @ signal).mean() for bag, own in zip(bags, witnesses)]
    assert spearmanr(of_witnesses, cohort.image_risk).statistic > 0.95
    assert 0.5 < spearmanr(of_all, cohort.image_risk).statistic < 0.9
    assert abs(spearmanr(of_others, cohort.image_risk).statistic) < 0.15


def test_witnesses_are_the_wanted_share_and_lie_together():
    cohort = make_multimodal_survival(n_patients=50, n_tiles=(1, 100), witness_rate=0.1, random_state=0)
    for bag, witness in zip(cohort.X["wsi__tiles"], cohort.witness_tiles):
        assert witness.sum() == max(1, round(0.1 * bag.n_tiles))
        nest = bag.coords[witness] / 512
        spread = np.linalg.norm(nest - nest.mean(axis=0), axis=1).max()
        assert spread <= np.sqrt(witness.sum()) + 1
        assert len(np.unique(bag.coords, axis=0)) == bag.n_tiles
    assert cohort.X["wsi__tiles"].array.n_tiles.min() >= 1
    assert cohort.X["wsi__tiles"].array.n_tiles.max() <= 100
    none = make_multimodal_survival(**SMALL, n_patients=20, witness_rate=0, random_state=0)
    assert not np.concatenate(list(none.witness_tiles)).any()


@pytest.mark.parametrize("make_seed", [int, np.random.RandomState])
def test_same_seed_same_bits(make_seed):
    one, other, third = (make_multimodal_survival(**SMALL, random_state=make_seed(seed)) for seed in (0, 0, 1))
    assert same_X(one, other)
    np.testing.assert_array_equal(one.y, other.y)
    assert not same_X(one, third)


def test_no_seed_is_fresh_randomness_that_leaves_the_global_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other = make_multimodal_survival(**SMALL), make_multimodal_survival(**SMALL)
    assert not np.array_equal(one.y, other.y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_tiles_do_not_change_genes_and_outcome():
    one = make_multimodal_survival(**SMALL, random_state=0)
    more = make_multimodal_survival(**{**SMALL, "n_tiles": 50, "n_tile_features": 30}, witness_rate=0.5, random_state=0)
    np.testing.assert_array_equal(one.y, more.y)
    assert one.X.filter(like="rna__").equals(more.X.filter(like="rna__"))
    assert (more.X["wsi__tiles"].array.n_tiles == 50).all()


@pytest.mark.parametrize(
    ("missing", "n_wsi", "n_rna"), [(0.0, 0, 0), (0.2, 10, 10), ({"wsi": 0.1, "rna": 0.3}, 10, 30), (1.0, 50, 50)]
)
def test_missing_modalities_are_counted_and_nobody_lacks_both(missing, n_wsi, n_rna):
    cohort = make_multimodal_survival(**SMALL, n_patients=100, missing=missing, random_state=0)
    complete = make_multimodal_survival(**SMALL, n_patients=100, random_state=0)
    no_bag = cohort.X["wsi__tiles"].isna()
    genes = cohort.X.filter(like="rna__")
    no_rna = genes.isna().all(axis=1)
    assert (no_bag.sum(), no_rna.sum()) == (n_wsi, n_rna)
    assert not (no_bag & no_rna).any()
    assert (genes.isna().any(axis=1) == no_rna).all()
    pd.testing.assert_series_equal(cohort.risk, complete.risk)
    np.testing.assert_array_equal(cohort.y, complete.y)
    assert all(witness is None for witness in cohort.witness_tiles[no_bag])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_genes": 5, "n_informative_genes": 6}, "n_informative_genes must be at most n_genes=5, got 6"),
        ({"n_tiles": (10, 5)}, "n_tiles must be a number or a pair"),
        ({"n_tiles": (0, 5)}, "n_tiles must be a number or a pair"),
        ({"censoring": 1.0}, "censoring"),
        ({"missing": {"wsi": 0.6, "rna": 0.6}}, "without any modality"),
        ({"missing": {"mri": 0.1}}, "'wsi' and 'rna', got {'mri': 0.1}"),
        ({"missing": 1.5}, "missing"),
        ({"image_effect": np.inf}, "image_effect"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_survival(**parameters)
