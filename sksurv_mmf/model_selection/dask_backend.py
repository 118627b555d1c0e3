"""Folds and grids on the workers of a dask cluster, of which any may die."""

from joblib import parallel_config

from ..utils._optional import import_optional

import_optional("distributed", "dask", "DaskBackend")

# joblib has no public name for the class, only the word "dask" for what makes one.
from joblib._dask import Batch, DaskDistributedBackend  # noqa: E402


class DaskBackend(DaskDistributedBackend):
    """Backend of joblib for dask that survives the death of a worker.

    Use it to spread `cross_val_score`, `GridSearchCV` or `compare_models` over several machines, with
    ``joblib.parallel_config(backend=DaskBackend(client))``. joblib's own backend, ``backend="dask"``, lays tables, and
    the positions of patients in a fold, in the memory of one worker, and if that is killed, the run ends with a
    `FutureCancelledError`. Here the scheduler keeps all that a task needs, and gives it to another worker.

    A task is computed by one worker alone: what is nested in it, such as a grid search in a comparison, is not spread
    again.

    Parameters
    ----------
    client : distributed.Client
        The client of the cluster.
    scatter : list or None, default=None
        Objects of which every worker gets a copy at the start, instead of one with each task: the very X and y
        that the function is called with. Worth it for tables of many megabytes. A worker that is started later
        asks another for its copy; if all that had one have died, the run ends with a `FutureCancelledError`.
    **settings
        What else joblib's backend takes, such as `wait_for_workers_timeout`, and dask's ``Client.submit``, such as
        `resources`.

    Raises
    ------
    ImportError
        If dask is not installed, which the extra "dask" brings.

    See Also
    --------
    compare_models : With `cache`, what was finished need not be made again.

    Examples
    --------
    >>> import joblib
    >>> from distributed import Client
    >>> from sklearn.model_selection import cross_val_score
    >>> from sksurv.linear_model import CoxPHSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.model_selection.dask_backend import DaskBackend
    >>> cohort = load_breast_cancer_cohort()
    >>> genes = cohort.X.filter(regex="^rna").iloc[:, :20]
    >>> with Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     with joblib.parallel_config(backend=DaskBackend(client)):
    ...         scores = cross_val_score(CoxPHSurvivalAnalysis(alpha=100), genes, cohort.y, cv=3)
    >>> print(len(scores))
    3
    """

    def __init__(self, client, scatter=None, **settings):
        super().__init__(client=client, **settings)
        self._scattered = list(scatter or [])  # kept, so that nothing else gets their ids
        # By random names: named by their contents, as dask does, copies of an earlier run may be forgotten meanwhile.
        copies = client.scatter(self._scattered, broadcast=True, hash=False) if scatter else []
        self.data_futures = {id(value): copy for value, copy in zip(self._scattered, copies)}

    async def _to_func_args(self, func):
        """What a worker calls, and with what: as it is, except what every worker has a copy of."""

        def shared(value):
            return self.data_futures.get(id(value), value)

        tasks = [
            (function, [shared(value) for value in args], {name: shared(value) for name, value in kwargs.items()})
            for function, args, kwargs in func.items
        ]
        return _Batch(tasks), tasks


class _Batch(Batch):
    """Tasks that a worker does by itself; joblib's would spread again what is nested in them."""

    def __call__(self, tasks=None):
        with parallel_config(backend="sequential", n_jobs=1):
            return [function(*args, **kwargs) for function, args, kwargs in tasks]
