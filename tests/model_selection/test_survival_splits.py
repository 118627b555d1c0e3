"""Published folds come back patient by patient, and nobody is lost or tested on what was trained on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, cross_val_score
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf.datasets import PublishedSplits, read_survival_splits, write_survival_splits
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold

PATIENTS = ["TCGA-18-3406", "TCGA-18-3407", "TCGA-18-3408", "TCGA-18-3412", "TCGA-22-1011"]

# As the files of PORPOISE are: a column without a name that counts the rows, and no patient where a column has ended.
FOLD_0 = ",train,val\n0,TCGA-18-3406,TCGA-18-3412\n1,TCGA-18-3407,TCGA-22-1011\n2,TCGA-18-3408,\n"
FOLD_1 = ",train,val\n0,TCGA-18-3412,TCGA-18-3406\n1,TCGA-22-1011,TCGA-18-3407\n2,,TCGA-18-3408\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "splits_0.csv").write_text(FOLD_0)
    (tmp_path / "splits_1.csv").write_text(FOLD_1)
    return tmp_path


@pytest.fixture
def rewritten(folder):
    """The folder with another file for the second fold."""

    def rewrite(text):
        (folder / "splits_1.csv").write_text(text)
        return folder

    return rewrite


class TestReading:
    def test_patients_are_found_whatever_their_order(self, folder):
        X = pd.DataFrame({"age": range(5)}, index=PATIENTS)
        cv = read_survival_splits(folder, X)
        assert cv.get_n_splits() == 2
        for table in (X, X.iloc[::-1], X.iloc[[2, 4, 0, 1, 3]]):
            (train, test), (train_1, test_1) = [tuple(table.index[rows] for rows in fold) for fold in cv.split(table)]
            assert sorted(train) == sorted(test_1) == PATIENTS[:3]
            assert sorted(test) == sorted(train_1) == PATIENTS[3:]

    def test_a_table_without_patients_has_them_in_the_given_order(self, folder):
        cv = read_survival_splits(folder, PATIENTS)
        folds = [(train.tolist(), test.tolist()) for train, test in cv.split(np.zeros((5, 1)))]
        assert folds == [([0, 1, 2], [3, 4]), ([3, 4], [0, 1, 2])]

    def test_patients_may_be_numbers(self, tmp_path):
        (tmp_path / "splits_0.csv").write_text(",train,val\n0,2,16\n1,8,\n")
        X = pd.DataFrame({"age": [1, 2, 3]}, index=[16, 8, 2])
        ((train, test),) = read_survival_splits(tmp_path, X).split(X)
        assert (train.tolist(), test.tolist()) == ([2, 1], [0])

    def test_ten_folds_come_in_order_and_other_files_are_ignored(self, tmp_path):
        for fold in range(11):
            test = PATIENTS[fold % 5]
            rest = [name for name in PATIENTS if name != test]
            table = pd.DataFrame({"train": pd.Series(rest), "val": pd.Series([test])})
            table.to_csv(tmp_path / f"splits_{fold}.csv")
        (tmp_path / "splits_0_bool.csv").write_text("nothing of this")
        folds = read_survival_splits(tmp_path, PATIENTS).folds
        assert [test for _, test in folds] == [[PATIENTS[fold % 5]] for fold in range(11)]

    def test_slides_belong_to_patients(self, rewritten):
        slides = FOLD_1.replace("TCGA-18-3412", "TCGA-18-3412-01Z-00-DX1").replace("2,,", "2,TCGA-18-3412-01Z-00-DX2,")
        cv = read_survival_splits(rewritten(slides), PATIENTS, patient_of=lambda slide: slide[:12])
        assert cv.folds[1] == (PATIENTS[3:], PATIENTS[:3])

    def test_columns_have_other_names(self, tmp_path):
        (tmp_path / "splits_0.csv").write_text("train,val,test\nTCGA-18-3406,TCGA-18-3407,TCGA-18-3408\n")
        cv = read_survival_splits(tmp_path, PATIENTS[:3], train=["train", "val"], test="test")
        assert cv.folds == [(PATIENTS[:2], PATIENTS[2:3])]


class TestWhatDoesNotMatch:
    def test_strangers_are_named(self, folder):
        with pytest.raises(ValueError, match=r"splits_0\.csv names 2 of 5 .* 'TCGA-18-3406', 'TCGA-22-1011'\."):
            read_survival_splits(folder, PATIENTS[1:4])

    def test_those_left_out_are_named(self, folder):
        with pytest.raises(ValueError, match=r"does not name 1 of the 6 patients of the cohort: 'Zoe'\. .*'warn'"):
            read_survival_splits(folder, [*PATIENTS, "Zoe"])

    @pytest.mark.filterwarnings("always")
    def test_both_are_left_out_with_a_word(self, folder):
        cohort = [*PATIENTS[1:], "Zoe"]
        with pytest.warns(UserWarning, match="left out of this fold") as caught:
            cv = read_survival_splits(folder, cohort, on_mismatch="warn")
        words = [str(one.message) for one in caught]
        assert len(words) == 4  # two for each fold
        assert "'TCGA-18-3406'" in words[0]
        assert "'Zoe'" in words[1]
        assert cv.folds == [(PATIENTS[1:3], PATIENTS[3:]), (PATIENTS[3:], PATIENTS[1:3])]
        X = pd.DataFrame({"age": range(5)}, index=cohort)
        assert all(4 not in rows for fold in cv.split(X) for rows in fold)

    @pytest.mark.filterwarnings("always")
    def test_a_cohort_with_nobody_in_common(self, folder):
        nobody = pytest.raises(ValueError, match="leaves nobody of the cohort to train on")
        with pytest.warns(UserWarning, match="left out of this fold"), nobody:
            read_survival_splits(folder, ["Ann", "Bea"], on_mismatch="warn")

    def test_training_on_those_who_are_tested(self, rewritten):
        with pytest.raises(ValueError, match=r"splits_1\.csv trains and tests on the same patients: 'TCGA-22-1011'"):
            read_survival_splits(rewritten(FOLD_1 + "3,,TCGA-22-1011\n"), PATIENTS)

    def test_slides_of_one_patient_on_both_sides(self, rewritten):
        folder = rewritten(FOLD_1 + "3,TCGA-18-3406-01Z-00-DX2,\n")
        with pytest.raises(ValueError, match="same patients: 'TCGA-18-3406'"):
            read_survival_splits(folder, PATIENTS, patient_of=lambda slide: slide[:12])

    def test_a_patient_twice(self, rewritten):
        with pytest.raises(ValueError, match=r"repeats 'TCGA-22-1011'\. .*slides, pass patient_of"):
            read_survival_splits(rewritten(FOLD_1 + "3,TCGA-22-1011,\n"), PATIENTS)

    def test_another_column(self, rewritten):
        with pytest.raises(ValueError, match=r"splits_1\.csv has no column 'val', only 'train', 'test'"):
            read_survival_splits(rewritten(FOLD_1.replace("val", "test")), PATIENTS)

    def test_files_that_are_absent(self, folder, tmp_path_factory):
        with pytest.raises(FileNotFoundError, match=r"no files splits_0\.csv"):
            read_survival_splits(tmp_path_factory.mktemp("empty"), PATIENTS)
        (folder / "splits_3.csv").write_text(FOLD_0)
        with pytest.raises(FileNotFoundError, match=r"lacks splits_2\.csv, but has splits_3\.csv"):
            read_survival_splits(folder, PATIENTS)

    def test_patients_of_the_cohort_twice(self, folder):
        with pytest.raises(ValueError, match="patients are repeated: 'TCGA-18-3406'"):
            read_survival_splits(folder, [*PATIENTS, PATIENTS[0]])

    def test_another_table_at_the_split(self, folder):
        cv = read_survival_splits(folder, PATIENTS)
        for X in (pd.DataFrame({"age": range(4)}, index=PATIENTS[1:]), np.zeros((4, 1))):
            with pytest.raises(ValueError, match=r"for other patients than those of X: ('TCGA-18-3406'|4 instead)"):
                list(cv.split(X))


class TestWriting:
    @pytest.mark.parametrize("cv", [SurvivalKFold(3), RepeatedSurvivalKFold(3, 2, random_state=0), KFold(4)])
    def test_what_is_written_is_read(self, cohort, tmp_path, cv):
        write_survival_splits(cv, cohort.X, cohort.y, tmp_path / "folds")
        again = read_survival_splits(tmp_path / "folds", cohort.X)
        for fold, expected in zip(again.split(cohort.X), cv.split(cohort.X, cohort.y), strict=True):
            for rows, expected_rows in zip(fold, expected):
                np.testing.assert_array_equal(rows, expected_rows)

    def test_the_file_is_as_published_ones(self, tmp_path):
        X = pd.DataFrame({"age": range(5)}, index=PATIENTS)
        cv = [([0, 1, 2], [3, 4]), ([3, 4], [0, 1, 2])]
        write_survival_splits(cv, X, np.zeros(5), tmp_path)
        assert [(tmp_path / f"splits_{fold}.csv").read_text() for fold in (0, 1)] == [FOLD_0, FOLD_1]

    def test_scores_are_those_of_the_folds(self, cohort, tmp_path):
        X = cohort.X.drop(columns="wsi__tiles")
        write_survival_splits(SurvivalKFold(3), X, cohort.y, tmp_path)
        model = CoxPHSurvivalAnalysis(alpha=1)
        expected = cross_val_score(model, X, cohort.y, cv=SurvivalKFold(3))
        order = np.random.default_rng(0).permutation(len(X))
        cv = read_survival_splits(tmp_path, X)
        np.testing.assert_array_equal(cross_val_score(model, X, cohort.y, cv=cv), expected)
        np.testing.assert_allclose(cross_val_score(model, X.iloc[order], cohort.y[order], cv=cv), expected)

    def test_folds_are_replaced_only_when_asked(self, folder):
        X = pd.DataFrame({"age": range(5)}, index=PATIENTS)
        with pytest.raises(FileExistsError, match=r"has splits_[01]\.csv already.*overwrite=True"):
            write_survival_splits([([0, 1, 2], [3, 4])], X, np.zeros(5), folder)
        others = {folder / "splits_0.csv.bak", folder / "splits_0_bool.csv"}
        for file in others:
            file.touch()
        write_survival_splits([([0, 1, 2], [3, 4])], X, np.zeros(5), folder, overwrite=True)
        assert set(folder.iterdir()) == {folder / "splits_0.csv", *others}
        assert len(read_survival_splits(folder, X).folds) == 1

    def test_patients_twice(self, tmp_path):
        X = pd.DataFrame({"age": range(2)}, index=["Ann", "Ann"])
        with pytest.raises(ValueError, match="Patients of X are repeated: 'Ann'"):
            write_survival_splits([([0], [1])], X, np.zeros(2), tmp_path)


def test_the_splitter_shows_what_it_is(folder):
    assert isinstance(read_survival_splits(folder, PATIENTS), PublishedSplits)
    assert repr(PublishedSplits([(["Ann"], ["Bea"])], ["Ann", "Bea"])).startswith("PublishedSplits(folds=")
