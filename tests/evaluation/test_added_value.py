"""What a model adds to a reference: the tests find it where it is, and nothing where it is not."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.model_selection import ShuffleSplit
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from sksurv_mmf.evaluation import added_value, net_benefit
from sksurv_mmf.evaluation._added_value_tables import subgroups_table
from sksurv_mmf.model_selection import KaplanMeier, RepeatedSurvivalKFold, SurvivalKFold, compare_models
from sksurv_mmf.pages import render
from sksurv_mmf.statistics._cox import fit_cox, likelihood_ratio_test

matplotlib.use("Agg")


class Known(BaseEstimator):
    """A risk that is not learnt, on a scale that differs from fold to fold, with curves."""

    def __init__(self, columns=(0,), fails=False):
        self.columns = columns
        self.fails = fails

    def fit(self, X, y):
        if self.fails and "P000" in X.index:
            raise RuntimeError("a bad day")
        self.scale_ = 1 + y["time"].sum() % 7
        self.cox_ = CoxPHSurvivalAnalysis(alpha=0.1).fit(X.iloc[:, list(self.columns)], y)
        return self

    def predict(self, X):
        return 10 * self.scale_ + self.scale_ * X.iloc[:, list(self.columns)].sum(axis=1).to_numpy()

    def predict_survival_function(self, X, return_array=False):
        return self.cox_.predict_survival_function(X.iloc[:, list(self.columns)], return_array=return_array)


def simulate(n_patients=240, effect=0.8, seed=0):
    """A clinical column, one that adds `effect` to the log hazard, and one that means nothing."""
    rng = np.random.default_rng(seed)
    index = pd.Index([f"P{i:03d}" for i in range(n_patients)], name="patient")
    X = pd.DataFrame(rng.normal(size=(n_patients, 3)), index, ["clinical", "gene", "noise"])
    time = rng.exponential(np.exp(-0.7 * X["clinical"] - effect * X["gene"]))
    censored = rng.exponential(2, n_patients)
    return X, Surv.from_arrays(time <= censored, np.minimum(time, censored))


MODELS = {
    "Clinical Cox": Known([0]),
    "fused": Known([0, 1]),
    "useless": Known([2]),
    "nobody": KaplanMeier(),
}
FOLDS = SurvivalKFold(4, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def comparison():
    return compare_models(MODELS, *simulate(), FOLDS, scoring="harrell")


@pytest.fixture(scope="module")
def value(comparison):
    X = simulate()[0]
    subgroups = pd.DataFrame({"age": 60 + 10 * X["noise"], "site": ["A", "B"] * 120})
    return added_value(comparison, model="fused", subgroups=subgroups, horizons=0.8, n_bootstrap=200, random_state=0)


def row_of(value, risk, beside, test="likelihood ratio"):
    tests = value.tests
    (row,) = tests[(tests["test"] == test) & (tests["risk"] == risk) & (tests["beside"] == beside)].to_dict("records")
    return row


def test_likelihood_ratio_is_that_of_cox_models_with_folds_as_strata(value):
    X, y = simulate()
    fold, z = np.zeros(len(X), dtype=int), np.zeros((len(X), 2))
    for k, (_, test) in enumerate(FOLDS.split(X, y)):
        risks = np.column_stack([X.iloc[test, 0], X.iloc[test, :2].sum(axis=1)])
        fold[test], z[test] = k, (risks - risks.mean(axis=0)) / risks.std(axis=0, ddof=1)
    both, alone = (fit_cox(z[:, :k], y["event"], y["time"], fold) for k in (2, 1))
    chi2, df, p_value = likelihood_ratio_test(both, alone)
    found = row_of(value, "fused", "Clinical Cox")
    assert (found["chi2"], found["df"], found["p"]) == pytest.approx((chi2, df, p_value))
    margin = stats.norm.ppf(0.975) * both.covariance[1, 1] ** 0.5
    expected = [both.coef[1], *np.exp(both.coef[1] + margin * np.array([0, -1, 1]))]
    assert [found[name] for name in ("coef", "hazard_ratio", "lower", "upper")] == pytest.approx(expected)


def test_what_adds_is_found_and_what_does_not_is_not(comparison, value):
    assert row_of(value, "fused", "Clinical Cox")["p"] < 1e-6
    useless = added_value(comparison, model="useless", n_bootstrap=20)
    assert row_of(useless, "useless", "Clinical Cox")["p"] > 0.05
    assert row_of(useless, "Clinical Cox", "useless")["p"] < 1e-6


def test_both_ways_round_and_by_themselves_agree(value):
    """What two risks explain together is the same, whichever comes first."""
    sums = [
        row_of(value, one, "")["chi2"] + row_of(value, other, one)["chi2"]
        for one, other in (("fused", "Clinical Cox"), ("Clinical Cox", "fused"))
    ]
    assert sums[0] == pytest.approx(sums[1])


def test_beside_one_risk_for_all_a_model_stands_by_itself(comparison):
    found = added_value(comparison, reference="nobody", model="fused", n_bootstrap=20)
    beside, alone = row_of(found, "fused", "nobody"), row_of(found, "fused", "")
    assert beside["chi2"] == pytest.approx(alone["chi2"])
    assert beside["df"] == 1
    assert row_of(found, "nobody", "fused")["df"] == 0
    assert len(found.time_effect)


def test_differences_are_those_of_the_comparison(comparison, value):
    expected = compare_models(
        {name: MODELS[name] for name in ("Clinical Cox", "fused")},
        *simulate(),
        FOLDS,
        scoring=["harrell", "uno", "ibs"],
        reference="Clinical Cox",
    )
    found = value.differences.set_index("score")
    for score in ("harrell", "uno", "ibs"):
        columns = ["difference", "t_lower", "t_upper", "t_p"]
        wanted = expected.pairwise(score, n_bootstrap=1)[columns].iloc[0].to_numpy(dtype=float)
        np.testing.assert_allclose(found.loc[score, columns].to_numpy(dtype=float), wanted, rtol=1e-9)
    assert found.loc["harrell", "boot_lower"] < found.loc["harrell", "difference"] < found.loc["harrell", "boot_upper"]


def test_net_benefit_is_that_of_test_patients_at_the_share_of_events(comparison):
    found = added_value(comparison, model="fused", horizons=[0.8], thresholds=[0.3], n_bootstrap=20)
    row = found.differences.set_index("score").loc["net_benefit@0.8,0.3"]
    y, values = comparison.y, []
    for name in ("Clinical Cox", "fused"):
        curves = [
            [comparison.survival[name][k, patient] for patient in comparison.patients[test]]
            for k, (_, test) in enumerate(comparison.folds)
        ]
        values.append(
            np.mean(
                [
                    net_benefit(y[test], [1 - curve(0.8) for curve in own], 0.8, [0.3])["net_benefit"][0]
                    for own, (_, test) in zip(curves, comparison.folds)
                ]
            )
        )
    assert [row["of_reference"], row["of_model"]] == pytest.approx(values)
    assert row["difference"] == pytest.approx(values[1] - values[0])


def test_folds_that_lack_a_score_leave_no_interval_over_folds(comparison):
    """Who ends before the horizon and is treated leaves a fold without a net benefit."""
    X, y = simulate()
    y = y.copy()
    last = comparison.folds[0][1]
    late = last[y["time"][last] > 0.7]
    y["time"][late], y["event"][late] = 0.7, False
    models = {name: MODELS[name] for name in ("Clinical Cox", "fused")}
    folds = compare_models(models, X, y, comparison.folds, scoring="harrell")
    value = added_value(folds, horizons=0.8, thresholds=[0.3], n_bootstrap=50, random_state=0)
    row = value.differences.set_index("score").loc["net_benefit@0.8,0.3"]
    assert row["n_folds"] == 3
    assert row[["t_lower", "t_upper", "t_p"]].isna().all()
    assert not np.isnan(row["difference"])
    assert row["reason"].startswith("in 3 of 4 folds only, so without an interval over folds: none of the treated")
    whole = value.differences.set_index("score").loc["harrell"]
    assert whole["n_folds"] == 4
    assert whole[["t_lower", "t_upper", "t_p"]].notna().all()
    assert "net_benefit@0.8,0.3: in 3 of 4 folds only" in repr(value)
    gains = value.plot(time_unit="years").axes[-1]
    assert "(3 folds only)" in gains.get_yticklabels()[-1].get_text()


def test_tables_of_the_page_are_in_words(comparison, value):
    text = render("Added value", value.sections(time_unit="years"))
    assert "Net benefit at 0.8 years from" in text
    for raw in ("n_patients", "n_folds", "t_lower", "boot_p", "net_benefit@", "c_difference", "p_interaction", "4.000"):
        assert raw not in text
    assert text.count("Added value</h") == 1
    shown = subgroups_table(value)["p of interaction"]
    assert shown.loc["age"].notna().tolist() == [True, False]
    levels = value.subgroups.set_index("subgroup")["hazard_ratio"]
    assert shown.notna().groupby(level=0).sum().loc[["age", "site"]].tolist() == [1, 1]
    assert subgroups_table(value)["Hazard ratio"].iloc[0].startswith(f"{levels.iloc[0]:.2f} (")


def test_the_default_threshold_makes_treating_all_worth_nothing(value):
    y = simulate()[1]
    (score,) = (score for score in value.differences["score"] if score.startswith("net_benefit"))
    threshold = float(score.split(",")[1])
    assert net_benefit(y, np.ones(len(y)), 0.8, [threshold])["net_benefit"][0] == pytest.approx(0, abs=2e-3)


def test_subgroups_are_cut_at_the_median_and_cover_all(value):
    table = value.subgroups
    levels = table.groupby("subgroup", sort=False)
    assert levels["n_patients"].sum().tolist() == [240] * 3
    assert levels["n_events"].sum().nunique() == 1
    median = (60 + 10 * simulate()[0]["noise"]).median()
    assert table.loc[table["subgroup"] == "age", "level"].tolist() == [
        f"\N{LESS-THAN OR EQUAL TO} {median:g}",
        f"> {median:g}",
    ]
    whole = row_of(value, "fused", "Clinical Cox")
    assert table.loc[0, ["hazard_ratio", "lower", "upper"]].tolist() == pytest.approx(
        [whole[name] for name in ("hazard_ratio", "lower", "upper")]
    )


def test_c_in_a_subgroup_is_that_of_its_pairs_within_folds(comparison, value):
    X, y = simulate()
    is_in = np.arange(len(X)) % 2 == 0  # of site A
    right, pairs = np.zeros(2), 0
    for _, test in comparison.folds:
        own = test[is_in[test]]
        for k, columns in enumerate(([0], [0, 1])):
            risk = X.iloc[own, columns].sum(axis=1).to_numpy()
            _, concordant, discordant, tied, _ = concordance_index_censored(
                *(y[own][name] for name in y.dtype.names), risk
            )
            right[k] += concordant + tied / 2
        pairs += concordant + discordant + tied
    row = value.subgroups.query("level == 'A'").iloc[0]
    assert row["c_difference"] == pytest.approx((right[1] - right[0]) / pairs)
    assert row["c_lower"] < row["c_difference"] < row["c_upper"]


def test_an_interaction_is_found_where_it_is(comparison):
    """Where the gene matters in one half and harms in the other, hazard ratios differ; by chance they do not."""
    rng = np.random.default_rng(1)
    X, _ = simulate()
    half = rng.permutation(np.repeat([True, False], 120))
    time = rng.exponential(np.exp(-np.where(half, 1, -1) * X["gene"]))
    y = Surv.from_arrays(np.ones(240, dtype=bool), time)
    found = compare_models({"Clinical Cox": Known([0]), "gene": Known([1])}, X, y, FOLDS, scoring="harrell")
    subgroups = {"true": pd.Series(half, X.index), "chance": pd.Series(rng.permutation(half), X.index)}
    p_values = (
        added_value(found, subgroups=subgroups, n_bootstrap=20).subgroups.groupby("subgroup")["p_interaction"].first()
    )
    assert p_values["true"] < 1e-6
    assert p_values["chance"] > 0.01


def test_few_events_and_unknown_values_are_shown_without_estimates(comparison):
    patients, event = comparison.patients, comparison.y["event"]
    stage = pd.Series(["I", "II"] * 120, patients, dtype=object)
    stage[patients[event][:4]] = "IV"
    stage[patients[~event][:3]] = None
    table = added_value(comparison, model="fused", subgroups={"stage": stage}, n_bootstrap=20).subgroups.set_index(
        "level"
    )
    assert table.loc[["IV", "unknown"], ["n_patients", "n_events"]].to_numpy().tolist() == [[4, 4], [3, 0]]
    assert table.loc["IV", "reason"] == "4 events, of at least 10"
    assert table.loc["unknown", "reason"] == "the value is not known"
    assert table.loc[["IV", "unknown"], ["hazard_ratio", "c_difference"]].isna().all(axis=None)
    assert table.loc[["I", "II"], ["hazard_ratio", "c_difference"]].notna().all(axis=None)


def test_cut_offs_and_order_of_levels(comparison):
    patients = comparison.patients
    grade = pd.Series(pd.Categorical(["high", "low"] * 120, ["low", "high"], ordered=True), patients)
    age = pd.Series(np.arange(240.0), patients)[::-1]
    found = added_value(
        comparison, model="fused", subgroups={"grade": grade, "age": age}, cutoffs={"age": [200, 100]}, n_bootstrap=20
    )
    table = found.subgroups
    assert table["level"].tolist()[1:] == [
        "low",
        "high",
        "\N{LESS-THAN OR EQUAL TO} 100",
        "> 100 and \N{LESS-THAN OR EQUAL TO} 200",
        "> 200",
    ]
    assert table["n_patients"].tolist()[1:] == [120, 120, 101, 100, 39]


def test_repetitions_are_tests_of_their_own_and_p_is_twice_their_median():
    X, y = simulate(effect=0.2)
    models = {name: MODELS[name] for name in ("Clinical Cox", "fused")}
    found = compare_models(models, X, y, RepeatedSurvivalKFold(4, 3, random_state=0), scoring="harrell")
    value = added_value(found, n_bootstrap=20)
    own = value.tests_by_repetition.query("test == 'likelihood ratio' and risk == 'fused' and beside != ''")
    assert len(own) == 3
    assert own["p"].nunique() == 3
    row = row_of(value, "fused", "Clinical Cox")
    assert row["p"] == pytest.approx(min(1, 2 * own["p"].median()))
    assert row["coef"] == pytest.approx(own["coef"].median())
    single = added_value(compare_models(models, X, y, FOLDS, scoring="harrell"), n_bootstrap=20)
    widths = [np.log(one["upper"] / one["lower"]) for one in (row, row_of(single, "fused", "Clinical Cox"))]
    assert widths[0] / widths[1] == pytest.approx(stats.norm.ppf(0.9875) / stats.norm.ppf(0.975), rel=0.1)
    assert value.subgroups["n_patients"].tolist() == [240]


def test_random_splits_that_overlap_are_repetitions():
    X, y = simulate(80)
    models = {name: MODELS[name] for name in ("Clinical Cox", "fused")}
    found = compare_models(models, X, y, ShuffleSplit(3, test_size=0.6, random_state=0), scoring="harrell")
    tested = sorted({patient for _, test in found.folds for patient in test})
    rare = pd.Series("no", X.index)
    rare.iloc[found.folds[0][1][y["event"][found.folds[0][1]]][:12]] = "yes"  # not all of whom the others test
    value = added_value(found, subgroups={"rare": rare}, n_bootstrap=20)
    assert value.tests_by_repetition["repetition"].nunique() == 3
    counts = rare.iloc[tested].value_counts()
    assert value.subgroups["n_patients"].tolist() == [len(tested), counts["no"], counts["yes"]]
    assert value.subgroups["hazard_ratio"].isna().tolist() == [False, False, True]


def test_the_effect_over_time_is_steady_where_it_is(value):
    curve = value.time_effect
    assert row_of(value, "fused", "Clinical Cox", "proportional hazards")["p"] > 0.01
    coef = row_of(value, "fused", "Clinical Cox")["coef"]
    assert ((curve["lower"] < coef) & (coef < curve["upper"])).mean() > 0.9
    assert curve["time"].is_monotonic_increasing


def test_the_same_seed_gives_the_same_and_another_other_intervals(comparison):
    one, same, other = (added_value(comparison, model="fused", n_bootstrap=50, random_state=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one.differences, same.differences)
    pd.testing.assert_frame_equal(one.subgroups, same.subgroups)
    assert (one.differences["boot_lower"] != other.differences["boot_lower"]).all()
    assert one.subgroups["c_lower"][0] != other.subgroups["c_lower"][0]


def test_a_higher_level_makes_all_intervals_wider(comparison, value):
    wide = added_value(comparison, model="fused", confidence_level=0.99, n_bootstrap=200, random_state=0)
    for name, lower, upper in (
        ("tests", "lower", "upper"),
        ("differences", "t_lower", "t_upper"),
        ("differences", "boot_lower", "boot_upper"),
        ("subgroups", "lower", "upper"),
        ("subgroups", "c_lower", "c_upper"),
        ("time_effect", "lower", "upper"),
    ):
        width, wider = ((table[upper] - table[lower]).iloc[0] for table in (getattr(value, name), getattr(wide, name)))
        assert wider > width, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": "Cox"}, "reference='Cox' is none of the models: 'Clinical Cox', 'fused', 'useless', 'nobody'"),
        ({"model": "net"}, "model='net' is none of the models"),
        ({}, "model must be named, one of 'fused', 'useless', 'nobody'"),
        ({"model": "Clinical Cox"}, "model='Clinical Cox' is the reference"),
        ({"model": "nobody"}, "The risk of the model 'nobody' is the same for all test patients"),
        ({"model": "fused", "horizons": 1000}, "horizons has 1000, but patients have events and are followed from"),
        ({"model": "fused", "thresholds": 0.2}, "thresholds needs times of interest"),
        ({"model": "fused", "cutoffs": {"age": [50]}}, "cutoffs names 'age', but subgroups has nothing"),
    ],
)
def test_wrong_arguments_are_named(comparison, arguments, message):
    with pytest.raises(ValueError, match=message):
        added_value(comparison, **arguments)


def test_patients_without_a_row_are_named(comparison):
    sex = pd.Series("f", comparison.patients)
    with pytest.raises(ValueError, match=r"Patient 'P007' is not in subgroups\['sex'\]. Add them"):
        added_value(comparison, model="fused", subgroups={"sex": sex.drop("P007")})
    with pytest.raises(ValueError, match=r"Patient 'P000' has several values in subgroups\['sex'\]"):
        added_value(comparison, model="fused", subgroups={"sex": pd.concat([sex, sex[:1]])})
    with pytest.raises(ValueError, match="Compared with upper and lower case alike 240 patients would match"):
        added_value(comparison, model="fused", subgroups={"sex": sex.rename(str.lower)})
    with pytest.raises(TypeError, match=r"subgroups\['sex'\] must be a Series whose index is the patient, got list"):
        added_value(comparison, model="fused", subgroups={"sex": ["f"] * 240})
    with pytest.raises(ValueError, match="240 different values"):
        added_value(comparison, model="fused", subgroups={"name": pd.Series(comparison.patients, comparison.patients)})


def test_a_fit_that_failed_is_named():
    models = {"Clinical Cox": Known([0]), "fused": Known([0, 1], fails=True)}
    with pytest.warns(UserWarning, match="fits failed"):
        found = compare_models(models, *simulate(80), FOLDS, scoring="harrell")
    with pytest.raises(ValueError, match=r"'fused' failed in 3 of 4 folds.*a bad day"):
        added_value(found)


def test_a_page_and_a_picture(value, tmp_path):
    page = value.to_html(tmp_path / "value.html").read_text()
    assert "Clinical Cox" in page
    assert "Subgroups: hazard ratio" in page
    assert "&lt; 0.001" in page  # and not 0.000
    assert "0.000<" not in page
    with pytest.raises(FileExistsError):
        value.to_html(tmp_path / "value.html")
    forest, effect, gains = value.plot(time_unit="years").axes
    assert [tick.get_text() for tick in forest.get_yticklabels()].count("site") == 1
    (curve,) = (line for line in effect.lines if len(line.get_xdata()) == len(value.time_effect))
    np.testing.assert_allclose(curve.get_ydata(), value.time_effect["coef"])
    diamonds = [line.get_xdata()[0] for line in gains.lines if line.get_marker() == "D"]
    assert diamonds == pytest.approx((value.differences["difference"] * [1, 1, -1, 1]).tolist())
    assert "'fused' beside 'Clinical Cox'" in repr(value)
