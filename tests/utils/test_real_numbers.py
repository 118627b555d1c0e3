import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sksurv_mmf import Bag, BagArray, FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.bags import BagDtype
from sksurv_mmf.preprocessing import (
    BagTransformer,
    CoxElasticNetSelector,
    MinMaxNormalizer,
    ModalityImputer,
    PresentPatients,
)
from sksurv_mmf.utils._real_numbers import as_real, filled

HIDDEN = 999


@pytest.fixture
def masked():
    """Numbers with one hidden entry and one hidden row."""
    table = np.ma.array(np.arange(12.0).reshape(4, 3), mask=False)
    table.data[1, 2] = table.data[3] = HIDDEN
    table[1, 2] = np.ma.masked
    table[3] = np.ma.masked
    return table


class TestFilled:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
    def test_masked_is_nan_and_the_rest_is_kept(self, masked, dtype):
        values = np.ma.array(np.arange(12).reshape(4, 3).astype(dtype), mask=masked.mask)
        result = filled(values)
        assert not isinstance(result, np.ma.MaskedArray)
        assert_array_equal(np.isnan(result), masked.mask)
        assert_array_equal(result[~masked.mask], values.data[~masked.mask])
        assert result.dtype == (dtype if dtype.startswith("float") else "float64")

    def test_lists_of_masked_rows(self, masked):
        assert_array_equal(np.isnan(filled(list(masked))), masked.mask)

    @pytest.mark.parametrize("values", [np.ones(3), [1, 2], "text", pd.DataFrame({"a": [1]})])
    def test_anything_else_is_the_same_object(self, values):
        assert filled(values) is values

    def test_an_empty_mask_changes_no_dtype(self):
        assert filled(np.ma.array([1, 2])).dtype == int


class TestTiles:
    def test_masked_features_are_missing(self, masked):
        tiles = Bag(masked).features
        assert_array_equal(np.isnan(tiles), masked.mask)
        assert HIDDEN not in BagArray([masked, None])[0].features
        assert_array_equal(np.isnan(Bag(list(masked)).features), masked.mask)

    def test_a_function_may_mask(self):
        bag = Bag([[1.0, 2.0], [3.0, 4.0]]).map(lambda tiles: np.ma.masked_greater(tiles, 3))
        assert np.isnan(bag.features).tolist() == [[False, False], [False, True]]

    def test_a_masked_bag_is_missing(self):
        bags = pd.array([np.ma.masked, np.ones((2, 2))], dtype=BagDtype())
        assert bags.isna().tolist() == [True, False]

    def test_masked_coordinates_are_refused(self, masked):
        with pytest.raises(ValueError, match="coords must be known of all tiles, but some are masked"):
            Bag(np.ones((4, 2)), coords=masked[:, 1:])

    def test_complex_features_are_refused(self):
        with pytest.raises(ValueError, match="Element 1 cannot be a bag: expected numbers, got dtype complex64"):
            BagArray([np.ones((2, 2)), np.ones((2, 2), dtype=np.complex64)])
        with pytest.raises(ValueError, match="complex"):
            Bag(np.ma.array(np.ones((2, 2), dtype=complex), mask=[[1, 0], [0, 0]]))

    def test_a_model_refuses_masked_tiles_with_the_patient(self, cohort):
        tiles = np.ma.array(cohort.X["wsi__tiles"].iloc[4].features)
        tiles[0, 1] = np.ma.masked
        bags = list(cohort.X["wsi__tiles"])
        bags[4] = Bag(tiles)
        X = cohort.X.assign(wsi__tiles=BagArray(bags))
        with pytest.raises(ValueError, match="patient 'P004' in modality 'wsi' has NaN"):
            FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(X, cohort.y)


