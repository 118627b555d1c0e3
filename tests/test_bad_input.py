"""Every mistake in the input gets an error that names the argument, column or patient."""

from threading import Lock

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import TensorBoard
from sksurv.util import Surv

from sksurv_mmf import Bag, BagArray, FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL, Identity, MaxMIL, MeanMIL
from sksurv_mmf.fusions import Concat, Mean
from sksurv_mmf.objectives import DiscreteHazard


def make_model(modalities=None, **params):
    if modalities is None:
        modalities = [("wsi", AttentionMIL(8, 4)), ("rna", SNN(8))]
    settings = {"n_estimators": 1, "max_epochs": 1, "embedding_dim": 8, "device": "cpu", "random_state": 0, **params}
    return FusionSurvivalAnalysis(modalities, **settings)


@pytest.fixture(scope="module")
def fitted(make_cohort):
    cohort = make_cohort()
    return make_model().fit(cohort.X, cohort.y)


@pytest.fixture
def X(cohort):
    return cohort.X


@pytest.fixture
def y(cohort):
    return cohort.y


@pytest.fixture
def bags():
    return pd.Series(BagArray([np.ones((2, 3)), np.ones((1, 3))]), index=["P1", "P2"])


@pytest.fixture
def rna():
    return pd.DataFrame({"TP53": [1.0, 2.0]}, index=["P1", "P2"])


def refused(message, function, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=message):
        function(*args, **kwargs)


class TestJoinModalities:
    def test_duplicate_patients(self, bags, rna):
        twice = pd.concat([rna, rna.iloc[:1]])
        message = r"Patient 'P1' has several rows in modality 'rna'.*Keep one row"
        refused(message, join_modalities, {"wsi": bags, "rna": twice})
        message = r"Patients 'P1', 'P2' have several rows in modality 'wsi'"
        refused(message, join_modalities, {"wsi": bags.iloc[[0, 1, 0, 1]], "rna": rna})

    def test_no_common_patients(self, bags, rna):
        renamed = rna.set_axis(["TCGA-1", "TCGA-2"])
        message = r"No patient is common.*'wsi': 'P1', 'P2'; 'rna': 'TCGA-1', 'TCGA-2'.*how='outer'"
        refused(message, join_modalities, {"wsi": bags, "rna": renamed})

    def test_pairing_by_position(self, bags, rna):
        message = r"'rna' looks like a row number.*set_index\('patient'\).*rename_axis"
        rows = rna.reset_index(drop=True)
        refused(message, join_modalities, {"wsi": bags, "rna": rows})
        refused(message, join_modalities, {"wsi": bags, "rna": rows.iloc[::-1]})  # no RangeIndex any more

    def test_patients_may_be_numbers(self, rna):
        numbered = rna.set_axis(pd.RangeIndex(len(rna), name="patient"))
        assert list(join_modalities({"a": numbered, "b": numbered.iloc[::-1]}).index) == list(numbered.index)

    def test_nothing_to_match_by(self, bags, rna):
        message = r"'rna' is a ndarray without patients"
        refused(message, join_modalities, {"wsi": bags, "rna": rna.to_numpy()}, error=TypeError)
        refused(r"'wsi' is a list", join_modalities, {"wsi": list(bags), "rna": rna}, error=TypeError)

    def test_missing_patient_identifier(self, bags, rna):
        refused(
            r"index of modality 'rna' has missing", join_modalities, {"rna": rna.set_axis(["P1", None]), "wsi": bags}
        )

    @pytest.mark.parametrize("how", ["left", "right", None])
    def test_other_joins(self, bags, rna, how):
        refused(rf"how must be 'inner' or 'outer', got {how!r}", join_modalities, {"wsi": bags, "rna": rna}, how=how)

    @pytest.mark.parametrize("name", ["rna__seq", "", 3])
    def test_a_name_that_cannot_be_a_prefix(self, rna, name):
        refused(rf"name without '__', got {name!r}", join_modalities, {name: rna})

    def test_nothing(self):
        refused("modalities is empty", join_modalities, {})
        refused("must be a dict.*got a list", join_modalities, [], error=TypeError)


