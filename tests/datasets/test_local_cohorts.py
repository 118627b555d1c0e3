"""Loaders of cohorts that lie in a folder: on a small folder made here, and on the real one where it is present."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.datasets import load_lung_mif, load_tcga_nsclc
from sksurv_mmf.datasets._local import read_parquet

REAL = Path(os.environ.get("SKSURV_MMF_DATA", Path(__file__).parents[3] / "shared" / "data"))


def real(folder):
    return pytest.mark.skipif(not (REAL / folder).is_dir(), reason=f"{folder} is not in $SKSURV_MMF_DATA")


@pytest.fixture
def small_tcga(tmp_path):
    """Five patients with slides, one of them of the other cohort; RNA of some of them and of a stranger."""
    folder = tmp_path / "tcga_nsclc"
    folder.mkdir()
    pd.DataFrame(
        {
            "cohort": ["LUAD", "LUAD", "LUAD", "LUAD", "LUSC"],
            "age": [60, np.nan, 70, 50, 40],
            "sex": ["MALE", "FEMALE", "FEMALE", "MALE", "MALE"],
            "stage": [1, 2, 3, 4, 1],
            "os": [1, 0, 1, np.nan, 1],
            "os_time": [100, 200, 0, 300, 10],
        },
        index=pd.Index(list("abcde"), name="patient"),
    ).to_csv(folder / "clinical.csv")
    np.savez(
        folder / "hif_bags.npz",
        patient=np.array(list("badec")),
        offsets=np.array([0, 1, 4, 5, 6, 8]),
        features=np.arange(16, dtype=np.float32).reshape(8, 2),
        feature_name=np.array(["area", "count"]),
        region=np.array(list("TSTETSTE")),
        slide=np.array([1, 2, 2, 3, 4, 5, 6, 6]),
    )
    genes = pd.DataFrame(
        {"TP53": [0.5, 1.5, 2.5], "ONLYLUSC": [np.nan, np.nan, 3.0]}, index=pd.Index(list("axe"), name="patient")
    )
    genes.to_parquet(folder / "rnaseq.parquet")
    return tmp_path


def test_modalities_are_joined_on_the_patient_and_gaps_stay(small_tcga):
    cohort = load_tcga_nsclc(small_tcga)
    assert list(cohort.X.index) == ["a", "b"]
    assert cohort.y.tolist() == [(True, 100.0), (False, 200.0)]
    # the bags file lists b before a
    np.testing.assert_array_equal(cohort.X.loc["a", "wsi__tiles"].features, [[2, 3], [4, 5], [6, 7]])
    np.testing.assert_array_equal(cohort.X.loc["b", "wsi__tiles"].features, [[0, 1]])
    np.testing.assert_array_equal(cohort.X["rna__TP53"], [0.5, np.nan])
    np.testing.assert_array_equal(
        cohort.X[["clinical__age", "clinical__sex", "clinical__stage"]], [[60, 1, 1], [np.nan, 0, 2]]
    )
    assert cohort.tile_feature_names == ["area", "count"]
    assert cohort.tiles.loc["a", "region"].to_list() == list("STE")
    assert cohort.tiles.loc[("b", 0), "slide"] == 1


def test_nobody_and_no_column_leaves_silently(small_tcga):
    cohort = load_tcga_nsclc(small_tcga)
    assert cohort.excluded.to_dict() == {
        "c": "time is zero or negative",
        "d": "unknown outcome",
        "x": "unknown outcome",
    }
    assert cohort.dropped_columns == ["rna__ONLYLUSC"]
    only_rna = load_tcga_nsclc(small_tcga, modalities=["rna"])
    assert list(only_rna.X.index) == ["a"]
    assert only_rna.excluded["b"] == "no modality"


def test_the_environment_variable_names_the_folder(small_tcga, monkeypatch):
    monkeypatch.setenv("SKSURV_MMF_DATA", str(small_tcga))
    assert len(load_tcga_nsclc().X) == 2
    assert len(load_tcga_nsclc(cohort="LUSC").X) == 1


def test_absent_data_are_explained(tmp_path, monkeypatch):
    monkeypatch.delenv("SKSURV_MMF_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"pass data_home, or set the environment variable SKSURV_MMF_DATA"):
        load_tcga_nsclc()
    with pytest.raises(FileNotFoundError, match=r"lacks clinical.csv, tile_bags.npz. Check data_home"):
        load_lung_mif(tmp_path)
    monkeypatch.setenv("SKSURV_MMF_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Check the environment variable SKSURV_MMF_DATA"):
        load_lung_mif()


def test_absent_pyarrow_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"Reading rnaseq\.parquet needs pyarrow.*pip install 'sksurv_mmf\[data\]'"):
        read_parquet(Path("rnaseq.parquet"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cohort": "BRCA"}, "cohort"),
        ({"endpoint": "rfs"}, "endpoint"),
        ({"modalities": ["wsi", "mri"]}, "got \\['wsi', 'mri'\\]"),
        ({"modalities": []}, "modalities must be different names"),
    ],
)
def test_bad_parameters_are_refused(small_tcga, parameters, message):
    with pytest.raises(ValueError, match=message):
        load_tcga_nsclc(small_tcga, **parameters)


@real("tcga_nsclc")
@pytest.mark.parametrize(("name", "n_patients", "n_deaths"), [("LUAD", 434, 153), ("LUSC", 405, 179)])
def test_real_tcga_cohorts(name, n_patients, n_deaths):
    cohort = load_tcga_nsclc(REAL, cohort=name)
    assert (len(cohort.X), cohort.y["event"].sum()) == (n_patients, n_deaths)
    genes = cohort.X[cohort.modalities["rna"]].isna()
    # a patient has all genes or none
    assert (genes.any(axis=1) == genes.all(axis=1)).all()
    assert cohort.X["wsi__tiles"].notna().all()
    assert cohort.X["wsi__tiles"].array.n_features == 113 == len(cohort.tile_feature_names)
    np.testing.assert_array_equal(cohort.tiles.groupby("patient").size(), cohort.X["wsi__tiles"].array.n_tiles)
    assert set(cohort.excluded) == {"unknown outcome"}
    assert 0 < len(cohort.dropped_columns) < 5


@real("lung_mif")
def test_real_lung_mif():
    cohort = load_lung_mif(REAL)
    assert (len(cohort.X), cohort.y["event"].sum()) == (50, 33)
    bags = cohort.X["wsi__tiles"].array
    assert (bags.n_tiles.sum(), bags.n_features) == (6767, 50)
    assert cohort.excluded.empty
    assert len(cohort.tiles) == 6767
    # within a region of interest no two tiles share a place
    place = cohort.tiles.assign(x=np.concatenate([b.coords[:, 0] for b in bags]))
    place["y"] = np.concatenate([b.coords[:, 1] for b in bags])
    assert not place.reset_index("patient").duplicated(["patient", "roi", "x", "y"]).any()
