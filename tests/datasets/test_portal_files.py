"""The files of a made-up download are read by the readers, and hold what makes real ones hard."""

import h5py
import pandas as pd
import pytest

from sksurv_mmf import read_bags
from sksurv_mmf.datasets import write_portal_files
from sksurv_mmf.portals import read_cohort


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_portal_files(tmp_path_factory.mktemp("portal"))


@pytest.mark.filterwarnings("ignore:3 of 150 patients have no outcome")
def test_the_readers_make_a_cohort_of_them(files):
    X, y, report = read_cohort({"wsi": read_bags(files.features), "rna": files.expression}, files.clinical, how="outer")
    assert len(X) == 147
    assert X["wsi__tiles"].isna().sum() == 15
    assert report.reports["rna"].numbers["patients"] == 150
    assert any("normal tissue" in note for note in report.reports["rna"].notes)
    clinical = pd.read_csv(files.clinical, sep="\t", comment="#", index_col="PATIENT_ID").loc[X.index]
    assert (y["event"] == (clinical["OS_STATUS"] == "1:DECEASED")).all()
    assert clinical["GRADE"].isna().any()


def test_two_slides_have_the_tiles_of_one_bag(files):
    names = sorted(path.name for path in files.features.iterdir())
    two = [name for name in names if name.endswith("DX2.h5")]
    assert two
    one = files.features / two[0].replace("DX2", "DX1")
    with h5py.File(one) as first, h5py.File(files.features / two[0]) as second:
        assert 0 <= len(first["features"]) - len(second["features"]) <= 1
        assert len(first["coords"]) == len(first["features"])


def test_they_are_the_same_each_time(files, tmp_path):
    again = write_portal_files(tmp_path)
    for name in ("expression", "clinical", "other_hospital"):
        assert again[name].read_bytes() == files[name].read_bytes()
