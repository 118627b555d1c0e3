"""
How good is a tuned model?
==========================

A grid search tells the score of its best candidate. **On average that score is too good**: of several candidates the
best is also the luckiest, and it was chosen on the very patients who judge it. The search belongs inside the
cross-validation, like everything that learns. How much does it matter, and does tuning pay at all?
"""  # noqa: D400

# %%
# Parameters reach into the parts
# -------------------------------
# ``fusion`` is a part, ``rna__dropout`` a parameter of a part. A search over networks takes small ones here, so that
# the page is quick: three networks, and 160 patients with the image as a table.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import GridSearchCV

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.fusions import Concat, CrossModalAttention, Mean
from sksurv_mmf.model_selection import SurvivalKFold, compare_models

cohort = make_multimodal_survival(
    n_patients=160, n_genes=60, n_informative_genes=6, n_tile_features=20, image_as="table", random_state=2
)
X, y = cohort.X, cohort.y
model = FusionSurvivalAnalysis(n_estimators=3, average_epochs=False, random_state=0)
grid = {
    "fusion": [Concat(), Mean(), CrossModalAttention()],
    "rna__dropout": [0.1, 0.4],
}
search = GridSearchCV(model, grid, cv=SurvivalKFold(3, shuffle=True, random_state=1))

# %%
# The search alone
# ----------------
# What many papers report is ``best_score_``.

search.fit(X, y)
candidates = pd.DataFrame(search.cv_results_)
print(f"Best of {len(candidates)} candidates: {search.best_score_:.3f}, with {search.best_params_}")
print(f"Mean of all candidates:  {candidates['mean_test_score'].mean():.3f}")

# %%
# The search inside
# -----------------
# :func:`~sksurv_mmf.model_selection.compare_models` takes the search as a model among others. In each of the outer
# folds it searches anew among the training patients, and the test patients judge what it found.

folds = SurvivalKFold(3, shuffle=True, random_state=0)
comparison = compare_models({"as it comes": model, "tuned": search}, X, y, folds, scoring="harrell", random_state=0)
print(comparison.summary().loc["harrell"].round(3).to_string())
print()
print(comparison.pairwise().round(3).T.to_string(header=False))

# %%
# Six candidates in three folds cost 19 fits in each outer fold. Whether they pay is told by the difference and
# its interval, not by ``best_score_``. With some hundred patients, candidates differ by less than their scores do by
# chance.
#
# In this one cohort ``best_score_`` is not even too high: its folds train on fewer patients, and chance between folds
# is larger than the luck of six candidates. Nobody could have known; with the search inside, nobody has to.
#
# The picture
# -----------
# Left every candidate of the search, in the order of its score; the highest is what would have been reported. Right the
# outer folds: dots are folds, bars the interval of the mean.

figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
ordered = candidates["mean_test_score"].sort_values().to_numpy()
axes[0].plot(range(1, len(ordered) + 1), ordered, "o", color="0.5", markersize=4)
axes[0].plot(len(ordered), ordered[-1], "D", color="#D55E00", label=f"best_score_ = {search.best_score_:.3f}")
honest = comparison.summary().loc[("harrell", "tuned"), "mean"]
axes[0].axhline(honest, color="#0072B2", linewidth=1, label=f"tuned, new patients: {honest:.3f}")
axes[0].set(xlabel="Candidate, by its score", ylabel="C-index in the search")
axes[0].legend(frameon=False, fontsize="small", loc="lower right")
axes[0].spines[["top", "right"]].set_visible(False)
comparison.plot(ax=axes[1])
