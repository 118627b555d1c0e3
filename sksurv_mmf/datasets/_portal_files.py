"""Files in the shapes that portals and feature extractors write, of a simulated cohort."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from ..files._writing import writing
from ..utils._optional import import_optional
from ._simulate import make_multimodal_survival

SITES = ["05", "44", "49", "50", "55", "64"]
N_HERE, N_THERE = 150, 90
CLINICAL_HEADER = [
    "#Patient Identifier\tOverall Survival Status\tOverall Survival (Months)\tDiagnosis Age\tSex\tGrade\n",
    "#Identifier to uniquely specify a patient.\tStatus.\tMonths since diagnosis.\tAge in years.\tSex.\tGrade.\n",
    "#STRING\tSTRING\tNUMBER\tNUMBER\tSTRING\tNUMBER\n",
    "#1\t1\t1\t1\t1\t1\n",
]


def write_portal_files(folder):
    """Write a simulated cohort as downloads look: expression, clinical data, slides, and another hospital's table.

    Use it to try readers, or to see what they take. There are 150 patients at six hospitals with the names of TCGA, and
    90 of another hospital, who have no slides. Image, RNA, age and grade matter for survival. As in real downloads,
    normal tissue is among the samples, some patients have two slides, some no slide, and of some the outcome or the
    grade is not known.

    Parameters
    ----------
    folder : str or path-like
        Folder to write to, which is made if it is not there. Files of these names in it are replaced.

    Returns
    -------
    Bunch
        Paths by name:

        expression : Path
            Genes in rows and samples in columns, as of UCSC Xena.
        clinical : Path
            Outcome, age, sex and grade by patient, as of cBioPortal.
        features : Path
            A folder with a file of features and coordinates per slide, as of CLAM.
        other_hospital : Path
            A csv table by patient: "event", "months", "AGE", "GRADE", and the genes.

    See Also
    --------
    sksurv_mmf.portals.read_cohort : Reads such files.

    Examples
    --------
    >>> import tempfile
    >>> from sksurv_mmf.datasets import write_portal_files
    >>> from sksurv_mmf.portals import read_outcome
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_portal_files(folder)
    ...     outcome, _ = read_outcome(files.clinical)
    >>> outcome.shape
    (147, 2)
    """
    cohort = make_multimodal_survival(
        n_patients=N_HERE + N_THERE,
        n_genes=30,
        n_informative_genes=6,
        n_tiles=(8, 20),
        n_tile_features=12,
        random_state=0,
    )
    rng = np.random.default_rng(0)
    age = rng.normal(63, 10, N_HERE + N_THERE).round().clip(30, 90).astype(int)
    grade = rng.integers(1, 4, N_HERE + N_THERE)
    # Age and grade come into the hazard behind the simulation, by which times are divided.
    time = cohort.y["time"] * np.exp(-0.03 * (age - 63) - 0.4 * (grade - 2))
    patients = [f"TCGA-{SITES[i % len(SITES)]}-{4000 + i}" for i in range(N_HERE)]
    genes = cohort.X.filter(like="rna__").rename(columns=lambda name: name.removeprefix("rna__")) + 8
    table = pd.DataFrame({"event": cohort.y["event"].astype(int), "months": time.round(2), "AGE": age, "GRADE": grade})
    sex = rng.choice(["Female", "Male"], N_HERE)
    folder = Path(folder)
    (folder / "features").mkdir(parents=True, exist_ok=True)
    paths = Bunch(
        expression=folder / "HiSeqV2.tsv",
        clinical=folder / "data_clinical_patient.txt",
        features=folder / "features",
        other_hospital=folder / "other_hospital.csv",
    )
    _write_expression(paths.expression, genes.iloc[:N_HERE], patients, rng)
    _write_clinical(paths.clinical, table.iloc[:N_HERE], sex, patients)
    _write_slides(paths.features, cohort.X["wsi__tiles"].iloc[:N_HERE], patients)
    names = pd.Index([f"H2-{i:03d}" for i in range(N_THERE)], name="patient")
    other = pd.concat([table.iloc[N_HERE:].set_axis(names), genes.iloc[N_HERE:].round(4).set_axis(names)], axis=1)
    with writing(paths.other_hospital, overwrite=True) as path:
        other.to_csv(path)
    return paths


def _write_expression(path, genes, patients, rng):
    tumors = genes.set_axis([f"{patient}-01" for patient in patients])
    normal = tumors.iloc[:12].set_axis([f"{patient}-11" for patient in patients[:12]])
    normal = normal + rng.normal(0, 0.5, normal.shape)
    with writing(path, overwrite=True) as unfinished:
        pd.concat([tumors, normal]).round(4).T.rename_axis("sample").to_csv(unfinished, sep="\t")


def _write_clinical(path, table, sex, patients):
    status = table["event"].map({1: "1:DECEASED", 0: "0:LIVING"}).to_numpy(dtype=object, copy=True)
    status[::50] = "[Not Available]"
    grade = table["GRADE"].to_numpy(dtype=object, copy=True)
    grade[3::40] = ""
    rows = zip(patients, status, table["months"], table["AGE"], sex, grade)
    lines = ["\t".join(map(str, row)) + "\n" for row in rows]
    with writing(path, overwrite=True) as unfinished:
        header = "PATIENT_ID\tOS_STATUS\tOS_MONTHS\tAGE\tSEX\tGRADE\n"
        unfinished.write_text("".join([*CLINICAL_HEADER, header, *lines]), encoding="utf-8")


def _write_slides(folder, bags, patients):
    """A file per slide: of every tenth patient none, of every fifth one two, each with half of the tiles."""
    h5py = import_optional("h5py", "io", "Writing HDF5 files")
    for i, (patient, bag) in enumerate(zip(patients, bags)):
        if i % 10 == 7:
            continue
        halves = [slice(None)] if i % 5 else [slice(None, None, 2), slice(1, None, 2)]
        for number, half in enumerate(halves, start=1):
            with (
                writing(folder / f"{patient}-01Z-00-DX{number}.h5", overwrite=True) as path,
                h5py.File(path, "w") as file,
            ):
                file["features"] = bag.features[half]
                file["coords"] = bag.coords[half]
