"""Folds and grids on dask's workers: the same results as in one process, also after a worker was killed.

Workers on other machines differ from those of a local cluster only in how they are started.
"""

import os
import signal
from contextlib import suppress

import distributed
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import pack_bags
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.model_selection import SurvivalKFold, compare_models
from sksurv_mmf.model_selection.dask_backend import DaskBackend


class KillsItsWorker(TransformerMixin, BaseEstimator):
    """Passes patients on; the first fit of all in another process than `home` ends with that process."""

    def __init__(self, path, home):
        self.path = path
        self.home = home

    def fit(self, X, y=None):
        if os.getpid() != self.home:
            with suppress(FileExistsError):
                with open(self.path, "x") as file:
                    file.write(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        return self

    def transform(self, X):
        return X


class CountsItsTravels:
    """Counts how often this process pickles it."""

    n_travels = 0

    def __reduce__(self):
        type(self).n_travels += 1
        return CountsItsTravels, ()


@pytest.fixture(scope="module")
def workers():
    """Two worker processes of one thread each."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def patients(make_cohort, tmp_path):
    """A cohort whose bags are in a store; large enough that joblib would lay folds on one worker."""
    cohort = make_cohort(n_patients=180)
    return cohort.X.assign(wsi__tiles=pack_bags(cohort.X["wsi__tiles"], tmp_path / "store")), cohort.y


@pytest.fixture
def model():
    encoders = {"wsi": AttentionMIL(8, attention_dim=4), "rna": SNN(8)}
    return FusionSurvivalAnalysis(encoders=encoders, n_estimators=1, max_epochs=2, random_state=0)


FOLDS = SurvivalKFold(4, shuffle=True, random_state=0)


def on(client, function, **settings):
    """What a function returns if its fits are made by workers."""
    backend = DaskBackend(client, **settings)
    with distributed.get_task_stream(client) as tasks, joblib.parallel_config(backend=backend):
        result = function()
    assert tasks.data
    return result


def test_cross_val_score(workers, patients, model):
    def scores():
        return cross_val_score(model, *patients, cv=FOLDS, error_score="raise")

    np.testing.assert_allclose(on(workers, scores), scores(), rtol=1e-12)


def test_grid_search(workers, patients, model):
    def search():
        return GridSearchCV(model, {"lr": [1e-4, 1e-2]}, cv=FOLDS, error_score="raise").fit(*patients)

    alone, there = search(), on(workers, search)
    np.testing.assert_allclose(there.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-12)
    assert there.best_params_ == alone.best_params_


def test_comparison_and_its_cache(workers, patients, model, tmp_path):
    X, y = patients
    models = {"fused": model, "faster": clone(model).set_params(lr=1e-2)}

    def risks(**cache):
        return compare_models(models, X, y, FOLDS, scoring="harrell", **cache).risks

    alone = risks()
    there = on(workers, lambda: risks(cache=tmp_path / "cache"), scatter=[X, y])
    pd.testing.assert_frame_equal(there, alone, rtol=1e-5)
    kept = set((tmp_path / "cache").rglob("output.pkl"))
    assert len(kept) == 8  # workers have written them, and the next run reads them, on workers or not
    pd.testing.assert_frame_equal(risks(cache=tmp_path / "cache"), there, check_exact=True)
    assert set((tmp_path / "cache").rglob("output.pkl")) == kept


@pytest.mark.parametrize("scatter", [True, False])
def test_killed_worker(workers, patients, model, tmp_path, scatter):
    X, y = patients
    mortal = make_pipeline(KillsItsWorker(str(tmp_path / "pid"), home=os.getpid()), model)

    def scores():
        return cross_val_score(mortal, X, y, cv=FOLDS, error_score="raise")

    np.testing.assert_allclose(on(workers, scores, scatter=[X, y] if scatter else None), scores(), rtol=1e-12)
    killed = int((tmp_path / "pid").read_text())
    workers.wait_for_workers(2, timeout=60)  # its nanny starts another
    assert killed not in workers.run(os.getpid).values()


def test_what_is_nested_stays_in_its_worker(workers):
    tasks = [joblib.delayed(joblib.effective_n_jobs)(-1)] * 2
    assert on(workers, lambda: joblib.Parallel()(tasks)) == [1, 1]


def test_copies_on_workers_spare_journeys(workers, monkeypatch):
    def n_travels(table, **settings):
        monkeypatch.setattr(CountsItsTravels, "n_travels", 0)
        on(workers, lambda: joblib.Parallel()([joblib.delayed(repr)(table)] * 4), **settings)
        return CountsItsTravels.n_travels

    table = CountsItsTravels()
    assert n_travels(table, scatter=[table]) == 1
    assert n_travels(table) >= 4  # with every task, of which dask may try two ways to pickle
