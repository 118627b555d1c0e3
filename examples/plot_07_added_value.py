"""
Do the genes add to what the clinic knows?
==========================================

Age, oestrogen receptor, grade and size of the tumour are known of every patient with breast cancer. A signature of 76
genes costs money. **Does a model that sees both add to one of the clinical variables alone?** Two C-indices side by
side do not answer that.

The script takes less than a minute on two cores, downloads nothing and leaves its picture and a page in
``demo_output``.
"""  # noqa: D400

# %%
# Two models on the same folds
# ----------------------------
# 198 women without chemotherapy, of whom 51 had a distant metastasis. Both models are ridge Cox models, and the penalty
# of the clinical one is its own: a reference that is trained badly would be easy to add to.

from pathlib import Path

from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf.datasets import load_breast_cancer_cohort
from sksurv_mmf.evaluation import added_value
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, compare_models
from sksurv_mmf.preprocessing import make_modality_transformer

cohort = load_breast_cancer_cohort()
X, y = cohort.X, cohort.y


def ridge(penalty):
    return SimpleImputer(), StandardScaler(), CoxPHSurvivalAnalysis(alpha=penalty)


models = {
    "Clinical Cox": make_pipeline(make_modality_transformer(clinical="passthrough", remainder="drop"), *ridge(5)),
    "Fused": make_pipeline(*ridge(100)),
}
folds = RepeatedSurvivalKFold(n_splits=5, n_repeats=3, random_state=0)
comparison = compare_models(models, X, y, folds, scoring="harrell", random_state=0)

# %%
# What the fused risk adds
# ------------------------
# The first row of the tests is the question: the fused risk of a patient, by models that have not seen her, beside her
# clinical risk. The second one asks whether the clinical risk has anything left to say. With three repetitions of the
# folds, p is twice the median.

clinical = X[["clinical__age", "clinical__er", "clinical__grade", "clinical__size"]]
subgroups = clinical.rename(columns=lambda name: name.removeprefix("clinical__"))
subgroups["er"] = subgroups["er"].map({1.0: "positive", 0.0: "negative"})

value = added_value(
    comparison,
    reference="Clinical Cox",
    model="Fused",
    subgroups=subgroups,
    cutoffs={"age": [50], "size": [2]},
    horizons=[1825, 3650],
    random_state=0,
)
print(value.tests.head(2).round(3).to_string(index=False))

# %%
# Differences of scores point the same way, but their intervals over folds, which allow for other training patients,
# contain zero: fifty events are few. The p-value of the likelihood ratio alone tells a reader too much, and that of the
# C-index alone too little.

print(value.differences[["score", "difference", "t_lower", "t_upper", "t_p"]].round(3).to_string(index=False))

# %%
# For whom, and when
# ------------------
# In the forest plot no group stands out beyond chance, and of grade 1 there are too few events to tell. The curve below
# it is highest within the first years and falls. The test alone would not convince (it is twice the median p-value of
# three repetitions), but those who published this cohort found the same of the signature.

figure = value.plot(time_unit="days")
folder = Path("demo_output")
folder.mkdir(exist_ok=True)
figure.savefig(folder / "added_value.png", dpi=150)
page = value.to_html(folder / "added_value.html", overwrite=True)
print(f"Figure: {folder / 'added_value.png'}\nPage: {page}")
