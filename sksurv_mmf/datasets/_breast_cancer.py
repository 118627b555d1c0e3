"""The breast cancer cohort that comes with scikit-survival, as two modalities."""

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sksurv.datasets import load_breast_cancer
from sksurv.util import Surv

CLINICAL = ["age", "er", "grade", "size"]
GRADES = {"well differentiated": 1.0, "intermediate": 2.0, "poorly differentiated": 3.0, "unkown": np.nan}
DESCR = """\
GSE7390: 198 women with lymph-node-negative breast cancer, none of whom received systemic treatment.
Event: distant metastasis (51 women). Time: days to distant metastasis or end of follow-up.

clinical__age    years at diagnosis
clinical__er     oestrogen receptor, 1 positive, 0 negative
clinical__grade  histological grade, 1 well, 2 intermediately, 3 poorly differentiated; NaN (two women) unknown
clinical__size   tumour diameter in cm
rna__<probe>     expression (log2) of the 76 Affymetrix probes of the Veridex signature
"""


def load_breast_cancer_cohort() -> Bunch:
    """Load the GSE7390 breast cancer cohort as clinical data and gene expression.

    A real cohort with two modalities that needs no download; it comes with scikit-survival.

    Returns
    -------
    Bunch
        A dictionary with attributes:

        X : DataFrame of shape (198, 80)
            Four columns ``clinical__...`` and 76 columns ``rna__...``, all float. The categories are numbers: er 0
            negative, 1 positive; grade 1 well, 2 intermediately, 3 poorly differentiated, NaN unknown (two patients,
            to be imputed).
        y : structured array of shape (198,)
            Fields ``event`` (distant metastasis) and ``time`` (days).
        modalities : dict
            The columns of each modality.
        DESCR : str
            Description of the cohort.

    See Also
    --------
    sksurv.datasets.load_breast_cancer : The same data as one table.

    References
    ----------
    .. [1] Desmedt, C., Piette, F., Loi, S., et al. "Strong time dependence of the 76-gene prognostic signature for
           node-negative breast cancer patients in the TRANSBIG multicenter independent validation series."
           Clinical Cancer Research 13(11), 3207-3214 (2007). doi:10.1158/1078-0432.CCR-06-2765

    Examples
    --------
    >>> from sklearn.impute import SimpleImputer
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.preprocessing import make_modality_transformer
    >>> cohort = load_breast_cancer_cohort()
    >>> cohort.X.shape, int(cohort.y["event"].sum())
    ((198, 80), 51)
    >>> int(cohort.X["clinical__grade"].isna().sum())
    2
    >>> impute = make_modality_transformer(clinical=SimpleImputer(strategy="most_frequent"))
    >>> int(impute.fit_transform(cohort.X)["clinical__grade"].isna().sum())
    0
    """
    table, outcome = load_breast_cancer()
    table.index = pd.Index([f"P{number:03d}" for number in range(1, len(table) + 1)], name="patient")
    clinical = pd.DataFrame(
        {
            "age": table["age"],
            "er": (table["er"] == "positive").astype(float),
            "grade": table["grade"].map(GRADES).astype(float),
            "size": table["size"],
        }
    ).add_prefix("clinical__")
    rna = table.drop(columns=CLINICAL).add_prefix("rna__")
    return Bunch(
        X=pd.concat([clinical, rna], axis=1),
        y=Surv.from_arrays(outcome["e.tdm"], outcome["t.tdm"]),
        modalities={"clinical": list(clinical.columns), "rna": list(rna.columns)},
        DESCR=DESCR,
    )
