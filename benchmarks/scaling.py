"""Time and memory of everything against the size of a cohort: patients, tiles, genes and modalities.

Run with ``python benchmarks/scaling.py``. Each point is a process of its own, so that its highest resident memory is
its own. Of each task the CPU seconds are counted, and how much the highest memory has risen by its end above what the
cohort had taken. Written are ``scaling.csv`` and ``scaling.png``; printed is the exponent between the two largest
sizes: 1 is time that grows as the cohort does.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from sksurv.util import Surv

mpl.use("agg")
from matplotlib import pyplot as plt

SIZES = {
    "patients": [1000, 10_000, 100_000],
    "tiles": [100, 1000, 10_000],
    "genes": [200, 2000, 20_000],
    "modalities": [2, 8, 32],
}
TASKS = ["fit", "predict", "curves", "comparison", "bootstrap", "risk groups", "calibration"]


def make_cohort(axis, size):
    """Patients with what the axis asks for: tables of 20 columns, bags of 64 features; the first column matters."""
    rng = np.random.default_rng(0)
    n_patients = {"patients": size, "tiles": 50}.get(axis, 300)
    index = pd.Index([f"P{i:06d}" for i in range(n_patients)], name="patient")
    n_tables = {"modalities": size, "tiles": 1}.get(axis, 2)
    tables = {}
    for k in range(n_tables):
        n_columns = size if axis == "genes" and k == 0 else 20
        values = rng.standard_normal((n_patients, n_columns), dtype=np.float32)
        tables[f"table{k}"] = pd.DataFrame(values, index, [f"c{i}" for i in range(n_columns)])
    risk = tables["table0"]["c0"].to_numpy(dtype=float)
    if axis == "tiles":
        bags = [rng.standard_normal((size, 64), dtype=np.float32) for _ in range(n_patients)]
        tables["wsi"] = pd.Series(bags, index=index, dtype="bag")
    at, censored = rng.exponential(np.exp(-risk)) * 1000, rng.exponential(2000, n_patients)
    return tables, Surv.from_arrays(at <= censored, np.minimum(at, censored))


def measure(axis, size):
    """CPU seconds and memory of each task, in this process."""
    import sksurv_mmf.bags  # noqa: F401 - the dtype of bags
    from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
    from sksurv_mmf.inspection import CalibrationDisplay, RiskGroupDisplay
    from sksurv_mmf.model_selection import compare_models

    tables, y = make_cohort(axis, size)
    X = join_modalities(tables)
    start, before = time.process_time(), highest()

    def task(name, function):
        nonlocal start
        result = function()
        now = time.process_time()
        print(json.dumps({"axis": axis, "size": size, "task": name, "seconds": now - start, "MB": highest() - before}))
        sys.stdout.flush()
        plt.close("all")
        start = time.process_time()
        return result

    network = FusionSurvivalAnalysis(max_epochs=1, device="cpu", random_state=0)
    model = task("fit", lambda: network.fit(X, y))
    task("predict", lambda: model.predict(X))
    task("curves", lambda: model.predict_survival_function(X, return_array=True))
    numbers = X.filter(regex="^table").iloc[:, :20]
    # Small ones, for it is the comparison that is to be measured. A Cox model of scikit-survival would tell its curves
    # at each training time, n x n numbers.
    one, two = (
        FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=seed) for seed in (0, 1)
    )
    models, scores = {"one": one, "two": two}, ["harrell", "uno", "ibs"]
    comparison = task("comparison", lambda: compare_models(models, numbers, y, 3, scoring=scores, random_state=0))
    task("bootstrap", lambda: comparison.pairwise("harrell", n_bootstrap=200))
    task("risk groups", lambda: RiskGroupDisplay.from_estimator(model, X, y))
    horizon = float(np.median(y["time"]))
    task("calibration", lambda: CalibrationDisplay.from_estimator(model, X, y, time=horizon))


def highest():
    """Highest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponents(table):
    """Slope of the logarithm of CPU seconds between the two largest sizes."""
    rows = {}
    for (axis, task), points in table.groupby(["axis", "task"], sort=False):
        last = points.sort_values("size").tail(2)
        if len(last) == 2:
            rows[axis, task] = np.diff(np.log(last["seconds"]))[0] / np.diff(np.log(last["size"]))[0]
    return pd.Series(rows).unstack(level=0, sort=False)


def draw(table, path):
    """Seconds above, memory below, a column for each axis, a line for each task."""
    axes = table["axis"].unique()
    figure, grid = plt.subplots(
        2, len(axes), figsize=(3.2 * len(axes), 5.6), sharex="col", sharey="row", squeeze=False, layout="constrained"
    )
    for column, axis in zip(grid.T, axes):
        for ax, value in zip(column, ["seconds", "MB"]):
            for (task, points), marker in zip(table[table["axis"] == axis].groupby("task", sort=False), "osD^v<>"):
                ax.plot(points["size"], points[value].clip(lower=1e-2), marker=marker, ms=4, label=task)
            ax.set(xscale="log", yscale="log")
        sizes = sorted(table.loc[table["axis"] == axis, "size"].unique())
        column[1].set_xticks(sizes, [f"{size:,}" for size in sizes])
        column[1].set_xticks([], minor=True)
        column[1].set_xlabel(axis)
    grid[0, 0].set_ylabel("CPU seconds")
    grid[1, 0].set_ylabel("memory above the cohort [MB]")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=200)


def main():
    """Measure all sizes in processes of their own; print the tables and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--largest", type=int, default=100_000, help="leave out larger sizes")
    parser.add_argument("--output", type=Path, default=Path("scaling"))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], int(args.measure[1]))
        return
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    run = partial(subprocess.run, stdout=subprocess.PIPE, text=True, check=False)
    for axis in args.axes:
        for size in (size for size in SIZES[axis] if size <= args.largest):
            done = run([sys.executable, __file__, "--measure", axis, str(size)])
            rows += [json.loads(line) for line in done.stdout.splitlines()]
            if done.returncode:
                print(f"{axis}={size} ended with {done.returncode} after {len(done.stdout.splitlines())} tasks")
            pd.DataFrame(rows).to_csv(args.output / "scaling.csv", index=False)
    table = pd.DataFrame(rows)
    draw(table, args.output / "scaling.png")
    for value in ("seconds", "MB"):
        wide = table.pivot_table(index=["axis", "size"], columns="task", values=value, sort=False)
        print(f"\n{value}\n{wide.round(2).to_string()}")
    print(f"\nexponent of seconds\n{exponents(table).round(2).to_string()}")


if __name__ == "__main__":
    main()