class TestBags:
    def test_no_tiles(self):
        refused(r"at least one of each, got shape \(0, 3\)", Bag, np.empty((0, 3)))

    def test_tiles_of_different_width(self):
        refused(
            r"2 bags with 3; 1 bag with 4: 2 \(by position\)",
            BagArray,
            [np.ones((2, 3)), np.ones((5, 3)), np.ones((2, 4))],
        )

    def test_width_changes_at_predict(self, fitted, X):
        X["wsi__tiles"] = BagArray([np.ones((2, 9))] * len(X))
        refused(r"modality 'wsi' have 9 features, but the model was fitted on 5", fitted.predict, X)

    @pytest.mark.parametrize(
        ("value", "message"),
        [(np.nan, r"NaN in tile.*BagTransformer\(SimpleImputer"), (np.inf, r"infinite or beyond.*Repair the file")],
    )
    def test_tiles_that_are_not_finite(self, fitted, X, y, value, message):
        tiles = X["wsi__tiles"].iloc[4].features.copy()
        tiles[0, 1] = value
        X.iloc[[4], 0] = BagArray([tiles])
        message = rf"patient 'P004' in modality 'wsi' has .*{message}"
        refused(message, make_model().fit, X, y)
        refused(message, fitted.predict, X)

    def test_numbers_beyond_float32_are_told_by_their_size(self, fitted, X, tmp_path):
        np.save(tmp_path / "slide7.npy", np.full((2, 5), 1e300))
        X.iloc[[4], 0] = read_bags([tmp_path / "slide7.npy"], "slide").array
        refused(r"patient 'P004' .*tile features that are infinite or beyond 3\.4e\+38", fitted.predict, X)

    def test_truncated_file_is_named(self, fitted, X, tmp_path):
        path = tmp_path / "slide7.npy"
        np.save(path, np.ones((20, 5), dtype=np.float32))
        whole = path.read_bytes()
        path.write_bytes(whole[:-40])
        refused(r"slide7\.npy.*truncated", Bag.from_file, path)
        path.write_bytes(b"not an array")
        refused(r"slide7\.npy", Bag.from_file, path)

    @pytest.mark.parametrize("damage", ["truncated", "gone"])
    def test_a_file_that_is_damaged_after_its_bag_was_made_is_named(self, fitted, X, y, tmp_path, damage):
        path = tmp_path / "slide7.npy"
        np.save(path, np.ones((20, 5), dtype=np.float32))
        X.iloc[[4], 0] = BagArray([Bag.from_file(path)])
        if damage == "truncated":
            path.write_bytes(path.read_bytes()[:-40])
        else:
            path.unlink()
        for function, args in [(make_model().fit, (X, y)), (fitted.predict, (X,))]:
            refused(r"slide7\.npy", function, *args, error=(ValueError, FileNotFoundError))


class TestOutcome:
    def test_no_events(self, X, y):
        y["event"] = False
        refused("None of the 30 patients has an event", make_model().fit, X, y)

    def test_all_times_equal(self, X, y):
        y["time"] = 12.5
        refused(r"All 30 times equal 12\.5", make_model().fit, X, y)

    @pytest.mark.parametrize(("time", "what"), [(-1.0, "negative"), (np.nan, "NaN"), (np.inf, "infinite")])
    def test_impossible_times(self, X, y, time, what):
        y["time"][[3, 7]] = time
        refused(rf"Patients 'P003', 'P007' have a time that is {what}", make_model().fit, X, y)

    def test_another_length(self, X, y):
        refused(r"X has 30 patients and y has 20.*clinical\.loc\[X\.index\]", make_model().fit, X, y[:20])

    @pytest.mark.parametrize("wrong", [np.ones(30), np.ones((30, 2)), [1.0] * 30])
    def test_no_structured_array(self, X, wrong):
        refused("y must be a structured array", make_model().fit, X, wrong)

    def test_none(self, X):
        refused(r"requires y.*None.*sksurv\.util\.Surv", make_model().fit, X, None)

    def test_a_single_patient(self, X, y):
        y["event"] = True
        refused("one sample only, patient 'P000'", make_model().fit, X.iloc[:1], y[:1])


