"""AnnData and MuData wherever tables are taken: which part of them, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.cohort import _anndata
from sksurv_mmf.portals import read_cohort

PATIENTS = ["P1", "P2", "P3"]
GENES = ["TP53", "EGFR"]
VALUES = np.arange(6.0).reshape(3, 2)
OBS = pd.DataFrame({"os": [1, 0, 1], "os_time": [5.0, 6, 7], "age": [60, 70, 80]}, index=PATIENTS)


def look_alike(X=VALUES, names=PATIENTS, genes=GENES, **more):
    """What has the attributes of an AnnData."""
    obs = OBS.iloc[: len(names)].set_axis(names)
    parts = {"obs": obs, "obs_names": obs.index, "var_names": pd.Index(genes), "layers": {}, "X": X}
    return SimpleNamespace(**parts | more)


def real(X=VALUES, names=PATIENTS, genes=GENES):
    """An AnnData."""
    obs = OBS.iloc[: len(names)].set_axis(names)
    return pytest.importorskip("anndata").AnnData(X=X, obs=obs, var=pd.DataFrame(index=genes))


@pytest.mark.parametrize("make", [look_alike, real])
@pytest.mark.parametrize("matrix", [np.asarray, csr_matrix], ids=["dense", "sparse"])
def test_rows_belong_to_the_patients_and_columns_to_the_genes(make, matrix):
    adata = make(matrix(VALUES[::-1].copy()), PATIENTS[::-1])
    X, y = join_modalities({"rna": adata, "clinical": OBS[["age"]]}, outcome=make(), event="os", time="os_time")
    expected = pd.DataFrame(VALUES, PATIENTS, ["rna__TP53", "rna__EGFR"], dtype=np.float32)
    pd.testing.assert_frame_equal(X.loc[PATIENTS, expected.columns], expected, check_column_type=False)
    assert X["rna__TP53"].dtype == np.float32
    assert X.loc["P2", "clinical__age"] == 70
    assert dict(zip(X.index, y["time"])) == OBS["os_time"].to_dict()


def test_a_cohort_takes_one_sample_of_a_patient():
    names = ["TCGA-05-4244-01A", "TCGA-05-4244-11A", "TCGA-05-4245-01A"]
    outcome = look_alike(names=names[::2]).obs[["os", "os_time"]]
    X, y, report = read_cohort({"rna": look_alike(names=names)}, outcome)
    assert X["rna__TP53"].to_dict() == {"TCGA-05-4244": 0, "TCGA-05-4245": 4}
    assert y["time"].tolist() == [5, 6]
    assert "1 samples of normal tissue are left out" in str(report)


def test_mudata_is_its_modalities_and_its_obs():
    other = look_alike(VALUES[:2] + 10, PATIENTS[:2], ["A", "B"])
    mdata = SimpleNamespace(mod={"rna": look_alike(), "protein": other}, obs=OBS)
    X, y = join_modalities(mdata, "outer", outcome=mdata, event="os", time="os_time")
    assert X.columns.tolist() == ["rna__TP53", "rna__EGFR", "protein__A", "protein__B"]
    assert X.loc["P2", "protein__B"] == 13
    assert np.isnan(X.loc["P3", "protein__A"])
    assert y["event"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("adata", "message"),
    [
        (look_alike(names=["P1", "P1", "P3"]), "Patient 'P1' has several rows in modality 'rna'"),
        (look_alike(names=["0", "1", "2"]), "obs_names of modality 'rna' are row numbers"),
        (look_alike(genes=["A", "A"]), "var_names of modality 'rna' are not unique, such as 'A'"),
        (look_alike(X=None), r"without X. Pass a layer: adata.to_df"),
        (look_alike(isbacked=True), "backed by a file"),
    ],
    ids=["patients", "row numbers", "genes", "nothing", "backed"],
)
def test_what_would_be_paired_wrongly_is_refused(adata, message):
    with pytest.raises(ValueError, match=message):
        join_modalities({"rna": adata})


def test_a_sparse_matrix_is_dense_only_if_it_fits(monkeypatch):
    adata = look_alike(csr_matrix(VALUES))
    monkeypatch.setattr(_anndata, "MOST_BYTES", 24)
    assert join_modalities({"rna": adata}).shape == (3, 2)
    monkeypatch.setattr(_anndata, "MOST_BYTES", 23)
    with pytest.raises(ValueError, match="sparse X of 3 x 2, which would take 0 GiB"):
        join_modalities({"rna": adata})


def test_estimators_say_how_to_make_a_table():
    with pytest.raises(ValueError, match=r"join_modalities\(\{'rna': X\}\)"):
        FusionSurvivalAnalysis().fit(look_alike(), np.zeros(3, dtype=[("event", bool), ("time", float)]))
