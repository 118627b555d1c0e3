"""Proportional hazards and their partial likelihood."""

import numpy as np
import torch
from torch import Tensor

from ..utils._sklearn import StrOptions
from ._base import Objective, check_times_differ, never_falling


def cox_partial_likelihood(log_hazard: Tensor, event: Tensor, time: Tensor, ties: str = "efron") -> Tensor:
    """Negative logarithm of the partial likelihood, a scalar.

    All arguments have the shape (n_patients,), `event` is bool. With further axes in front of `log_hazard` there is one
    number for each of these. `ties` is "efron" or "breslow". Exact and with a useful gradient at any log-hazard,
    because all sums are of ratios within a risk set, none of which exceeds one.
    """
    order = torch.argsort(time, descending=True, stable=True)
    log_hazard, event = log_hazard[..., order], event[order]
    _, group, size = torch.unique_consecutive(time[order], return_inverse=True, return_counts=True)
    # The patients at risk at a time are all from the first down to the last who has that time.
    log_risk_set = log_hazard.logcumsumexp(-1)[..., size.cumsum(0) - 1]
    log_ratio = (log_hazard - log_risk_set[..., group])[..., event]
    if ties == "breslow":
        return -log_ratio.sum(-1)
    # Efron: the j-th of d tied events (j = 0, ..., d - 1) finds j / d of their hazards gone from the risk set.
    group = group[event]
    d = torch.bincount(group, minlength=len(size))
    j = torch.arange(len(group), device=group.device) - (d.cumsum(0) - d)[group]
    tied_ratio = log_hazard.new_zeros(*log_hazard.shape[:-1], len(size)).index_add(-1, group, log_ratio.exp())
    return torch.log1p(-tied_ratio[..., group] * j / d[group]).sum(-1) - log_ratio.sum(-1)


def log_breslow_baseline(log_hazard: Tensor, event: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct times, increasing, and there the logarithm of Breslow's cumulative hazard of a log-hazard of 0.

    sksurv's BreslowEstimator computes the same by subtracting hazards from their sum, which at log-hazards far apart
    leaves nothing of the small ones. All arguments have the shape (n_patients,), for a network has its own baseline.
    """
    unique_times, group = torch.unique(time, return_inverse=True)
    order = torch.argsort(group, descending=True, stable=True)
    last = torch.bincount(group).flip(0).cumsum(0) - 1
    log_risk_set = log_hazard[order].logcumsumexp(0)[last].flip(0)
    n_events = torch.bincount(group[event], minlength=len(unique_times))
    return unique_times, (n_events.to(log_risk_set).log() - log_risk_set).logcumsumexp(0)


class CoxPH(Objective):
    r"""Proportional hazards, learnt by maximum partial likelihood.

    The network's only output is the logarithm of the hazard relative to an unknown baseline, which Breslow's
    estimator supplies after training. No time bins have to be chosen, and curves step at every training time.

    A patient's loss depends on the patients at risk at the same time. Here these are the patients of one optimizer
    step: ``batch_size * gradient_accumulation`` of :class:`~sksurv_mmf.FusionSurvivalAnalysis`. With a
    `gradient_accumulation` of at least the number of batches, all training patients are one risk set, at one step
    per epoch, and memory still holds one batch at a time.

    Parameters
    ----------
    ties : {"efron", "breslow"}, default="efron"
        How equal event times enter the likelihood: Efron's approximation is the better one, Breslow's the older.

    Attributes
    ----------
    n_outputs_ : int
        1.
    mean_output_ : float
        Mean output over the training patients. Risks are relative to it.
    unique_times_ : ndarray of shape (n_unique_times,)
        0 and the distinct training times: where the curves step.
    log_baseline_hazard_ : ndarray of shape (n_unique_times,)
        Logarithm of the cumulative hazard at `unique_times_` of a patient with risk 0.

    See Also
    --------
    DiscreteHazard : Needs no other patients to compute a patient's loss.

    Notes
    -----
    The loss is the negative logarithm of the partial likelihood ([1]_, ties by [2]_) divided by the number of patients.
    Its gradient is exact whatever the size of the batches: a step first computes the outputs of all its patients, then
    differentiates the loss with respect to them, and then visits the batches again, with the same random numbers, to
    propagate these gradients to the weights. Each step therefore encodes its patients twice. The risk set being the
    same, many small batches take several times the time of one large batch and learn the same, but for the random
    numbers of dropout: let `batch_size` be as large as memory allows, and raise `gradient_accumulation` for the rest.

    Patients teach something if one of them has an event while another one is at risk. A step whose patients do not
    takes in those of the next step, and at the end of an epoch they join the step before. Patients held out for early
    stopping are one risk set. Training and held-out patients that teach nothing at all are refused.

    References
    ----------
    .. [1] Cox, D. R. "Regression models and life-tables", Journal of the Royal Statistical Society B 34, 1972.
    .. [2] Efron, B. "The efficiency of Cox's likelihood function for censored data", JASA 72, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sksurv_mmf.objectives import CoxPH
    >>> event, time = np.array([True, True, False]), np.array([1.0, 2.0, 3.0])
    >>> objective = CoxPH().fit(event, time)
    >>> outputs = torch.zeros(3, 1)
    >>> round(objective.loss(outputs, objective.encode(event, time)).item(), 4)  # (log 3 + log 2) / 3
    0.5973
    >>> objective.fit_baseline(lambda: outputs, event, time).cumulative_hazard(outputs)[0]
    tensor([0.0000, 0.3333, 0.8333, 0.8333])
    """

    decomposes = False

    _parameter_constraints = {"ties": [StrOptions({"efron", "breslow"})]}

    def __init__(self, ties="efron"):
        self.ties = ties

    def fit(self, event: np.ndarray, time: np.ndarray) -> "CoxPH":
        check_times_differ(time)
        self.n_outputs_ = 1
        return self

    def encode(self, event: np.ndarray, time: np.ndarray) -> tuple[Tensor, ...]:
        return torch.as_tensor(np.array(event, dtype=bool)), torch.as_tensor(np.array(time, dtype=float))

    def strata(self, event: np.ndarray, time: np.ndarray) -> np.ndarray:
        return np.asarray(event, dtype=int)

    def informs(self, target: tuple[Tensor, ...]) -> bool:
        event, time = target
        return bool(event.any()) and int((time >= time[event].min()).sum()) > 1

    def loss(self, outputs: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        # One number per patient: the CPU has float64 everywhere and adds in a fixed order.
        event, time = (one.cpu() for one in target)
        return cox_partial_likelihood(outputs[..., 0].cpu().double(), event, time, self.ties) / len(time)

    def fit_baseline(self, predict, event: np.ndarray, time: np.ndarray) -> "CoxPH":
        outputs = predict().cpu()
        self.mean_output_ = outputs.mean().item()
        times, log_hazard = (one.numpy() for one in log_breslow_baseline(self.risk(outputs), *self.encode(event, time)))
        if times[0] > 0:
            times, log_hazard = np.append(0.0, times), np.append(-np.inf, log_hazard)
        self.unique_times_, self.log_baseline_hazard_ = times, log_hazard
        return self

    def risk(self, outputs: Tensor) -> Tensor:
        return outputs[..., 0] - self.mean_output_

    def cumulative_hazard(self, outputs: Tensor) -> Tensor:
        baseline = torch.as_tensor(self.log_baseline_hazard_, dtype=outputs.dtype, device=outputs.device)
        return never_falling(torch.exp(self.risk(outputs).unsqueeze(-1) + baseline))