class TestValues:
    def test_nan_in_some_genes_of_a_patient(self, fitted, X, y):
        X.loc["P005", "rna__G2"] = np.nan
        message = r"Patient 'P005' has NaN in some columns of modality 'rna', for example 'rna__G2'.*SimpleImputer"
        refused(message, make_model().fit, X, y)
        refused(message, fitted.predict, X)

    @pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
    def test_infinite_values(self, fitted, X, y, value):
        X.loc["P005", "rna__G2"] = value
        message = r"Patient 'P005' has an infinite value .*column 'rna__G2'"
        refused(message, make_model().fit, X, y)
        refused(message, fitted.predict, X)

    @pytest.mark.parametrize(
        "column",
        [["1.5"] * 30, pd.Categorical(["high"] * 30), pd.to_datetime(["2020-01-01"] * 30), [np.ones((2, 2))] * 30],
        ids=["text", "category", "date", "arrays"],
    )
    def test_a_column_of_something_else(self, fitted, X, y, column):
        X["rna__G2"] = pd.Series(list(column) if isinstance(column, list) else column, index=X.index)
        message = r"Column 'rna__G2' of modality 'rna' has dtype .* numbers or bags are expected"
        refused(message, make_model().fit, X, y)
        refused(message, fitted.predict, X)

    @pytest.mark.parametrize("where", ["fit", "predict"])
    def test_a_patient_without_any_modality(self, fitted, X, y, where):
        X.iloc[[6], 0] = BagArray([None])
        X.iloc[6, 1:] = np.nan
        message = r"Patient 'P006' has none of the modalities 'wsi', 'rna' that the model reads"
        if where == "fit":
            refused(message, make_model().fit, X, y)
        else:
            refused(message, fitted.predict, X)

    def test_patients_without_the_one_modality_of_the_model(self, X, y):
        X = X.filter(like="rna__").copy()
        X.iloc[[2, 6]] = np.nan
        message = r"Patients 'P002', 'P006' have none of the modalities 'rna' that the model reads"
        refused(message, make_model([("rna", SNN(8))]).fit, X, y)

    def test_a_modality_that_nobody_has(self, X, y):
        X.iloc[:, 1:] = np.nan
        refused(r"No patient has modality 'rna'", make_model().fit, X, y)


