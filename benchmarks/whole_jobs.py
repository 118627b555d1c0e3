"""Whole jobs as a user waits for them, by the clock and in CPU seconds, beside an earlier run.

Run with ``python benchmarks/whole_jobs.py --output now.json``, and in another version of the package with another file;
``--before earlier.json`` prints both and their ratio. Each job is a process of its own, so that imports count and none
warms up for another. CPU seconds are those of the process and of its workers.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

LUAD_LIKE = {"n_patients": 434, "n_genes": 1555, "n_tiles": (3, 7), "n_tile_features": 113, "random_state": 0}


def import_package():
    """The package itself, after torch and skorch."""
    import skorch  # noqa: F401 - counted with torch, which it imports
    import torch  # noqa: F401

    start = time.perf_counter(), cpu()
    import sksurv_mmf  # noqa: F401

    return start


def first_fit():
    """The smallest fit, of which imports on demand are the most."""
    from sksurv_mmf import FusionSurvivalAnalysis
    from sksurv_mmf.datasets import make_multimodal_survival

    cohort = make_multimodal_survival(n_patients=40, n_genes=20, n_tiles=4, n_tile_features=8, random_state=0)
    start = time.perf_counter(), cpu()
    FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=0).fit(cohort.X, cohort.y)
    return start


def default_fit():
    """The default model on a cohort of the size of LUAD."""
    from sksurv_mmf import FusionSurvivalAnalysis
    from sksurv_mmf.datasets import make_multimodal_survival

    cohort = make_multimodal_survival(**LUAD_LIKE)
    start = time.perf_counter(), cpu()
    FusionSurvivalAnalysis(device="cpu", random_state=0).fit(cohort.X, cohort.y)
    return start


def comparison():
    """All baselines and the default model in three folds, on two workers."""
    from sksurv_mmf import FusionSurvivalAnalysis
    from sksurv_mmf.datasets import make_multimodal_survival
    from sksurv_mmf.model_selection import compare_models
    from sksurv_mmf.presets import baselines

    cohort = make_multimodal_survival(**LUAD_LIKE)
    models = {"CM-MMF": FusionSurvivalAnalysis(device="cpu", random_state=0)}
    models |= baselines(clinical=None, random_state=0)
    start = time.perf_counter(), cpu()
    compare_models(models, cohort.X, cohort.y, 3, n_jobs=2).pairwise("harrell")
    return start


def tables():
    """Both tables of the paper with its protocol, in one fold of five, five epochs instead of 55."""
    from sksurv_mmf.datasets import make_multimodal_survival
    from sksurv_mmf.presets import paper_protocol, table1, table2

    size = {"n_patients": 216, "n_genes": 150, "n_tiles": (30, 120), "n_tile_features": 64}
    cohort = make_multimodal_survival(**size, random_state=0)
    params = {**paper_protocol(), "max_epochs": 5, "device": "cpu", "random_state": 0}
    models = [*table1(**params).values(), *table2(**params).values()]
    start = time.perf_counter(), cpu()
    for model in models:
        model.fit(cohort.X, cohort.y)
    return start


def gene_selection():
    """The selector on 270 patients, 19,000 genes and 10 folds."""
    from sksurv_mmf.datasets import make_multimodal_survival
    from sksurv_mmf.preprocessing import CoxElasticNetSelector

    cohort = make_multimodal_survival(n_patients=270, n_genes=19_000, n_tiles=1, n_tile_features=2, random_state=0)
    genes = cohort.X.filter(regex="^rna")
    start = time.perf_counter(), cpu()
    CoxElasticNetSelector(cv=10, n_jobs=2, random_state=0).fit(genes, cohort.y)
    return start


JOBS = {
    one.__name__.replace("_", " "): one
    for one in (import_package, first_fit, default_fit, comparison, tables, gene_selection)
}


def cpu():
    """CPU seconds so far of this process and of those that have ended."""
    times = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in times)


def measure(job):
    """Seconds of one job in this process."""
    start_clock, start_cpu = JOBS[job]()
    clock = time.perf_counter() - start_clock
    # Workers count once they have ended.
    from joblib.externals.loky import get_reusable_executor

    if job in ("comparison", "gene selection"):
        get_reusable_executor().shutdown(wait=True)
    print(json.dumps({"clock": clock, "cpu": cpu() - start_cpu}))


def main():
    """Measure the jobs one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--output", type=Path, help="file for the seconds")
    parser.add_argument("--before", type=Path, help="file of an earlier run")
    parser.add_argument("--measure", choices=list(JOBS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return
    rows = {}
    for job in args.jobs:
        command = [sys.executable, "-W", "ignore", __file__, "--measure", job]
        rows[job] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        if args.output:
            args.output.write_text(json.dumps(rows))
    table = pd.DataFrame(rows).T
    if args.before:
        before = pd.DataFrame(json.loads(args.before.read_text())).T
        table = table.join(before, rsuffix=" before")
        table["ratio of cpu"] = table["cpu before"] / table["cpu"]
    print(f"load {os.getloadavg()[0]:.1f}\n{table.round(2).to_string()}")


if __name__ == "__main__":
    main()
