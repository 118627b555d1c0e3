import joblib
import numpy as np
import pandas as pd
import pytest
from pairs import comparable, higher, ratio_of_sums
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sksurv.base import SurvivalAnalysisMixin
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import BagArray
from sksurv_mmf.inspection import ModalityImportance, modality_importance
from sksurv_mmf.inspection._modality_importance import permute, remove
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer
from sksurv_mmf.statistics._paired_tests import mean_interval, paired_bootstrap, percentile_interval

SETTINGS = {"n_estimators": 1, "embedding_dim": 8, "max_epochs": 3, "random_state": 0, "device": "cpu"}


class KnownRisk(SurvivalAnalysisMixin, BaseEstimator):
    """Adds up what is present of the first gene and of the mean of the first tile feature; learns nothing."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        image = [0 if bag is pd.NA else bag.features[:, 0].mean() for bag in X["wsi__tiles"]]
        return X["rna__G0"].fillna(0).to_numpy() + image


def c_index(y, risk):
    return concordance_index_censored(y["event"], y["time"], risk, tied_tol=0)[0]


@pytest.fixture
def lacking(make_cohort):
    """80 patients, of whom the first 5 lack the image and the next 7 the genes."""
    cohort = make_cohort(n_patients=80)
    cohort.X.iloc[:5, 0] = pd.NA
    cohort.X.iloc[5:12, 1:] = np.nan
    return cohort


def test_removal_is_the_c_index_of_what_is_left_on_the_patients_who_have_something_left(lacking):
    X, y = lacking.X, lacking.y
    model = KnownRisk().fit(X, y)
    table = modality_importance(model, X, y, cv="prefit", method="remove", n_bootstrap=50).table
    both = model.predict(X)
    image = both - X["rna__G0"].fillna(0)
    rows = np.delete(np.arange(80), np.arange(5))  # without genes, who lacks the image has nothing
    assert table.loc["rna", "n_patients"] == 75
    assert table.loc["rna", "c_index"] == pytest.approx(c_index(y[rows], both[rows]))
    assert table.loc["rna", "c_index_without"] == pytest.approx(c_index(y[rows], image.to_numpy()[rows]))
    rows = np.delete(np.arange(80), np.arange(5, 12))
    assert table.loc["wsi", "n_patients"] == 73
    assert table.loc["wsi", "drop"] == pytest.approx(
        c_index(y[rows], both[rows]) - c_index(y[rows], X["rna__G0"].fillna(0).to_numpy()[rows])
    )


def test_permutation_deals_whole_blocks_to_those_who_have_them(lacking):
    X = lacking.X
    columns = [1, 2, 3, 4]
    rows, changed = permute(X, columns, np.random.default_rng(0))
    assert rows.tolist() == list(range(80))
    assert changed.index.equals(X.index)
    assert changed.columns.equals(X.columns)
    assert changed["wsi__tiles"].tolist() == X["wsi__tiles"].tolist()
    genes, dealt = X.iloc[:, columns].to_numpy(), changed.iloc[:, columns].to_numpy()
    assert np.isnan(dealt[5:12]).all()
    have = np.delete(np.arange(80), np.arange(5, 12))
    origin = [np.flatnonzero((genes == row).all(axis=1)) for row in dealt[have]]  # each a row that was there, once
    assert sorted(np.concatenate(origin)) == have.tolist()
    assert (genes[have] != dealt[have]).any(axis=1).mean() > 0.9


def test_permutation_is_averaged_over_repeats(lacking):
    X, y = lacking.X, lacking.y
    model = KnownRisk().fit(X, y)
    importance = modality_importance(model, X, y, cv="prefit", n_repeats=4, n_bootstrap=50, random_state=3)
    seed = np.random.RandomState(3).randint(np.iinfo(np.int32).max, size=1)[0]
    rng = np.random.default_rng(seed)
    for name, columns in {"wsi": [0], "rna": [1, 2, 3, 4]}.items():
        without = [c_index(y, model.predict(permute(X, columns, rng)[1])) for _ in range(4)]
        assert importance.table.loc[name, "c_index_without"] == pytest.approx(np.mean(without))
    assert importance.table.loc["rna", "c_index"] == pytest.approx(c_index(y, model.predict(X)))


def test_numbers_are_those_over_the_matrix_of_pairs(lacking):
    X, y = lacking.X.round({"rna__G0": 0}), lacking.y  # with ties
    model = KnownRisk().fit(X, y)
    importance = modality_importance(model, X, y, cv="prefit", n_repeats=3, n_bootstrap=60, random_state=3)
    state = np.random.RandomState(3)
    rng = np.random.default_rng(state.randint(np.iinfo(np.int32).max, size=1)[0])
    pairs, intact = comparable(y["event"], y["time"]), higher(model.predict(X))
    for name, columns in {"wsi": [0], "rna": [1, 2, 3, 4]}.items():
        without = np.mean([higher(model.predict(permute(X, columns, rng)[1])) for _ in range(3)], axis=0)
        c_index, lost = ((pairs * order).sum() / pairs.sum() for order in (intact, without))
        ratio = ratio_of_sums(pairs * (intact - without), pairs)
        interval = percentile_interval(paired_bootstrap([np.arange(80)], [ratio], 60, state))
        found = importance.table.loc[name, ["c_index", "c_index_without", "drop", "lower", "upper"]].astype(float)
        np.testing.assert_allclose(found, [c_index, lost, c_index - lost, *interval], rtol=1e-12, atol=1e-12)


def test_a_modality_that_the_model_does_not_read_is_worth_exactly_nothing(lacking):
    X = lacking.X.assign(clinical__age=np.arange(80.0))
    for method in ("permute", "remove"):
        table = modality_importance(
            KnownRisk().fit(X, lacking.y), X, lacking.y, cv="prefit", method=method, n_bootstrap=50
        ).table
        assert table.loc["clinical", ["drop", "lower", "upper"]].tolist() == [0, 0, 0]
        assert (table.loc[["wsi", "rna"], "lower"] > 0).all()


def test_over_folds_models_are_fitted_inside_and_the_interval_is_the_corrected_one(lacking):
    X, y = lacking.X.drop(columns="wsi__tiles").iloc[12:], lacking.y[12:]
    X = X.rename(columns={"rna__G3": "clinical__age"})
    cv, model = SurvivalKFold(4), CoxPHSurvivalAnalysis()
    importance = modality_importance(model, X, y, cv=cv, random_state=0)
    drops = {"rna": [], "clinical": []}
    for fold, (train, test) in enumerate(cv.split(X, y)):
        intact = c_index(y[test], model.fit(X.iloc[train], y[train]).predict(X.iloc[test]))
        of_fold = importance.folds[importance.folds["fold"] == fold].set_index("modality")
        assert of_fold["c_index"].tolist() == pytest.approx([intact, intact])
        for name, values in drops.items():
            values.append(of_fold.loc[name, "drop"])
    for name, values in drops.items():
        row = importance.table.loc[name]
        assert row["drop"] == pytest.approx(np.mean(values))
        assert row[["lower", "upper"]].tolist() == pytest.approx(mean_interval(values, 1 / 3, 0.95))
    with joblib.parallel_config("threading"):
        again = modality_importance(model, X, y, cv=cv, random_state=0, n_jobs=2)
    pd.testing.assert_frame_equal(again.folds, importance.folds)


def test_bootstrap_intervals_hold_the_drop_and_widen_with_confidence(lacking):
    X, y = lacking.X, lacking.y
    model = KnownRisk().fit(X, y)
    tables = [
        modality_importance(model, X, y, cv="prefit", confidence_level=level, random_state=0).table
        for level in (0.5, 0.99)
    ]
    for table in tables:
        assert (table["lower"] < table["drop"]).all()
        assert (table["drop"] < table["upper"]).all()
    assert (tables[1]["lower"] < tables[0]["lower"]).all()
    assert (tables[0]["upper"] < tables[1]["upper"]).all()


@pytest.mark.parametrize("method", ["permute", "remove"])
def test_a_pipeline_with_bags_words_and_booleans_loses_each_modality(lacking, method):
    rng = np.random.default_rng(0)
    X = lacking.X.assign(
        clinical__sex=rng.choice(["f", "m"], 80),
        clinical__age=rng.integers(40, 80, 80),
        smoking__ever=rng.random(80) < 0.5,
    )
    words = ColumnTransformer(
        [("words", OneHotEncoder(sparse_output=False), ["clinical__sex"])],
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
        verbose_feature_names_out=False,
    )
    prepare = make_modality_transformer(wsi=BagTransformer(StandardScaler()), rna=StandardScaler(), clinical=words)
    model = make_pipeline(prepare, FusionSurvivalAnalysis(**SETTINGS)).fit(X[:50], lacking.y[:50])
    before = X.copy()
    table = modality_importance(
        model, X[50:], lacking.y[50:], cv="prefit", method=method, n_repeats=2, n_bootstrap=20, random_state=0
    ).table
    assert set(table.index) == {"wsi", "rna", "clinical", "smoking"}
    assert table["n_patients"].tolist() == [30] * 4
    pd.testing.assert_frame_equal(X, before)


def test_removal_makes_missing_what_join_modalities_would(lacking):
    X = lacking.X.assign(smoking__ever=True, smoking__years=3)
    rows, changed = remove(X, [5, 6])
    assert changed.iloc[:, [5, 6]].isna().all(axis=None)
    assert changed.dtypes.iloc[[5, 6]].tolist() == [np.float64, np.float64]
    assert rows.tolist() == list(range(80))
    _, changed = remove(X, [0])
    assert isinstance(changed["wsi__tiles"].array, BagArray)
    assert changed["wsi__tiles"].isna().all()


def test_the_picture_of_one_modality_has_its_drop_and_interval(lacking):
    X, y = lacking.X.iloc[12:, 1:], lacking.y[12:]
    importance = modality_importance(CoxPHSurvivalAnalysis(alpha=1).fit(X, y), X, y, cv="prefit", random_state=0)
    (points,) = importance.plot().ax_.containers
    (interval,) = points[2]
    drop, lower, upper = importance.table.loc["rna", ["drop", "lower", "upper"]]
    assert points[0].get_xdata() == pytest.approx([drop])
    assert interval.get_segments()[0][:, 0] == pytest.approx([lower, upper])


def test_the_picture_shows_drops_and_intervals(lacking):
    X, y = lacking.X, lacking.y
    importance = modality_importance(KnownRisk(), X, y, cv=SurvivalKFold(3), random_state=0)
    ax = importance.plot().ax_
    assert [label.get_text() for label in ax.get_yticklabels()] == importance.table.index.tolist()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(means, importance.table["drop"])
    ends = [bar.get_segments()[0][:, 0] for bar in ax.collections]
    np.testing.assert_allclose(ends, importance.table[["lower", "upper"]])
    first = importance.folds[importance.folds["modality"] == importance.table.index[0]]
    np.testing.assert_allclose(dots[0].get_xydata()[:, 0], first["drop"])
    label = ax.get_xlabel().replace("\n", " ")
    assert label == "Drop in C-index, modality shuffled (mean, 95% CI; dots: folds)"


def test_without_folds_the_interval_is_over_patients():
    folds = pd.DataFrame({"modality": ["wsi", "rna"], "fold": 0, "n_patients": 90, "c_index": 0.7})
    folds = folds.assign(c_index_without=[0.68, 0.55], drop=[0.02, 0.15])
    ax = ModalityImportance(folds, {"wsi": (-0.01, 0.05), "rna": (0.08, 0.22)}, method="remove").plot().ax_
    assert ax.get_xlabel().replace("\n", " ") == "Drop in C-index, modality removed (95% CI over patients)"
    assert [line for line in ax.lines if line.get_marker() == "o"] == []


COLUMNS = ["modality", "fold", "n_patients", "c_index", "c_index_without", "drop"]


def test_equal_drops_are_drawn_although_their_mean_is_rounded():
    drops = [("rna", k, 90, 0.7, 0.5, 0.2) for k in range(8)]
    mean = np.nextafter(0.2, 1)
    importance = ModalityImportance(pd.DataFrame(drops, columns=COLUMNS), {"rna": (mean, mean)})
    assert importance.table.loc["rna", "drop"] < mean
    (points,) = importance.plot().ax_.containers
    np.testing.assert_allclose(points.lines[2][0].get_segments()[0][:, 0], 0.2)


@pytest.mark.parametrize(("level", "said"), [(0.995, "99.5% CI"), (0.95, "95% CI"), (0.57, "57% CI")])
def test_the_label_says_the_level_of_the_interval(level, said):
    folds = pd.DataFrame([("rna", 0, 90, 0.7, 0.5, 0.2)], columns=COLUMNS)
    importance = ModalityImportance(folds, {"rna": (0.1, 0.3)}, confidence_level=level)
    assert said in importance.plot().ax_.get_xlabel().replace("\n", " ")


def test_what_cannot_be_measured_is_named(lacking):
    X, y = lacking.X, lacking.y
    genes = X.drop(columns="wsi__tiles").iloc[12:]
    cox = CoxPHSurvivalAnalysis().fit(genes, y[12:])
    with pytest.raises(ValueError, match=r"No test patient has another modality than 'rna'.*method='permute'"):
        modality_importance(cox, genes, y[12:], cv="prefit", method="remove")
    renamed = genes.rename(columns={"rna__G3": "clinical__age"})
    cox.fit(renamed, y[12:])
    with pytest.raises(ValueError, match=r"cannot predict without modality 'rna': .*NaN"):
        modality_importance(cox, renamed, y[12:], cv="prefit", method="remove")
    with pytest.raises(ValueError, match=r"X has no modalities: no column is named .*, but 'G0'"):
        modality_importance(cox, genes.rename(columns=lambda name: name[5:]), y[12:], cv="prefit")
    last = np.argsort(y["time"])[-2:]
    with pytest.raises(ValueError, match=r"Of 1 test patients with . events, no two can be compared"):
        modality_importance(KnownRisk(), X, y, cv=[(np.delete(np.arange(70), last), last[:1])])
    with pytest.raises(TypeError, match="X must be a DataFrame with one row per patient, got ndarray"):
        modality_importance(cox, genes.to_numpy(), y[12:], cv="prefit")
