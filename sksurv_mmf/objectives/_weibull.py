"""Weibull distributions and their likelihood."""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ..statistics._evenly import MOST_STEPS, evenly
from ._base import Objective, check_times_differ, never_falling

# Up to here, in logarithms, an exponential is taken, and beyond it grows as its tangent does. Survival is e**-20 there.
TANGENT_FROM = 3.0


def log_tangent_exp(x: Tensor) -> Tensor:
    """Logarithm of `exp(x)`, or of the tangent that goes on from `TANGENT_FROM`; its gradient never vanishes there."""
    usual = x.clamp(max=TANGENT_FROM)
    return usual + torch.log1p(x - usual)


def log_shape_of(output: Tensor) -> Tensor:
    """Logarithm of the shape: the output, or what lets shape or 1 / shape grow linearly beyond `TANGENT_FROM`."""
    return torch.where(output > 0, log_tangent_exp(output), -log_tangent_exp(-output))


def log_time_ratio(outputs: Tensor, log_time: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the shape, and ``z = shape * (log_time - log_scale)``; ``exp(z)`` is Weibull's cumulative hazard."""
    log_shape = log_shape_of(outputs[..., 1])
    return log_shape, log_shape.exp() * (log_time - outputs[..., 0])


def weibull_nll(outputs: Tensor, log_time: Tensor, event: Tensor, followed: Tensor) -> Tensor:
    """Negative log-likelihood of each patient, shape (..., n_patients), from outputs of shape (..., n_patients, 2).

    The others have the shape (..., n_patients); `event` and `followed` are 0 or 1. Of a patient who was not followed,
    an event lies before `log_time`, and a censoring says nothing.
    """
    log_shape, z = log_time_ratio(outputs, log_time)
    log_cumulative = log_tangent_exp(z)
    cumulative = log_cumulative.exp()
    exact = cumulative - event * (log_shape + z.clamp(max=TANGENT_FROM) - log_time)
    # log(1 - exp(-H)) = log H + log((1 - exp(-H)) / H), whose second term is 0 at H = 0.
    share = -torch.expm1(-cumulative) / cumulative.clamp(min=1e-6)
    before = log_cumulative + torch.where(cumulative > 1e-6, share, 1).log()
    return torch.where(followed > 0, exact, -event * before)


class Weibull(Objective):
    r"""Weibull distributions, learnt by maximum likelihood.

    Time is continuous: there are no bins to choose and no baseline to estimate afterwards. Each patient has a scale and
    a shape of her own, so that hazards may rise, fall and cross. Use it where events are few, for smooth curves, or for
    members of an ensemble, for which [1]_ found it the best choice; and not where hazards rise and fall again.

    Attributes
    ----------
    n_outputs_ : int
        2: the logarithms of the scale, as a multiple of `time_scale_`, and of the shape.
    time_scale_ : float
        Mean of the training times, in their unit. What is learnt does not depend on the unit.
    initial_outputs_ : ndarray of shape (2,)
        Outputs of the maximum-likelihood Weibull distribution of the training patients as a whole, from which training
        starts. Its shape lies between 1/20 and 20, because of a single event the likelihood may have no maximum.
    unique_times_ : ndarray of shape (n_unique_times,)
        0 and the distinct training times, of more than 1,000 as many, evenly by rank: where the curves step.

    See Also
    --------
    DiscreteHazard : Leaves the form of the curve to the data.

    Notes
    -----
    With scale :math:`\lambda`, shape :math:`k` and :math:`z = k (\log t - \log \lambda)`, the cumulative hazard is
    :math:`H = e^z` and the loss of a patient :math:`H - \log h` at an event, with the logarithm of the hazard
    :math:`\log h = \log k - \log t + z`, and :math:`H` at a censoring ([2]_, chapter 3).

    So that one outlier does not overturn the network, and no number overflows, exponentials go on as their tangent
    where their argument exceeds 3. Beyond :math:`z = 3`, where survival is :math:`e^{-20}`, it is
    :math:`H = e^3 (z - 2)` and :math:`\log h = \log k - \log t + 3`: the distribution is a proper one whose last
    :math:`e^{-20}` has a heavier tail. Shapes beyond 20, and 1 / shape beyond 20, grow linearly with the output. So
    whoever is predicted badly teaches something, however badly.

    A hazard at time 0 is 0 or infinite unless the shape is 1. So an event at time 0 is taken to lie between 0 and the
    smallest positive training time :math:`t_1`, with the loss :math:`-\log(1 - e^{-H(t_1)})`, and a patient censored
    at 0 teaches nothing.

    The risk is the probability of an event up to a training time, averaged over `unique_times_`. It orders patients
    also where their hazards cross, and as the scale does where shapes are equal.

    References
    ----------
    .. [1] Kirpichenko, S., Konstantinov, A., Utkin, L. "TabSurv: Adapting modern tabular neural networks to survival
           analysis", arXiv:2605.03944, 2026.
    .. [2] Kalbfleisch, J. D., Prentice, R. L. "The Statistical Analysis of Failure Time Data", 2nd edition, Wiley,
           2002.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sksurv_mmf.objectives import Weibull
    >>> objective = Weibull().fit(np.array([True, True, False]), np.array([1.0, 3.0, 2.0]))
    >>> objective.unique_times_
    array([0., 1., 2., 3.])
    >>> outputs = torch.tensor([[0.0, 0.0]])  # scale 2, the mean time, and shape 1: a hazard of 1/2
    >>> objective.cumulative_hazard(outputs)
    tensor([[0.0000, 0.5000, 1.0000, 1.5000]])
    """

    def fit(self, event: np.ndarray, time: np.ndarray) -> "Weibull":
        check_times_differ(time)
        self.n_outputs_ = 2
        self.time_scale_ = float(time.mean())
        self.unique_times_ = np.append(0.0, evenly(np.unique(time[time > 0]), MOST_STEPS))
        self.initial_outputs_ = self._marginal_outputs(event, time)
        return self

    def _marginal_outputs(self, event, time):
        target = self._encode(event, time)

        def loss_and_gradient(outputs):
            outputs = torch.tensor(outputs, requires_grad=True)
            loss = self.loss(outputs.expand(len(time), -1), target)
            return loss.item(), torch.autograd.grad(loss, outputs)[0].numpy()

        bounds = [(None, None), (-TANGENT_FROM, TANGENT_FROM)]
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
        return minimize(loss_and_gradient, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x

    def _log_time(self, time):
        # Not the logarithm of the ratio, which may underflow.
        return np.log(time) - np.log(self.time_scale_)

    def _encode(self, event, time):
        time = np.asarray(time, dtype=float)
        log_time = self._log_time(np.where(time > 0, time, self.unique_times_[1]))
        return tuple(torch.as_tensor(np.array(one, dtype=float)) for one in (log_time, event, time > 0))

    def encode(self, event: np.ndarray, time: np.ndarray) -> tuple[Tensor, ...]:
        return tuple(one.float() for one in self._encode(event, time))

    def strata(self, event: np.ndarray, time: np.ndarray) -> np.ndarray:
        return np.asarray(event, dtype=int)

    def losses(self, outputs: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        """Loss of each patient.

        Parameters
        ----------
        outputs : Tensor of shape (..., n_patients, 2)
            The network's outputs.
        target : tuple of Tensor
            What `encode` returned for these patients; with the axes in front of the patients that `outputs` has, or
            without.

        Returns
        -------
        losses : Tensor of shape (..., n_patients)
            The losses, of which `loss` is the mean.
        """
        return weibull_nll(outputs, *target)

    def risk(self, outputs: Tensor) -> Tensor:
        return -torch.expm1(-self.cumulative_hazard(outputs)).mean(dim=-1)

    def cumulative_hazard(self, outputs: Tensor) -> Tensor:
        log_time = torch.as_tensor(self._log_time(self.unique_times_[1:]), dtype=outputs.dtype, device=outputs.device)
        _, z = log_time_ratio(outputs.unsqueeze(-2), log_time)
        hazard = log_tangent_exp(z).exp()
        return never_falling(torch.cat([torch.zeros_like(hazard[..., :1]), hazard], dim=-1))