class TestTables:
    def test_transformers_do_not_see_below_the_mask(self, masked):
        normalized = MinMaxNormalizer().fit_transform(masked)
        assert_array_equal(np.isnan(normalized), masked.mask)
        assert normalized[1].tolist()[:2] == [0, 1]
        present = PresentPatients(MinMaxNormalizer()).fit_transform(masked)
        assert np.isnan(present[3]).all()

    def test_a_masked_patient_lacks_the_modality(self, cohort):
        genes = np.ma.array(cohort.X.filter(like="rna__").to_numpy())
        genes[2] = np.ma.masked
        selector = CoxElasticNetSelector(cv=3, min_features=1, random_state=0).fit(genes, cohort.y)
        without = CoxElasticNetSelector(cv=3, min_features=1, random_state=0).fit(genes.filled(np.nan), cohort.y)
        assert_array_equal(selector.coef_, without.coef_)
        model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(
            np.delete(genes, 2, axis=0), np.delete(cohort.y, 2)
        )
        with pytest.raises(ValueError, match="Patient 2 has none of the modalities"):
            model.predict(genes)

    def test_a_gap_is_named(self, cohort):
        genes = np.ma.array(cohort.X.filter(like="rna__").to_numpy())
        genes[2, 1] = np.ma.masked
        with pytest.raises(ValueError, match="Patient 2 has NaN in some columns"):
            FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(genes, cohort.y)

    @pytest.mark.parametrize("dtype", ["complex64", "complex128", object])
    def test_complex_columns_are_named(self, cohort, dtype):
        X = cohort.X.filter(like="rna__").assign(rna__G1=pd.Series(1 + 2j, cohort.X.index, dtype=dtype))
        users = [
            lambda: FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(X, cohort.y),
            lambda: CoxElasticNetSelector().fit(X, cohort.y),
            lambda: PresentPatients(MinMaxNormalizer()).fit(X),
            lambda: ModalityImputer().fit(X),
            lambda: join_modalities({"rna": X}),
        ]
        for use in users:
            with pytest.raises(ValueError, match="Column 'rna__G1' of X has complex numbers"):
                use()
        with pytest.raises(ValueError, match=r"Column 1 of X has complex numbers|Columns 0, 1, 2, 3 of X have complex"):
            MinMaxNormalizer().fit(X.to_numpy())

    def test_complex_numbers_at_predict(self, cohort):
        X = cohort.X.filter(like="rna__")
        model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(X, cohort.y)
        with pytest.raises(ValueError, match="'rna__G0' of X has complex"):
            model.predict(X.assign(rna__G0=1j))

    def test_real_tables_are_not_copied(self, cohort):
        assert as_real(cohort.X) is cohort.X

    @pytest.mark.parametrize(
        ("values", "way_out"),
        [
            (lambda one: one.astype(object), "convert it with pandas.to_numeric"),
            (lambda one: one.astype(str), "convert it with pandas.to_numeric"),
            (lambda one: pd.to_timedelta(one), r"pandas\.Timedelta\(days=1\)"),
            (lambda one: pd.Timestamp("2020-01-01") + pd.to_timedelta(one), r"pandas\.Timedelta\(days=1\)"),
            (lambda one: one.map(lambda value: "high" if value > 0 else "low"), "Encode categories"),
            (lambda one: one.map(lambda value: np.ones((2, 2))), r"astype\('bag'\)"),
        ],
        ids=["objects", "texts", "spans", "dates", "words", "tiles"],
    )
    def test_other_columns_are_refused_with_a_way_out(self, cohort, values, way_out):
        X = cohort.X.filter(like="rna__")
        with pytest.raises(ValueError, match=f"'rna__G1' of modality 'rna' has dtype.*{way_out}"):
            FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(X.assign(rna__G1=values(X["rna__G1"])), cohort.y)


def test_masked_tiles_of_a_transformer_are_missing(cohort):
    class Mask(MinMaxNormalizer):
        def transform(self, X):
            return np.ma.masked_equal(super().transform(X), 0)

    bags = BagTransformer(Mask()).fit_transform(cohort.X[["wsi__tiles"]])["wsi__tiles"]
    assert all(np.isnan(bag.features).any(axis=1).all() for bag in bags)
