"""Folds in the layouts of CLAM and MMP, and files that are no tables."""

import os
import tracemalloc

import pytest

from sksurv_mmf.datasets import read_survival_splits

PATIENTS = [f"TCGA-2F-A9K{letter}" for letter in "ABCDEF"]
MMP_HEAD = "case_id,slide_id,os_survival_days"


def mmp_rows(patients):
    """Two slides of each patient."""
    return [f'{one},"{one}-01Z-00-DX{n}.{n}f",7.0' for one in patients for n in (1, 2)]


def write_mmp(folder, prefix="TCGA_BLCA_overall_survival_", folds=2, with_val=False):
    for fold in range(folds):
        place = folder / f"{prefix}k={fold}"
        place.mkdir()
        rest = [one for i, one in enumerate(PATIENTS) if i % folds != fold]
        sides = {"train": rest[1:] if with_val else rest, "test": PATIENTS[fold::folds]}
        for side, own in (sides | ({"val": rest[:1]} if with_val else {})).items():
            (place / f"{side}.csv").write_text("\n".join([MMP_HEAD, *mmp_rows(own)]) + "\n")


CLAM = ",train,val,test\n0,A-1,C-1,E-1\n1,A-2,D-1,F-1\n2,B-1,,\n"
CLAM_BOOL = ",train,val,test\nA-1,True,False,False\nA-2,True,False,False\nB-1,True,False,False\n"
CLAM_BOOL += "C-1,False,True,False\nD-1,False,True,False\nE-1,False,False,True\nF-1,False,False,True\n"


class TestMMP:
    @pytest.mark.parametrize("prefix", ["", "TCGA_BLCA_overall_survival_"])
    def test_folders_of_folds(self, tmp_path, prefix):
        write_mmp(tmp_path, prefix)
        expected = [(PATIENTS[1::2], PATIENTS[::2]), (PATIENTS[::2], PATIENTS[1::2])]
        assert read_survival_splits(tmp_path, PATIENTS).folds == expected
        one = read_survival_splits(tmp_path / f"{prefix}k=1", PATIENTS)
        assert one.folds == expected[1:]

    def test_slides_make_patients(self, tmp_path):
        write_mmp(tmp_path)
        cv = read_survival_splits(tmp_path, PATIENTS, patient_of=lambda slide: slide[:12])
        assert cv.folds[0] == (PATIENTS[1::2], PATIENTS[::2])

    def test_several_cohorts_are_told_apart(self, tmp_path):
        write_mmp(tmp_path, "BLCA_")
        write_mmp(tmp_path, "BRCA_")
        with pytest.raises(ValueError, match=r"has folds of 'BLCA', 'BRCA'\. Choose one: pass '.*BLCA'"):
            read_survival_splits(tmp_path, PATIENTS)
        assert read_survival_splits(tmp_path / "BRCA", PATIENTS).get_n_splits() == 2

    def test_validation_files_are_not_dropped_in_silence(self, tmp_path):
        write_mmp(tmp_path, with_val=True)
        message = r"k=0 has 1 patients under 'val', who are neither .* 1 other places.*train=\['train', 'val'\]"
        with pytest.warns(UserWarning, match=message) as caught:
            cv = read_survival_splits(tmp_path, PATIENTS)
        assert [warning.filename for warning in caught] == [__file__]
        assert cv.folds[0] == (PATIENTS[3::2], PATIENTS[::2])
        cv = read_survival_splits(tmp_path, PATIENTS, train=["train", "val"])
        assert [sorted(train) for train, _ in cv.folds] == [PATIENTS[1::2], PATIENTS[::2]]

    def test_what_is_absent_is_named(self, tmp_path):
        write_mmp(tmp_path, folds=3)
        (tmp_path / "TCGA_BLCA_overall_survival_k=2" / "test.csv").unlink()
        with pytest.raises(ValueError, match=r"k=2 has no file test\.csv, only 'train'"):
            read_survival_splits(tmp_path, PATIENTS)
        for file in (tmp_path / "TCGA_BLCA_overall_survival_k=1").iterdir():
            file.unlink()
        with pytest.raises(FileNotFoundError, match=r"lacks TCGA_BLCA_overall_survival_k=1, but has .*k=2"):
            read_survival_splits(tmp_path, PATIENTS)

    def test_a_table_without_patients(self, tmp_path):
        (tmp_path / "k=0").mkdir()
        for side in ("train", "test"):
            (tmp_path / "k=0" / f"{side}.csv").write_text("name,age\nAnn,7\n")
        with pytest.raises(ValueError, match=r"train\.csv has no column 'case_id' or .*, only 'name', 'age'"):
            read_survival_splits(tmp_path, PATIENTS)