class TestColumns:
    def test_a_modality_that_is_not_in_X(self, X, y):
        model = make_model([("wsi", AttentionMIL()), ("dna", SNN())])
        refused(r"Modality 'dna' is not in X.*The modalities in X are 'wsi', 'rna'", model.fit, X, y)

    def test_a_column_in_no_modality(self, X, y):
        message = r"Columns 'rna__G0', 'rna__G1', 'rna__G2', 'rna__G3' are in X, but in no modality of 'wsi'"
        refused(message, make_model([("wsi", AttentionMIL())]).fit, X, y)
        message = r"Column 'age' belongs to no modality"
        refused(message, FusionSurvivalAnalysis().fit, X.assign(age=1.0), y)

    def test_a_bag_beside_columns_without_prefix(self, X, y):
        message = r"bag column beside other columns.*join_modalities"
        refused(message, FusionSurvivalAnalysis().fit, X.set_axis(["tiles", "a", "b", "c", "d"], axis=1), y)

    def test_a_modality_of_bags_and_numbers(self, X, y):
        message = r"'wsi' mixes a bag column with others: 'wsi__tiles', 'wsi__age'"
        refused(message, make_model().fit, X.assign(wsi__age=1.0), y)

    def test_missing_columns_at_predict(self, fitted, X):
        refused(r"(?s)now missing.*rna__G1", fitted.predict, X.drop(columns="rna__G1"))

    def test_extra_columns_at_predict(self, fitted, X):
        refused(r"(?s)unseen at fit time.*rna__G9", fitted.predict, X.assign(rna__G9=1.0))

    def test_reordered_columns_at_predict(self, fitted, X):
        refused("must be in the same order", fitted.predict, X[X.columns[::-1]])

    def test_a_bag_column_that_is_none_at_predict(self, fitted, X):
        refused(r"'wsi' was a bag column in fit and now has dtype float64", fitted.predict, X.assign(wsi__tiles=1.0))

    def test_a_numeric_column_of_bags_at_predict(self, fitted, X):
        refused(r"'rna__G0' of modality 'rna' has dtype bag", fitted.predict, X.assign(rna__G0=X["wsi__tiles"]))

    def test_a_name_that_two_columns_have(self, fitted, X, y):
        X = X.rename(columns={"rna__G2": "rna__G1"})
        for function, args in [(make_model().fit, (X, y)), (fitted.predict, (X,))]:
            refused("Column 'rna__G1' occurs more than once in X", function, *args)

    def test_a_series(self, fitted, X):
        refused(r"the Series 'P000'.*X\.iloc\[\[0\]\]", fitted.predict, X.iloc[0])

    def test_a_patient_in_several_rows(self, X, y):
        rows = [0, *range(len(X)), 4]
        with pytest.warns(UserWarning, match=r"Patients 'P000', 'P004' have several rows.*reset_index\(drop=True\)"):
            model = make_model().fit(X.iloc[rows], y[rows])
        drawn = make_model().fit(X.iloc[rows].reset_index(drop=True), y[rows])  # no warning, which would be an error
        np.testing.assert_array_equal(model.predict(X), drawn.predict(X))

    def test_no_patients(self, fitted, X, y):
        refused(r"\(0, 5\).*at least one patient", make_model().fit, X.iloc[:0], y[:0])
        refused("X has no patients", fitted.predict, X.iloc[:0])


