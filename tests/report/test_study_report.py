"""The report of a study: it says what was done, lists what is absent, and leaves the rest to the authors."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, compare_models
from sksurv_mmf.pages import Section, Text
from sksurv_mmf.portals import CohortReport, ReadReport
from sksurv_mmf.report import _study_report as study_module
from sksurv_mmf.report import baseline_table, study_report
from sksurv_mmf.report._out_of_fold import pooled_event_probability, pooled_rank
from sksurv_mmf.report._outcome import median_time
from sksurv_mmf.report._patients import _variables
from sksurv_mmf.report._study import quartiles, without_addresses
from sksurv_mmf.report._tripod import ALSO_BY_AUTHORS, ITEMS


class Words(HTMLParser):
    """Texts of a page, and its headings of the second level."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.headings, self.tag = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tag = tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())
            if self.tag == "h2":
                self.headings.append(data.strip())
                self.tag = None


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    patients = pd.Index([f"P{i:03d}" for i in range(90)], name="patient")
    X = pd.DataFrame(rng.normal(size=(90, 3)), patients, ["clinical__age", "clinical__size", "rna__TP53"])
    X.loc[patients[:9], "rna__TP53"] = np.nan
    time = rng.exponential(30 * np.exp(-X["clinical__age"])).round(2) + 0.01
    y = Surv.from_arrays(rng.random(90) < 0.7, time)
    return X, y


class Clinical(CoxPHSurvivalAnalysis):
    """Cox of the columns without missing values."""

    def fit(self, X, y):
        return super().fit(X.filter(like="clinical"), y)

    def predict(self, X):
        return super().predict(X.filter(like="clinical"))

    def predict_survival_function(self, X, return_array=False):
        return super().predict_survival_function(X.filter(like="clinical"), return_array=return_array)


@pytest.fixture(scope="module")
def comparison(data):
    groups = pd.Series([f"H{i % 9}" for i in range(90)], data[0].index)
    models = {"cox": Clinical(alpha=0.5), "<b>ridge</b>": Clinical(alpha=100.0)}
    return compare_models(models, *data, 3, groups=groups, horizons=10, reference="cox", random_state=0)


@pytest.fixture
def write(tmp_path, data, comparison):
    def write(**options):
        return study_report(tmp_path / "study.html", comparison, data[0], **options).read_text("utf-8")

    return write


def test_a_report_says_what_was_done(write, comparison):
    words = Words(write(time_unit="months"))
    text = " ".join(words.texts)
    assert "90 patients, of whom" in text
    assert "rna (1 column, known of 81 (90.0%))" in text
    assert "9 (10.0%) lack at least one modality" in text
    assert "Patients were divided into 3 folds" in text
    assert "tested once" in text
    assert "SurvivalKFold(n_splits=3" in text
    assert "The 9 groups of patients were on one side of each fold" in text
    assert "Clinical(alpha=100.0)" in text
    mean = comparison.summary().loc[("harrell", "cox"), "mean"]
    assert f"{mean:.3f}" in words.texts


def test_nothing_is_claimed_that_the_comparison_does_not_know(tmp_path, data, comparison, monkeypatch):
    monkeypatch.setattr(comparison, "design", None)
    text = study_report(tmp_path / "study.html", comparison, data[0]).read_text("utf-8")
    assert "How the folds were made is not known to this report" in text
    assert "SurvivalKFold" not in text
    assert "Parameters of the models are not known" in text
    assert "kept together" not in text


def test_scores_of_each_fold_are_there(write, comparison):
    texts = Words(write()).texts
    own = comparison.scores.query("model == 'cox' and score == 'harrell'")["value"]
    assert len(own) == 3
    assert all(f"{value:.3f}" in texts for value in own)


def test_groups_of_patients_may_be_a_function_of_their_names(data):
    X, _ = data

    def last(names):
        return [name[-1] for name in names]

    by_function, by_list = (baseline_table(X, by) for by in (last, pd.Series(last(X.index), X.index)))
    pd.testing.assert_frame_equal(by_function, by_list)


def test_code_has_no_addresses():
    code = f"f({len}, {(lambda x: x)}, {object()}, {test_code_has_no_addresses})"
    assert "0x" in code
    assert "0x" not in without_addresses(code)
    assert "test_code_has_no_addresses" in without_addresses(code)


def test_names_of_models_are_no_markup(write):
    assert "<b>ridge" not in write()


def test_what_was_not_passed_is_absent_and_listed(write):
    words = Words(write())
    titles = [heading.partition(" ")[2] for heading in words.headings]
    assert {"Cohort flow", "Attention", "External validation", "Added value"}.isdisjoint(titles)
    listed = words.texts[words.texts.index("why") :]
    for title in ["Cohort flow", "Attention", "External validation", "Added value"]:
        assert title in listed
    assert any("validation=" in text for text in listed)


