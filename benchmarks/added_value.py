"""How often the likelihood-ratio test of out-of-fold risks errs where there is nothing to add.

``python benchmarks/added_value.py --cohorts 1000`` simulates cohorts in which clinical variables decide the hazard and
fifty genes mean nothing, cross-validates ridge Cox models, and counts p-values below 5 %. "genes" is a model of the
genes alone, "all columns" one of both modalities.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf.evaluation import added_value
from sksurv_mmf.model_selection import RepeatedSurvivalKFold, SurvivalKFold, compare_models
from sksurv_mmf.preprocessing import make_modality_transformer


def simulate(rng, n_patients):
    """Three clinical variables that matter, fifty genes that do not; half of the patients are censored."""
    clinical, genes = rng.normal(size=(n_patients, 3)), rng.normal(size=(n_patients, 50))
    time = rng.exponential(np.exp(-clinical @ [0.5, 0.3, 0.0]))
    censored = rng.exponential(np.exp(-clinical @ [0.5, 0.3, 0.0]))
    names = [*(f"clinical__c{i}" for i in range(3)), *(f"rna__g{i}" for i in range(50))]
    X = pd.DataFrame(np.hstack([clinical, genes]), columns=names)
    return X, Surv.from_arrays(time <= censored, np.minimum(time, censored))


def make_models():
    def of(penalty, **modality):
        ridge = [StandardScaler(), CoxPHSurvivalAnalysis(alpha=penalty)]
        return make_pipeline(make_modality_transformer(**modality, remainder="drop"), *ridge)

    return {
        "Clinical Cox": of(1.0, clinical="passthrough"),
        "genes": of(50.0, rna="passthrough"),
        "all columns": of(50.0, clinical="passthrough", rna="passthrough"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1, help="repetitions of the folds")
    options = parser.parse_args()
    rng, p_values = np.random.default_rng(0), []
    for _ in range(options.cohorts):
        X, y = simulate(rng, options.patients)
        cv = SurvivalKFold(5) if options.repeats == 1 else RepeatedSurvivalKFold(5, options.repeats, random_state=0)
        comparison = compare_models(make_models(), X, y, cv, scoring="harrell")
        found = {}
        for model in ("genes", "all columns"):
            value = added_value(comparison, model=model, n_bootstrap=1)
            found[model, "likelihood ratio"] = value.tests["p"].iloc[0]
            # What adds has a hazard ratio above 1; the test has two sides.
            found[model, "and ratio above 1"] = (
                found[model, "likelihood ratio"] if value.tests["coef"].iloc[0] > 0 else 1
            )
        p_values.append(found)
    table = pd.DataFrame(p_values)
    share = (table < 0.05).mean()
    error = np.sqrt(share * (1 - share) / len(table))
    print(f"{len(table)} cohorts of {options.patients} patients, {options.repeats} x 5 folds: share of p < 0.05")
    print(pd.DataFrame({"share": share, "standard error": error}).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
