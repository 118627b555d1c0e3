"""What every objective promises."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator
from torch import Tensor

from ..utils._old_names import renamed_method


def check_times_differ(time: np.ndarray) -> None:
    """Refuse training patients whose times are all equal."""
    if time.min() == time.max():
        raise ValueError(
            f"All {len(time)} times equal {time[0]:g}, so there is no order to learn. Check that y holds "
            "follow-up times."
        )


def never_falling(cumulative_hazard: Tensor) -> Tensor:
    """Running maximum along each row: what falls in the last digit is rounding, which differs between processors."""
    return cumulative_hazard.cummax(dim=-1).values


def mean_of(losses: Callable) -> Callable:
    """The method `loss` to a method `losses`."""

    def loss(self, outputs: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        return losses(self, outputs, target).mean(dim=-1)

    loss.__doc__ = Objective.loss.__doc__
    return loss


class Objective(BaseEstimator, ABC):
    """What a network learns: the loss, and how its outputs become a risk and a survival curve.

    `fit` learns from the training patients what the loss needs (bin edges, say); an estimator fits a clone, so
    the object that a user passes stays as it was. After training, `fit_baseline` may learn from the outputs.

    The objectives of this package count the axes of outputs from the end: where further ones stand in front of the
    patients, there is one loss, and one risk and curve of each patient, for every entry of theirs.

    Attributes
    ----------
    decomposes : bool
        Whether the loss of a step is the mean of losses that patients have by themselves. A class attribute, True
        unless set. If False, `loss` always gets all patients of a step at once.
    losses : callable or None
        ``losses(outputs, target)``, the loss of each patient, of shape (n_patients,); of `outputs` and of each tensor
        of `target` with further, equal axes in front of the patients, (..., n_patients). None unless defined. An
        objective that decomposes may define it; ensembles then compute all members at once. A class that defines it
        without `loss` has their mean as its loss, and one that overrides `loss` alone has no `losses`: those that it
        would inherit belong to another loss.
    proportional : bool
        Whether outputs differ between patients by one common number: the network's last layer has one row of weights
        and a bias for each of the `n_outputs_`. False unless set.
    n_outputs_ : int
        Number of outputs that the network must have.
    initial_outputs_ : float or ndarray of shape (`n_outputs_`,)
        Where the outputs start before anything is learnt; 0.0 unless set.
    unique_times_ : ndarray of shape (n_unique_times,)
        The times, in the unit of the training times, at which the survival curves step. The first is 0.

    Examples
    --------
    A constant hazard, the exponential of the network's only output:

    >>> import numpy as np
    >>> import torch
    >>> from sksurv_mmf.objectives import Objective
    >>> class ConstantHazard(Objective):
    ...     def fit(self, event, time):
    ...         self.n_outputs_, self.unique_times_ = 1, np.linspace(0, time.max(), 3)
    ...         return self
    ...
    ...     def encode(self, event, time):
    ...         return torch.as_tensor(event), torch.as_tensor(time)
    ...
    ...     def strata(self, event, time):
    ...         return event.astype(int)
    ...
    ...     def loss(self, outputs, target):
    ...         event, time = target
    ...         return (outputs[..., 0].exp() * time - outputs[..., 0] * event).mean(dim=-1)
    ...
    ...     def risk(self, outputs):
    ...         return outputs[..., 0]
    ...
    ...     def cumulative_hazard(self, outputs):
    ...         return outputs.exp() * torch.as_tensor(self.unique_times_)
    >>> objective = ConstantHazard().fit(np.array([True, False]), np.array([2.0, 8.0]))
    >>> objective.cumulative_hazard(torch.zeros(1, 1)).tolist()
    [[0.0, 4.0, 8.0]]
    """

    decomposes = True
    losses = None
    proportional = False
    initial_outputs_ = 0.0

    _parameter_constraints = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        renamed_method(cls, "finish", "fit_baseline")
        owner = vars(next(one for one in cls.__mro__ if {"loss", "losses"} & vars(one).keys()))
        if "losses" not in owner:
            cls.losses = None
        elif "loss" not in owner:
            cls.loss = mean_of(owner["losses"])

    @abstractmethod
    def fit(self, event: np.ndarray, time: np.ndarray) -> "Objective":
        """Learn from the training patients.

        Parameters
        ----------
        event : ndarray of bool, shape (n_patients,)
            Whether the event was observed.
        time : ndarray of float, shape (n_patients,)
            Time of the event or of censoring.

        Returns
        -------
        self : Objective
            The fitted objective.
        """

    @abstractmethod
    def encode(self, event: np.ndarray, time: np.ndarray) -> tuple[Tensor, ...]:
        """Targets of the given patients, one row each.

        Parameters
        ----------
        event : ndarray of bool, shape (n_patients,)
            Whether the event was observed.
        time : ndarray of float, shape (n_patients,)
            Time of the event or of censoring.

        Returns
        -------
        target : tuple of Tensor
            What `loss` takes.
        """

    @abstractmethod
    def strata(self, event: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Class of each patient for balanced sampling.

        Parameters
        ----------
        event : ndarray of bool, shape (n_patients,)
            Whether the event was observed.
        time : ndarray of float, shape (n_patients,)
            Time of the event or of censoring.

        Returns
        -------
        strata : ndarray of int, shape (n_patients,)
            Patients with equal numbers belong together.
        """

    def informs(self, target: tuple[Tensor, ...]) -> bool:
        """Whether these patients together teach anything; asked if the loss does not decompose.

        Parameters
        ----------
        target : tuple of Tensor
            What `encode` returned for these patients.

        Returns
        -------
        informs : bool
            True unless overridden.
        """
        return True

    @abstractmethod
    def loss(self, outputs: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        """Mean loss of a batch.

        Parameters
        ----------
        outputs : Tensor of shape (n_patients, `n_outputs_`)
            The network's outputs.
        target : tuple of Tensor
            What `encode` returned for these patients.

        Returns
        -------
        loss : Tensor
            A scalar.
        """

    def fit_baseline(self, predict: Callable[[], Tensor], event: np.ndarray, time: np.ndarray) -> "Objective":
        """Learn what depends on the trained network, a baseline hazard say; nothing unless overridden.

        Parameters
        ----------
        predict : callable
            Without arguments, computes the outputs of the training patients as float64.
        event : ndarray of bool, shape (n_patients,)
            Whether the event was observed.
        time : ndarray of float, shape (n_patients,)
            Time of the event or of censoring.

        Returns
        -------
        self : Objective
            The objective, complete.
        """
        return self

    @abstractmethod
    def risk(self, outputs: Tensor) -> Tensor:
        """Risk score, higher for an earlier event.

        Parameters
        ----------
        outputs : Tensor of shape (n_patients, `n_outputs_`)
            The network's outputs.

        Returns
        -------
        risk : Tensor of shape (n_patients,)
            The scores.
        """

    @abstractmethod
    def cumulative_hazard(self, outputs: Tensor) -> Tensor:
        """Cumulative hazard, minus the logarithm of the survival function.

        Parameters
        ----------
        outputs : Tensor of shape (n_patients, `n_outputs_`)
            The network's outputs.

        Returns
        -------
        cumulative_hazard : Tensor of shape (n_patients, n_unique_times)
            Its values at `unique_times_`.
        """


renamed_method(Objective, "finish", "fit_baseline")