def test_what_was_passed_is_there(write):
    class Judged:
        def sections(self, time_unit=None):
            return [Section("Patients of hospital 2", [Text("Forty.")])]

    index = pd.MultiIndex.from_tuples([(True, True), (False, True)], names=["rna", "outcome"])
    table = pd.DataFrame({"patients": [90, 7], "events": [50, 3]}, index=index)
    read = ReadReport("rna", {"patients": 90, "samples": 95}, ["Genes are in rows."])
    cohort = CohortReport(table, {"rna": read}, 90, "inner")
    more = [Section("Maps", [Text("Of attention.")])]
    words = Words(write(cohort=cohort, validation=Judged(), added_value=Judged(), more=more))
    titles = [heading.partition(" ")[2] for heading in words.headings]
    assert {"Cohort flow", "External validation", "Added value", "Maps"} <= set(titles)
    text = " ".join(words.texts)
    assert "97 patients are in at least one of the files" in text
    assert "90 are in the comparison; 7 are not" in text
    assert "Genes are in rows." in text
    assert text.count("Forty.") == 2


def test_attention_is_that_of_the_model(tmp_path, cohort):
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=2, random_state=0)
    comparison = compare_models({"net": model}, cohort.X, cohort.y, 2, scoring="harrell", random_state=0)
    model.fit(cohort.X, cohort.y)
    page = study_report(tmp_path / "study.html", comparison, cohort.X, model=model).read_text("utf-8")
    mean = model.modality_attention(cohort.X)["wsi"].mean()
    assert f'<th scope="row">wsi</th><td>{mean:.3f}</td>' in page
    assert "bags of tiles" in page
    assert "does not weigh modalities" in study_report(
        tmp_path / "other.html", comparison, cohort.X, model=CoxPHSurvivalAnalysis().fit(np.eye(30)[:, :2], cohort.y)
    ).read_text("utf-8")


class TestTripod:
    def test_all_parts_of_the_27_items_are_there_once(self):
        numbers = [number for number, *_ in ITEMS]
        assert len(numbers) == len(set(numbers)) == 52
        assert list(dict.fromkeys(int(re.match(r"\d+", number)[0]) for number in numbers)) == list(range(1, 28))
        assert ALSO_BY_AUTHORS.keys() <= set(numbers)

    def test_items_point_to_sections_that_are_there(self, write):
        words = Words(write())
        table = words.texts[words.texts.index("what to report") :]
        pointed = {one for text in table for one in text.split("; ") if one.startswith("Section ")}
        pointed = {one.removeprefix("Section ").replace(",", "", 1) for one in pointed}
        assert pointed
        assert pointed <= set(words.headings)

    def test_what_no_section_answers_is_left_to_the_authors(self, write):
        page = write()
        rows = {match[1]: match[0] for match in re.finditer(r'<tr><th scope="row">(\d+[a-g]?)</th>.*?</tr>', page)}
        assert "text authors" in rows["18a"]
        assert "Filled in" not in rows["18a"]
        assert "Filled in" in rows["20a"]
        assert "90 patients" in rows["20a"]


class TestPooling:
    def test_ranks_do_not_see_the_scale_of_a_fold(self, comparison, monkeypatch):
        before = pooled_rank(comparison, "cox")
        risks = comparison.risks.copy()
        risks["risk_score"] = np.exp(risks["risk_score"]) * (1 + 5 * risks["fold"]) + risks["fold"]
        monkeypatch.setattr(comparison, "risks", risks)
        pd.testing.assert_series_equal(pooled_rank(comparison, "cox"), before)
        assert before.between(0, 1).all()

    def test_probabilities_of_repetitions_are_averaged(self, data):
        cv = RepeatedSurvivalKFold(n_splits=3, n_repeats=2, random_state=0)
        comparison = compare_models({"cox": Clinical(alpha=0.5)}, *data, cv, scoring="harrell", random_state=0)
        pooled = pooled_event_probability(comparison, "cox", 10)
        own = [1 - curve(10) for (_, patient), curve in comparison.survival["cox"].items() if patient == "P005"]
        assert len(own) == 2
        assert pooled["P005"] == pytest.approx(np.mean(own), rel=1e-12)

    def test_nothing_is_made_up_behind_the_curves(self, comparison):
        assert pooled_event_probability(comparison, "cox", 1e6) is None


def test_follow_up_is_that_of_reversed_kaplan_meier():
    event = np.array([True, False, True, False, False, False])
    time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    # With distinct times the curve of censoring is Kaplan-Meier's with the events taken for the censored.
    times, survival = kaplan_meier_estimator(~event, time)
    assert median_time(event, time, reverse=True) == times[survival <= 0.5][0] == 5.0
    assert np.isnan(median_time(np.array([True, False, False]), np.array([1.0, 2.0, 3.0])))


