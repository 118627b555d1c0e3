"""Modalities that are uninformative in some patients, and show it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sksurv.metrics import concordance_index_censored

from sksurv_mmf.datasets import make_multimodal_survival

SMALL = {"n_genes": 20, "n_informative_genes": 4, "n_tiles": (5, 15), "n_tile_features": 8, "random_state": 0}
TABLES = {"n_genes": 20, "n_informative_genes": 4, "n_tile_features": 20, "image_as": "table", "random_state": 0}
Z = norm.ppf(0.9995)  # how many standard errors chance is granted


def genes(cohort):
    return cohort.X[cohort.gene_weights.index]


def image(cohort):
    """Numeric columns of the image without its quality features."""
    return cohort.X.filter(like="wsi__F")


def tiles_of(cohort, patients):
    return np.concatenate([bag.features for bag in cohort.X.loc[patients, "wsi__tiles"]])


def is_independent(one, other):
    """Whether a correlation is one of those that chance makes of independent normal numbers."""
    return abs(np.corrcoef(one, other)[0, 1]) < Z / np.sqrt(len(one))


@pytest.mark.parametrize("image_as", ["tiles", "table"])
@pytest.mark.parametrize("nothing", [0.0, {}, {"wsi": 0, "rna": 0.0}])
def test_without_corruption_everything_is_as_it_was(image_as, nothing):
    one = make_multimodal_survival(**SMALL | {"image_as": image_as}, missing=0.2)
    other = make_multimodal_survival(**SMALL | {"image_as": image_as}, missing=0.2, corrupted=nothing)
    pd.testing.assert_frame_equal(one.X, other.X)
    np.testing.assert_array_equal(one.y, other.y)
    assert one.corrupted.isna().all()
    assert not any("Q" in column for column in one.X)
    pd.testing.assert_frame_equal(one.informative, pd.DataFrame({m: there(one, m) for m in ("wsi", "rna")}))


def test_the_cohort_of_a_seed_is_the_one_of_earlier_releases():
    cohort = make_multimodal_survival(
        n_patients=20, n_genes=5, n_tiles=(2, 4), n_tile_features=3, missing=0.2, random_state=0
    )
    first = cohort.X.iloc[0]
    np.testing.assert_allclose(cohort.risk[:3], [-0.552249, 1.07912, 3.7941], rtol=1e-5)
    np.testing.assert_allclose(cohort.y["time"][:3], [95.1308, 6.17484, 5.70493], rtol=1e-5)
    np.testing.assert_allclose(first.iloc[1:].astype(float), [-0.219017, 1.92601, 1.03315, 1.77102, 2.10861], rtol=1e-5)
    np.testing.assert_allclose(first.iloc[0].features[0], [-1.74995, -0.80623, -0.00865097], rtol=1e-5)
    assert list(np.flatnonzero(cohort.X["wsi__tiles"].isna())) == [3, 16]
    assert list(np.flatnonzero(cohort.X["rna__G0000"].isna())) == [7, 19]


def there(cohort, modality):
    return cohort.X.filter(like=f"{modality}__").notna().all(axis=1)


def test_what_is_known_is_the_risk_where_everything_is_intact():
    cohort = make_multimodal_survival(**SMALL, interaction=0.5)
    np.testing.assert_array_equal(cohort.known_risk, cohort.risk)


@pytest.mark.parametrize(
    ("corrupted", "n_wsi", "n_rna"),
    [(0.4, 20, 20), (0.05, 2, 3), ({"wsi": 0.1, "rna": 0.3}, 10, 30), ({"rna": 1.0}, 0, 100), (1, 50, 50)],
)
@pytest.mark.parametrize("image_as", ["tiles", "table"])
def test_shares_are_exact_and_nobody_loses_both(corrupted, n_wsi, n_rna, image_as):
    cohort = make_multimodal_survival(**SMALL | {"image_as": image_as}, n_patients=100, corrupted=corrupted)
    assert cohort.corrupted.value_counts().to_dict() == {name: n for name, n in [("wsi", n_wsi), ("rna", n_rna)] if n}
    for modality in ("wsi", "rna"):
        np.testing.assert_array_equal(cohort.informative[modality], cohort.corrupted != modality)
    assert cohort.informative.any(axis=1).all()


@pytest.mark.parametrize(
    ("missing", "corrupted"), [(0.2, 0.8), ({"wsi": 0.1}, {"wsi": 0.34, "rna": 0.56}), (0.5, 0.5), (1.0, 0.0)]
)
@pytest.mark.parametrize("n_patients", [7, 100])
def test_only_patients_with_both_modalities_are_corrupted(missing, corrupted, n_patients):
    cohort = make_multimodal_survival(**SMALL, n_patients=n_patients, missing=missing, corrupted=corrupted)
    incomplete = ~(there(cohort, "wsi") & there(cohort, "rna"))
    assert cohort.corrupted[incomplete].isna().all()
    # shares that add up to 1 leave nobody with two informative modalities, except by rounding
    assert (cohort.informative.sum(axis=1) == 1).sum() >= n_patients - 1
    for modality in ("wsi", "rna"):
        np.testing.assert_array_equal(
            cohort.informative[modality], there(cohort, modality) & (cohort.corrupted != modality)
        )


def test_genes_and_table_are_noise_of_twice_the_size_with_shifted_quality():
    cohort = make_multimodal_survival(**TABLES, n_patients=4000, corrupted=0.5)
    for modality, values in (("rna", genes(cohort)), ("wsi", image(cohort))):
        bad = cohort.corrupted == modality
        quality = cohort.X[[f"{modality}__Q{number}" for number in range(3)]]
        assert values.shape == (4000, 20)
        error = Z / np.sqrt(bad.sum())
        np.testing.assert_allclose(values[bad].mean(), 0, atol=2 * error)
        np.testing.assert_allclose(values[bad].std(), 2, atol=2 * error)
        np.testing.assert_allclose(values[~bad].std(), 1, atol=error)
        np.testing.assert_allclose(quality[bad].mean(), 2, atol=error)
        np.testing.assert_allclose(quality[~bad].mean(), 0, atol=error)
        np.testing.assert_allclose([quality[bad].std(), quality[~bad].std()], 1, atol=error)


def test_tiles_are_noise_of_twice_the_size_with_shifted_quality():
    cohort = make_multimodal_survival(**SMALL, n_patients=1000, corrupted=0.5)
    bad = cohort.corrupted == "wsi"
    tiles, intact = tiles_of(cohort, bad), tiles_of(cohort, ~bad)
    error = Z / np.sqrt(len(tiles))
    assert tiles.shape[1] == cohort.tile_directions.shape[1] == 8 + 3
    np.testing.assert_allclose(tiles[:, :8].mean(axis=0), 0, atol=2 * error)
    np.testing.assert_allclose(np.cov(tiles[:, :8].T), 4 * np.eye(8), atol=8 * error)
    np.testing.assert_allclose(tiles[:, 8:].mean(axis=0), 2, atol=error)
    np.testing.assert_allclose(intact[:, 8:].mean(axis=0), 0, atol=error)
    np.testing.assert_allclose(tiles[:, 8:].std(axis=0), 1, atol=error)
    np.testing.assert_array_equal(cohort.tile_directions.iloc[:, 8:], 0)
    # within a patient, too, the tiles have nothing in common
    means = [bag.features[:, :8].mean(axis=0) * np.sqrt(bag.n_tiles) for bag in cohort.X.loc[bad, "wsi__tiles"]]
    assert np.std(means) == pytest.approx(2, abs=2 * Z / np.sqrt(np.size(means)))


def test_corrupted_modalities_carry_no_score_and_intact_ones_do():
    cohort = make_multimodal_survival(**TABLES, n_patients=2000, corrupted=0.8)
    scores = {"rna": genes(cohort) @ cohort.gene_weights}
    scores["wsi"] = image(cohort).to_numpy() @ cohort.tile_directions.loc["signal", :19]
    for modality, truth in (("rna", cohort.rna_risk), ("wsi", cohort.image_risk)):
        bad = cohort.corrupted == modality
        np.testing.assert_allclose(scores[modality][~bad], truth[~bad], rtol=1e-9, atol=1e-9)
        assert is_independent(scores[modality][bad], truth[bad])


def test_corrupted_tiles_carry_no_score_and_intact_ones_do():
    cohort = make_multimodal_survival(**SMALL, n_patients=1000, corrupted=0.8)
    marker, signal = cohort.tile_directions.to_numpy()
    means = pd.DataFrame([bag.features.mean(axis=0) for bag in cohort.X["wsi__tiles"]], index=cohort.X.index)
    bad = cohort.corrupted == "wsi"
    assert is_independent((means @ signal)[bad], cohort.image_risk[bad])
    assert not is_independent((means @ signal)[~bad], cohort.image_risk[~bad])
    assert (means @ marker)[~bad].mean() > 0.5
    assert abs((means @ marker)[bad].mean()) < 2 * Z / np.sqrt(bad.sum() * 5)
    assert not np.concatenate(list(cohort.witness_tiles[bad])).any()
    assert all(witness.dtype == bool for witness in cohort.witness_tiles)
    assert all(witness.any() for witness in cohort.witness_tiles[~bad])


@pytest.mark.parametrize("image_as", ["tiles", "table"])
def test_corruption_changes_what_is_corrupted_alone(image_as):
    settings = SMALL | {"image_as": image_as, "n_patients": 100}
    intact = make_multimodal_survival(**settings)
    cohort = make_multimodal_survival(**settings, corrupted=0.6)
    np.testing.assert_array_equal(cohort.y, intact.y)
    pd.testing.assert_series_equal(cohort.risk, intact.risk)
    assert cohort.genes == intact.genes
    same_genes = (genes(cohort) == genes(intact)).all(axis=1)
    np.testing.assert_array_equal(same_genes, cohort.corrupted != "rna")
    if image_as == "table":
        same_image = (image(cohort) == image(intact)).all(axis=1)
    else:
        pairs = zip(cohort.X["wsi__tiles"], intact.X["wsi__tiles"])
        same_image = [np.array_equal(one.features[:, :8], other.features) for one, other in pairs]
    np.testing.assert_array_equal(same_image, cohort.corrupted != "wsi")


def test_tiles_change_neither_who_is_corrupted_nor_genes_and_effects_leave_X():
    one, other = (
        make_multimodal_survival(**SMALL | {"n_tiles": n_tiles, "image_effect": effect}, corrupted=0.5)
        for n_tiles, effect in [((5, 15), 1), (3, 2)]
    )
    pd.testing.assert_series_equal(one.corrupted, other.corrupted)
    pd.testing.assert_frame_equal(one.X.filter(like="rna__"), other.X.filter(like="rna__"))


def test_noise_is_not_the_genes_again():
    cohort, intact = (make_multimodal_survival(**TABLES, n_patients=200, corrupted=share) for share in (1.0, 0.0))
    bad = cohort.corrupted == "rna"
    assert is_independent(genes(cohort)[bad].to_numpy().ravel(), genes(intact)[bad].to_numpy().ravel())


def test_a_higher_share_corrupts_the_same_patients_and_more():
    few, many = (make_multimodal_survival(**SMALL, missing=0.1, corrupted=share).corrupted for share in (0.2, 0.7))
    pd.testing.assert_series_equal(many[few.notna()], few[few.notna()])


@pytest.mark.parametrize("make_seed", [int, np.random.RandomState])
def test_same_seed_same_bits(make_seed):
    one, other, third = (
        make_multimodal_survival(**SMALL | {"random_state": make_seed(seed)}, corrupted=0.4) for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(one.X, other.X)
    pd.testing.assert_series_equal(one.corrupted, other.corrupted)
    assert not one.corrupted.equals(third.corrupted)


def test_a_missing_modality_is_missing_with_its_quality_features():
    for settings in (SMALL, TABLES):
        cohort = make_multimodal_survival(**settings, missing=0.4, corrupted=0.2)
        for modality in ("wsi", "rna"):
            columns = cohort.X.filter(like=f"{modality}__").isna()
            assert (columns.any(axis=1) == columns.all(axis=1)).all()
            assert columns.all(axis=1).sum() == 40


def test_image_as_a_table_is_standard_normal_and_four_columns_make_its_score():
    cohort = make_multimodal_survival(**TABLES, n_patients=4000)
    signal = cohort.tile_directions.loc["signal"]
    assert sorted(signal[signal != 0].abs()) == [0.5] * 4
    np.testing.assert_allclose(image(cohort).to_numpy() @ signal, cohort.image_risk, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(image(cohort).cov(), np.eye(20), atol=1.5 * Z / np.sqrt(4000))
    assert list(cohort.X)[:20] == [f"wsi__F{number:04d}" for number in range(20)]
    assert cohort.witness_tiles.isna().all()
    with_tiles = make_multimodal_survival(**TABLES | {"image_as": "tiles", "n_tiles": 1}, n_patients=4000)
    np.testing.assert_array_equal(cohort.y, with_tiles.y)
    two = make_multimodal_survival(**TABLES | {"n_tile_features": 2})
    np.testing.assert_allclose(two.tile_directions.loc["signal"].abs(), np.sqrt(0.5))


def test_known_risk_is_the_expected_risk_and_the_ceiling():
    effects = {"image_effect": 1.5, "rna_effect": -1.0, "interaction": 0.5}
    cohort = make_multimodal_survival(**TABLES, **effects, n_patients=1500, missing=0.2, corrupted=0.5)
    z, r = cohort.image_risk, cohort.rna_risk
    only_rna, only_image = ~cohort.informative["wsi"], ~cohort.informative["rna"]
    both = cohort.informative.all(axis=1)
    np.testing.assert_allclose(cohort.known_risk[both], cohort.risk[both])
    np.testing.assert_allclose(cohort.known_risk[only_rna], -1.0 * r[only_rna])
    np.testing.assert_allclose(cohort.known_risk[only_image], 1.5 * z[only_image])
    error = (cohort.risk - cohort.known_risk)[~both]
    assert abs(error.mean()) < Z * error.std() / np.sqrt(len(error))

    def concordance(score):
        return concordance_index_censored(cohort.y["event"], cohort.y["time"], score)[0]

    # a predictor that trusts what it sees, or that falls back on another guess than the mean, orders worse
    noise = np.random.default_rng(0).standard_normal(len(z))
    fooled = cohort.known_risk + np.where(both, 0, noise)
    assert concordance(cohort.risk) > concordance(cohort.known_risk) + 0.02
    assert concordance(cohort.known_risk) > concordance(fooled) + 0.01
    assert concordance(cohort.known_risk) > concordance(cohort.known_risk + only_rna) + 0.005


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"corrupted": 1.5}, "'corrupted' parameter"),
        ({"corrupted": "wsi"}, "'corrupted' parameter"),
        ({"corrupted": {"mri": 0.1}}, "corrupted must give shares .* 'wsi' and 'rna', got {'mri': 0.1}"),
        ({"corrupted": {"wsi": "half"}}, "corrupted must give shares .*, got {'wsi': 'half'}"),
        ({"corrupted": {"wsi": np.nan}}, "corrupted must give shares"),
        (
            {"corrupted": {"wsi": 0.6, "rna": 0.6}},
            "corrupted={'wsi': 0.6, 'rna': 0.6} leave patients without an intact",
        ),
        ({"missing": 0.5, "corrupted": 0.6}, "missing=0.5 and corrupted=0.6 leave .* shares of both must add up to 1"),
        ({"image_as": "slide"}, "'image_as' parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_survival(**parameters)