class TestParameters:
    @pytest.mark.parametrize("encoder", [SNN(8), MLP(8), Identity()])
    def test_an_encoder_of_vectors_for_bags(self, X, y, encoder):
        name = type(encoder).__name__
        message = rf"Modality 'wsi' is a bag column, but {name} reads numeric columns. Use .*AttentionMIL"
        refused(message, make_model([("wsi", encoder), ("rna", SNN(8))]).fit, X, y)

    @pytest.mark.parametrize("encoder", [AttentionMIL(8), MeanMIL(8), MaxMIL(8)])
    def test_an_encoder_of_bags_for_vectors(self, X, y, encoder):
        name = type(encoder).__name__
        message = rf"Modality 'rna' is numeric columns, but {name} reads a bag column. Use .*SNN"
        refused(message, make_model([("wsi", AttentionMIL(8)), ("rna", encoder)]).fit, X, y)

    @pytest.mark.parametrize("name", ["fusion", "lr", "modalities"])
    def test_a_modality_named_like_a_parameter(self, X, y, name):
        X = X[["wsi__tiles"]].set_axis([f"{name}__tiles"], axis=1)
        refused(rf"conflict with constructor arguments: \['{name}'\]", make_model([(name, AttentionMIL(8))]).fit, X, y)

    @pytest.mark.parametrize(
        ("modalities", "message"),
        [
            ([], "empty list"),
            (["wsi"], "must hold tuples .*got 'wsi'"),
            ([("wsi", AttentionMIL)], "got .*class"),
            ([("wsi", torch.nn.Linear(1, 1))], r"encoders from\s+sksurv_mmf.encoders, got"),
            ([("wsi", AttentionMIL()), ("wsi", AttentionMIL())], "not unique"),
            ([("wsi__a", AttentionMIL())], "must not contain __"),
            ({"wsi": AttentionMIL()}, "list of tuples .*, got a dict"),
        ],
        ids=["empty", "string", "class", "module", "twice", "separator", "dict"],
    )
    def test_modalities_of_another_form(self, X, y, modalities, message):
        refused(message, make_model(modalities).fit, X, y)

    @pytest.mark.parametrize(
        ("params", "name"),
        [
            ({"fusion": "concat"}, r"fusion must be .*, got 'concat'\. Write fusion=Concat\(\)\.$"),
            ({"fusion": Concat}, r"Write fusion=Concat\(\)\.$"),
            ({"objective": "cox"}, r"Write objective=CoxPH\(\)\.$"),
            ({"objective": "nll"}, r"Write objective=.*CoxPH\(\) or DiscreteHazard\(\)"),
            ({"callbacks": [1]}, "callbacks must be a list of objects of .*Callback.* holds 1"),
            ({"callbacks": [TensorBoard(Lock())]}, "a TensorBoard that cannot be copied .*on_train_begin"),
            ({"lr": 0}, "lr"),
            ({"batch_size": 0}, "batch_size"),
            ({"max_epochs": 0}, "max_epochs"),
            ({"optimizer": "adamm"}, "optimizer"),
            ({"modality_dropout": 1.0}, "modality_dropout"),
            ({"validation_fraction": 1.0}, "validation_fraction"),
            ({"normalization": "batch"}, "normalization"),
            ({"objective": DiscreteHazard(1)}, "n_bins"),
            ({"objective": DiscreteHazard(alpha=1.0)}, "alpha"),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isidentifier() else None,
    )
    def test_values_out_of_range(self, X, y, params, name):
        refused(name, make_model(**params).fit, X, y)

    def test_a_bad_parameter_of_a_part(self, X, y):
        refused("dropout", make_model([("wsi", AttentionMIL(dropout=1.0)), ("rna", SNN(8))]).fit, X, y)

    def test_noise_for_an_unknown_modality(self, X, y):
        message = r"input_noise names 'dna', but the modalities are 'wsi', 'rna'"
        refused(message, make_model(input_noise={"dna": 0.1}).fit, X, y)

    @pytest.mark.parametrize("value", [-1.0, "much"])
    def test_impossible_noise_of_a_modality(self, X, y, value):
        refused("input_noise", make_model(input_noise={"wsi": value}).fit, X, y)

    def test_embeddings_of_unequal_width(self, X, y):
        model = make_model([("wsi", AttentionMIL(8, 4)), ("rna", Identity())], fusion=Mean())
        refused(r"Mean needs embeddings of one width, but 'wsi' has 8, 'rna' has 4.*Concat", model.fit, X, y)

    def test_too_few_patients_for_early_stopping(self, X, y):
        y["event"][:3] = True
        y["event"][3:6] = False
        message = r"validation_fraction=0\.15 of 6 patients with 3 events.* = 2\. Change validation_fraction"
        refused(message, make_model(early_stopping=True, validation_fraction=0.15).fit, X.iloc[:6], y[:6])

    @pytest.mark.parametrize(
        ("modality", "message"),
        [("dna", "'dna' is not one of"), ("rna", r"SNN \('rna'\) does not weigh tiles.*: 'wsi'")],
    )
    def test_tile_attention_of_what_has_no_tiles(self, fitted, X, modality, message):
        refused(message, fitted.tile_attention, X, modality)

    def test_tile_attention_of_an_encoder_without_any(self, X, y):
        model = make_model([("wsi", MeanMIL(8)), ("rna", SNN(8))]).fit(X, y)
        refused(r"MeanMIL \('wsi'\) and SNN \('rna'\) do not weigh tiles.*: none", model.tile_attention, X)

    def test_tile_attention_of_one_of_two(self, X, y):
        model = make_model([("wsi", AttentionMIL(8)), ("ihc", AttentionMIL(8)), ("rna", SNN(8))])
        X = X.assign(ihc__tiles=X["wsi__tiles"])
        refused("pass modality='wsi' or 'ihc'", model.fit(X, y).tile_attention, X)

    def test_an_unknown_device(self, X, y):
        refused("device='gpu'", make_model(device="gpu").fit, X, y)


def test_the_model_that_bad_input_is_tried_on_is_a_good_one(fitted, X, y):
    assert np.isfinite(fitted.predict(X)).all()
    assert np.isfinite(make_model().fit(X, Surv.from_arrays(y["event"], y["time"])).predict(X)).all()