class TestBaseline:
    PATIENTS = pd.DataFrame(
        {
            "age": [40.0, 50.0, 60.0, np.nan],
            "sex": ["f", "m", "f", None],
            "er": [0.0, 1.0, 1.0, np.nan],
            "<i>": [True, False, True, True],
        },
        list("ABCD"),
    )

    def test_numbers_have_quartiles_and_categories_counts(self):
        table = baseline_table(self.PATIENTS)["All (n = 4)"]
        assert table["age", "median [IQR]"] == "50 [45, 55]"
        assert table["age", "missing"] == "1 (25.0%)"
        assert table["sex", "f"] == "2 (66.7%)"  # of those of whom it is known
        assert table["er", "1"] == "2 (66.7%)"
        assert table["<i>", "True"] == "3 (75.0%)"
        assert ("<i>", "missing") not in table

    def test_groups_go_by_the_index(self):
        by = pd.Series({"D": "north", "C": "south", "B": "south", "A": "north"})
        table = baseline_table(self.PATIENTS, by)
        assert list(table.columns) == ["All (n = 4)", "north (n = 2)", "south (n = 2)"]
        assert table.loc[("age", "median [IQR]"), "south (n = 2)"] == "55 [52.5, 57.5]"

    def test_rare_values_are_counted_together(self):
        table = baseline_table(pd.DataFrame({"site": [*"aabbccddeeffgghhiijj", *map(str, range(10))]}))
        shown = table.loc["site"]["All (n = 30)"]
        assert len(shown) == 12
        assert shown["9 other values"] == "9 (30.0%)"

    def test_who_has_no_group_is_said(self):
        with pytest.raises(ValueError, match="by must have one group for each patient, but it lacks 'D'"):
            baseline_table(self.PATIENTS, pd.Series({"A": 1, "B": 1, "C": 2}))


class InMonths:
    """Like a validation."""

    time_unit = "months"

    def sections(self):
        return [Section("Patients of hospital 2", [Text("Forty.")])]


@pytest.mark.parametrize("unit", [None, "months"])
def test_a_validation_in_the_same_unit_is_taken(write, unit):
    page = write(validation=InMonths(), time_unit=unit)
    assert "Forty." in page
    assert "that no model has seen them is for the authors to state" in page


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"horizons": 1e9}, ValueError, "horizons must lie between the first event and the last time"),
        ({"show": ["net"]}, ValueError, "show must be names of models, of 'cox'"),
        ({"validation": "good"}, TypeError, r"validation must have a method sections\(\), as Validation has, got str"),
        ({"clinical": pd.DataFrame({"age": [1]}, ["P000"])}, ValueError, "are not in clinical"),
        ({"n_groups": 1}, ValueError, "n_groups"),
        ({"validation": InMonths(), "time_unit": "days"}, ValueError, "validation was made with time_unit='months'"),
    ],
)
def test_wrong_arguments_are_refused(write, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        write(**options)
    assert list(tmp_path.iterdir()) == []


def test_other_patients_are_refused(data, comparison, tmp_path):
    X = data[0]
    with pytest.raises(ValueError, match="it lacks 'P089'"):
        study_report(tmp_path / "study.html", comparison, X.iloc[:-1])
    with pytest.raises(ValueError, match="it has 'Q' beside them"):
        study_report(tmp_path / "study.html", comparison, pd.concat([X, X.iloc[:1].set_axis(["Q"])]))


def test_patients_are_matched_by_name(data, comparison, tmp_path):
    pages = [
        study_report(tmp_path / f"{i}.html", comparison, X, figures=tmp_path / f"figures{i}").read_text("utf-8")
        for i, X in enumerate([data[0], data[0].iloc[::-1]])
    ]
    assert pages[0] == pages[1]


def test_a_report_is_replaced_only_if_told_so(write):
    write()
    with pytest.raises(FileExistsError, match="choose another path or pass overwrite=True to replace it"):
        write()
    write(overwrite=True)


def test_figures_of_an_earlier_report_are_seen_before_anything_is_made(write, tmp_path, monkeypatch):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure_9.png").write_text("mine")
    monkeypatch.setattr(study_module, "_all_sections", lambda *_: pytest.fail("sections were made"))
    with pytest.raises(FileExistsError, match=r"has 'figure_9\.png' already\. Choose .*, or pass overwrite=True"):
        write(figures=tmp_path / "figures")


def test_a_group_called_all_and_missing_groups_hide_nobody():
    ages = pd.DataFrame({"age": [1.0, 2.0, 3.0, 4.0]}, list("ABCD"))
    table = baseline_table(ages, pd.Series(["All", "b", None, "b"], list("ABCD"), dtype="string"))
    assert list(table) == ["All (n = 4)", "All (n = 1)", "b (n = 2)"]
    assert quartiles([999.6] * 3) == "1000 [1000, 1000]"


def test_variables_of_one_name_stay_apart(data):
    X, _ = data
    X = X.filter(like="clinical").iloc[:, :1]
    name = X.columns[0].partition("__")[2]
    X = X.assign(**{f"ct__{name}": np.arange(len(X))})
    study = SimpleNamespace(X=X, clinical=None, modalities={"clinical": [X.columns[0]], "ct": [X.columns[1]]})
    variables, skipped = _variables(study)
    assert list(variables) == list(X)
    assert not skipped
