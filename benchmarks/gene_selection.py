"""Time of gene selection on a cohort of the paper's size, against cv.glmnet.

Run with ``python benchmarks/gene_selection.py``. A cohort of 270 patients and 19,000 genes is simulated, with genes in
correlated modules of which a few drive the hazard. `CoxElasticNetSelector` is fitted with its defaults, 10 folds on two
processes, and compared with the time of ``cv.glmnet(family="cox", alpha=0.5)`` for the same size and its defaults. On a
busy machine the processor time tells more than the wall time. ``--n-alphas 50 --alpha-min-ratio 0.1`` leaves out the
lower half of the path, which no comparison with glmnet's defaults may do.
"""

import argparse
import os
import time

import numpy as np
from joblib.externals.loky import get_reusable_executor
from sksurv.util import Surv

from sksurv_mmf.preprocessing import CoxElasticNetSelector

SECONDS_OF_GLMNET = 94  # glmnet 4.1 with R 4.2, one core, 270 x 19,000 and 10 folds


def simulate(n_patients, n_genes, n_modules, n_informative, random_state):
    """Expression in modules, and survival times that depend on some genes."""
    rng = np.random.default_rng(random_state)
    loadings = rng.normal(size=(n_modules, n_genes)) * (rng.random((n_modules, n_genes)) < 0.1)
    X = rng.normal(size=(n_patients, n_modules)) @ loadings + rng.normal(size=(n_patients, n_genes))
    informative = rng.choice(n_genes, n_informative, replace=False)
    risk = 0.3 * (X[:, informative] / X[:, informative].std(axis=0)).sum(axis=1)
    death = rng.exponential(np.exp(-risk))
    censoring = rng.exponential(1.5 * np.median(death), n_patients)
    return X, Surv.from_arrays(death <= censoring, np.minimum(death, censoring))


def main():
    """Print wall time, and the processor time that the worker processes shared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=270)
    parser.add_argument("--genes", type=int, default=19_000)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--n-alphas", type=int, default=100)
    parser.add_argument("--alpha-min-ratio", type=float, default=0.01)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()

    X, y = simulate(arguments.patients, arguments.genes, n_modules=50, n_informative=30, random_state=0)
    path = {"n_alphas": arguments.n_alphas, "alpha_min_ratio": arguments.alpha_min_ratio}
    selector = CoxElasticNetSelector(cv=arguments.folds, n_jobs=arguments.jobs, random_state=0, **path)
    print(f"{len(X)} patients x {X.shape[1]} genes, {y['event'].sum()} events, {arguments.folds} folds")
    worked = processor_seconds()
    for run in range(arguments.repeats):
        start = time.perf_counter()
        selector.fit(X, y)
        seconds = time.perf_counter() - start
        print(
            f"{seconds:.1f} s on {arguments.jobs} processes{'' if run else ', with their start'}: "
            f"{SECONDS_OF_GLMNET / seconds:.1f} times as fast as cv.glmnet's {SECONDS_OF_GLMNET} s for 270 x 19,000 "
            f"and 10 folds; {selector.get_support().sum()} genes, {len(selector.alphas_)} penalties"
        )
    get_reusable_executor().shutdown(wait=True)  # the time of workers counts once they have ended
    worked = (processor_seconds() - worked) / arguments.repeats
    print(f"{worked:.1f} s of processor time per run, {worked / (arguments.folds + 1):.1f} s per path")


def processor_seconds():
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