class TestCLAM:
    SLIDES = ["A-1", "A-2", "B-1", "C-1", "D-1", "E-1", "F-1"]

    @pytest.mark.parametrize(("name", "text"), [("splits_0.csv", CLAM), ("splits_0_bool.csv", CLAM_BOOL)])
    def test_three_sides(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / "splits_0_descriptor.csv").write_text(",train,val,test\nnormal,2,1,1\n")
        expected = [(["A-1", "A-2", "B-1", "C-1", "D-1"], ["E-1", "F-1"])]
        assert read_survival_splits(tmp_path, self.SLIDES, train=["train", "val"]).folds == expected
        by_patient = read_survival_splits(
            tmp_path, list("ABCDEF"), train=["train", "val"], patient_of=lambda slide: slide[0]
        )
        assert by_patient.folds == [(list("ABCD"), list("EF"))]
        with pytest.warns(UserWarning, match=r"has 2 patients under 'val', who are neither .* 'C-1', 'D-1'"):
            assert read_survival_splits(tmp_path, self.SLIDES).folds == [(["A-1", "A-2", "B-1"], ["E-1", "F-1"])]

    def test_an_empty_third_column_is_none(self, tmp_path):
        (tmp_path / "splits_0.csv").write_text(",train,val,test\n0,A,C,\n1,B,,\n")
        assert read_survival_splits(tmp_path, list("ABC")).folds == [(["A", "B"], ["C"])]

    def test_slides_in_place_of_patients_are_recognised(self, tmp_path):
        (tmp_path / "splits_0.csv").write_text(CLAM)
        with pytest.raises(ValueError, match=r"5 of 5 .* 5 begin as patients .* patient_of=lambda slide: slide\[:1\]"):
            read_survival_splits(tmp_path, list("ABCDEF"))

    def test_the_first_fold_decides_for_all(self, tmp_path):
        (tmp_path / "splits_0.csv").write_text("train,val\nA,B\n")
        (tmp_path / "splits_1.csv").write_text("train,val,test\nA,,B\n")
        with pytest.raises(ValueError, match=r"splits_1\.csv"):
            read_survival_splits(tmp_path, ["A", "B"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ways_to_write_a_table(tmp_path, separator, quote, encoding, end):
    rows = [["", "train", "val"], ["0", "Müller", "Ann"], ["1", "Bea", ""]]
    text = end.join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows) + end
    (tmp_path / "splits_0.csv").write_bytes(text.encode(encoding))
    assert read_survival_splits(tmp_path, ["Müller", "Bea", "Ann"]).folds == [(["Müller", "Bea"], ["Ann"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (",train,val\n0,A,B\n".encode("utf-16"), r"is text in UTF-16.*'utf-16'"),
        (",train,val\n0,A,B\n".encode("utf-16-le"), "zero bytes.*UTF-16"),
        (",train,val\n0,\u00fc,B\n".encode("latin-1"), "is no text in UTF-8"),
        (bytes(range(256)), "no text|zero bytes"),
        (b"\x1f\x8b" + bytes(100), "damaged gzip file|zero bytes"),
        (b"PK\3\4" + bytes(100), "zero bytes"),
        (b",train,val\n0,A,B,C\n", "3 columns, but a line with 4 cells: '0', 'A', 'B' and 1 more"),
        (b",train,train\n0,A,B\n", "several columns 'train'"),
        (b"name\nA\n", "has no column 'train', only 'name'"),
        (b'train,val\nA,"B\n', "is no table of names"),
        (b"A" * 10_000_100, "line of more than 10000000 characters"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    (tmp_path / "splits_0.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"splits_0\.csv.*({message})"):
        read_survival_splits(tmp_path, ["A", "B"])


def test_pipes_and_folders_are_named(tmp_path):
    os.mkfifo(tmp_path / "splits_0.csv")
    with pytest.raises(ValueError, match=r"splits_0\.csv' is a named pipe; a regular file is expected"):
        read_survival_splits(tmp_path, ["A", "B"])
    (tmp_path / "splits_0.csv").unlink()
    (tmp_path / "splits_0.csv").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a device"):
        read_survival_splits(tmp_path, ["A", "B"])
    (tmp_path / "splits_0.csv").unlink()
    (tmp_path / "splits_0.csv").mkdir()
    with pytest.raises(ValueError, match=r"splits_0\.csv' is a folder; a regular file is expected"):
        read_survival_splits(tmp_path, PATIENTS)


def test_a_hole_of_a_terabyte_is_not_read(tmp_path):
    (tmp_path / "splits_0.csv").touch()
    os.truncate(tmp_path / "splits_0.csv", 2**40)
    with pytest.raises(ValueError, match=r"splits_0\.csv has 1099511627776 bytes"):
        read_survival_splits(tmp_path, ["A", "B"])


@pytest.mark.parametrize("name", ["splits_20240101.csv", "splits_999999999.csv"])
def test_a_date_in_a_name_takes_no_memory(tmp_path, name):
    (tmp_path / name).write_text("train,val\nA,B\n")
    tracemalloc.start()
    with pytest.raises(FileNotFoundError, match=rf"lacks splits_0\.csv, but has {name}"):
        read_survival_splits(tmp_path, ["A", "B"])
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_one_fold_in_two_files(tmp_path):
    for name in ("splits_0.csv", "splits_00.csv"):
        (tmp_path / name).write_text("train,val\nA,B\n")
    with pytest.raises(ValueError, match=r"has fold 0 twice: splits_0\.csv and splits_00\.csv"):
        read_survival_splits(tmp_path, ["A", "B"])


def test_patients_that_are_written_otherwise_are_recognised(tmp_path):
    (tmp_path / "splits_0.csv").write_text("train,val\nA_1,B_2\n")
    with pytest.raises(ValueError, match=r"Of file and cohort, .* 2 patients would match: undo it by patient_of"):
        read_survival_splits(tmp_path, ["a-1", "b-2"])
