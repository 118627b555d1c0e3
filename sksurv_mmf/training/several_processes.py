"""One network on several processes, which accelerate starts and connects."""

import os
from contextlib import contextmanager

from ._processes import ALONE, Processes, taking_part

__all__ = ["several_processes"]


@contextmanager
def several_processes(accelerator):
    """Let all processes of a run train one network together.

    Inside the block ``FusionSurvivalAnalysis(n_estimators=1).fit`` divides each batch among the processes and adds
    their gradients up, so that each step is that of one process with the whole batch, up to rounding. Every process
    calls `fit` with the same patients and parameters, and ends with the same fitted model. Use it where one fit takes
    hours because bags are large. Folds and grids are better spread whole, see
    :class:`~sksurv_mmf.model_selection.dask_backend.DaskBackend`.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
        What connects the processes, made by each of them. Of its settings, only those of devices and communication act:
        precision and accumulated gradients are parameters of the model.

    Raises
    ------
    TypeError
        If `accelerator` is no `Accelerator`.
    ValueError
        If it is connected to none of the other processes that were started, so that each would train by itself.

    Notes
    -----
    Random numbers of training, such as dropout, are drawn by each process for its own patients. So they are others than
    those of a single process, as with another seed.

    Refused by name, in `fit`, are ensembles, :class:`~sksurv_mmf.objectives.CoxPH`, which compares patients, and batch
    normalisation. The first process alone writes checkpoints and shows progress; callbacks run in all.

    Examples
    --------
    In a script that ``torchrun --nproc-per-node 2 script.py`` runs:

    >>> from accelerate import Accelerator
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.training.several_processes import several_processes
    >>> cohort = make_multimodal_survival(n_patients=30, n_genes=5, random_state=0)
    >>> model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, random_state=0)
    >>> with several_processes(Accelerator(cpu=True)):
    ...     model = model.fit(cohort.X, cohort.y)
    >>> len(model.history_)
    1
    """
    if not all(hasattr(accelerator, name) for name in ("num_processes", "process_index", "reduce")):
        raise TypeError(f"accelerator must be an accelerate.Accelerator, got {accelerator!r:.60}.")
    n_started = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != n_started:
        raise ValueError(
            f"{n_started} processes were started, but the accelerator connects {accelerator.num_processes}. On CPUs it "
            "must be told: Accelerator(cpu=True)."
        )
    token = taking_part.set(ALONE if accelerator.num_processes == 1 else Processes(accelerator))
    try:
        yield
    finally:
        taking_part.reset(token)
