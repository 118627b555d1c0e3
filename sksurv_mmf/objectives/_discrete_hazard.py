"""Discrete-time hazards and their negative log-likelihood."""

from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ..statistics._evenly import MOST_STEPS, evenly
from ..utils._sklearn import Interval, StrOptions
from ..utils._warnings import warn
from ._base import Objective, check_times_differ, never_falling

# How far the outer edges lie outside the observed times, as a share of the last one. The published code has 1e-6 in
# the unit of the times, which makes curves depend on the unit.
MARGIN = 1e-6

AUTO_BINS = (4, 16)  # fewest and most that "auto" takes
EVENTS_PER_BIN = 6  # of "auto"

FEW_BINS = 10  # so many may be asked for whatever the number of events; what is too many is merged then


def survival_bin_edges(event: np.ndarray, time: np.ndarray, n_bins: int) -> np.ndarray:
    """Edges of `n_bins` time bins ``[a, b)`` with equally many events each.

    Inner edges are quantiles of the uncensored times; the outer ones lie just outside all times. Tied quantiles
    are merged, so there may be fewer bins.
    """
    # The published code has the percentiles of pandas 2; quantiles differ from them in the last bit.
    event_times = time[event]
    inner = np.unique(np.percentile(event_times, 100 * np.linspace(0, 1, n_bins + 1)[1:-1]))
    low, high = time.min() - MARGIN * time.max(), time.max() * (1 + MARGIN)
    return np.concatenate([[low], inner[inner > event_times.min()], [high]])


def cumulative_hazards(logits: Tensor) -> Tensor:
    """``-log S_k`` after each bin, shape (..., n_bins), with ``log(1 - h) = -softplus(logit)``."""
    return softplus(logits).cumsum(dim=-1)


def bins_as_questions(bin_index: Tensor, event: Tensor, n_bins: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Whether the event happens in each bin, and how much that counts; both of shape (n_patients, n_bins).

    `bin_index` (int64) and `event` (bool) have the shape (n_patients,). Bins that the patient did not enter do not
    count; those of a censored patient count ``1 - alpha``.
    """
    bins, last, event = torch.arange(n_bins), bin_index.unsqueeze(-1), event.unsqueeze(-1)
    return ((bins == last) & event).double(), (bins <= last) * (1 - alpha * (~event).double())


def discrete_hazard_nll(logits: Tensor, happens: Tensor, counts: Tensor) -> Tensor:
    """Negative log-likelihood of each patient, shape (..., n_patients), from logits of shape (..., n_patients, n_bins).

    `happens` and `counts`, of shape (n_patients, n_bins), are what `bins_as_questions` returns. It is the cross-entropy
    of one yes-or-no question per bin, whether the event happens there, over the bins that the patient entered; exact
    and with a useful gradient at any logit, because no probability is ever formed.
    """
    happens = happens.expand_as(logits)  # of which torch does not see by itself that it fits
    return binary_cross_entropy_with_logits(logits, happens, counts, reduction="none").sum(dim=-1)


# How much of a bin's cumulative hazard has accrued after a fraction of the bin.
INTERPOLATIONS = {
    "linear": lambda hazard, fraction: -torch.log1p(fraction * torch.expm1(-hazard)),
    "exponential": lambda hazard, fraction: fraction * hazard,
}


def interpolate(at_edges: Tensor, edges: np.ndarray, times: np.ndarray, accrued) -> Tensor:
    """Cumulative hazards at `times`, shape (..., n_times), from those at the edges of bins.

    `at_edges` has the shape (..., n_bins + 1), `edges` increases, and all times lie between them.
    """
    k = np.searchsorted(edges[1:-1], times, side="left")
    fraction = torch.as_tensor((times - edges[k]) / (edges[k + 1] - edges[k])).to(at_edges)
    before, after = at_edges[..., k], at_edges[..., k + 1]
    # At the edge itself a linear curve may reach a survival of 0, whose logarithm has no gradient.
    inside = torch.where(fraction < 1, fraction, 0)
    return torch.where(fraction < 1, before + accrued(after - before, inside), after)


def marginal_logits(bin_index: np.ndarray, event: np.ndarray, n_bins: int) -> np.ndarray:
    """Logits of the hazards, shape (n_bins,), of patients about whom nothing is known.

    Half an event and half a survivor more than there are keep the logit of a bin finite in which all have the event.
    """
    events = np.bincount(bin_index[event], minlength=n_bins) + 0.5
    at_risk = np.bincount(bin_index, minlength=n_bins)[::-1].cumsum()[::-1] + 1.0
    return np.log(events / (at_risk - events))


class DiscreteHazard(Objective):
    r"""Hazards in time bins, learnt by maximum likelihood.

    The objective of CM-MMF, PORPOISE and their relatives. Needs no other patients to compute a patient's loss,
    so it trains with a batch of one bag. The bins of these publications are
    ``DiscreteHazard(n_bins=4, interpolation="step", proportional=False)``.

    Parameters
    ----------
    n_bins : int or "auto", default="auto"
        Number of time bins, at most that of the events, or 10 where there are fewer; their edges are quantiles of the
        uncensored training times. "auto" is one bin for every 6 events, at least 4 and at most 16; where few events
        or tied times leave fewer, they are merged without a warning.
    alpha : float, default=0.0
        How much censored patients are played down, in [0, 1): their loss counts ``1 - alpha``. Above 0, hazards are
        overestimated, and survival curves are too low.
    interpolation : {"step", "linear", "exponential"}, default="linear"
        The survival function inside a bin: constant up to the bin's right edge, falling linearly (a constant density
        of events) or exponentially (a constant hazard). The last two step at every training time, of which they take
        1,000 at most. Risk scores and training are the same. Curves of "step" are too high inside the bins, which
        spoils scores of curves, such as Brier's, and calibration.
    proportional : bool, default=True
        Whether patients differ by one number that all bins share, beside a bias for each bin:
        :math:`o_k = f(x) + b_k`, so that the odds of the hazards are proportional ([3]_) and curves do not cross.
        False learns an output for each bin, which takes more events.

    Attributes
    ----------
    bin_edges_ : ndarray of shape (n_bins + 1,)
        Edges of the bins :math:`[e_k, e_{k+1})` in the unit of the training times. Tied quantiles are merged,
        with a warning unless `n_bins` is "auto".
    n_outputs_ : int
        Number of bins.
    initial_outputs_ : ndarray of shape (n_bins,)
        Logits of the hazards of the training patients as a whole, from which training starts.
    unique_times_ : ndarray of shape (n_unique_times,)
        0 and the right edge of every bin, with an interpolation also the training times, of more than 1,000 as many,
        evenly by rank: where the curves step.

    Notes
    -----
    With hazards :math:`h_k = \sigma(o_k)` and :math:`S_k = \prod_{j \le k} (1 - h_j)`, the loss of an event in
    bin :math:`y` is :math:`-\log S_{y-1} - \log h_y` and of a patient censored there
    :math:`-(1 - \alpha) \log S_y` ([1]_, [2]_). All is computed from log-sigmoids: the published code clamps
    probabilities at 1e-7 and has no gradient beyond. It also takes the edges from the whole cohort; here they
    come from the training patients alone. The risk is :math:`-\sum_k S_k`.

    References
    ----------
    .. [1] Zadeh, S. G., Schmid, M. "Bias in cross-entropy-based training of deep survival networks", IEEE
           TPAMI 43, 2020.
    .. [2] Chen, R. J. et al. "Pan-cancer integrative histology-genomic analysis via multimodal deep
           learning", Cancer Cell 40, 2022.
    .. [3] Cox, D. R. "Regression models and life-tables", Journal of the Royal Statistical Society B 34, 1972.

    Examples
    --------
    >>> import numpy as np
    >>> from sksurv_mmf.objectives import DiscreteHazard
    >>> event = np.array([True, True, False, True, True])
    >>> DiscreteHazard(n_bins=2).fit(event, np.array([1.0, 2.0, 9.0, 4.0, 8.0])).bin_edges_.round(3)
    array([1., 3., 9.])
    """

    _parameter_constraints = {
        "n_bins": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "alpha": [Interval(Real, 0, 1, closed="left")],
        "interpolation": [StrOptions({"step", *INTERPOLATIONS})],
        "proportional": ["boolean"],
    }

    def __init__(self, n_bins="auto", *, alpha=0.0, interpolation="linear", proportional=True):
        self.n_bins = n_bins
        self.alpha = alpha
        self.interpolation = interpolation
        self.proportional = proportional

    def fit(self, event: np.ndarray, time: np.ndarray) -> "DiscreteHazard":
        check_times_differ(time)
        self.bin_edges_ = survival_bin_edges(event, time, self._n_bins(event))
        self.n_outputs_ = len(self.bin_edges_) - 1
        if self.n_bins != "auto" and self.n_outputs_ < self.n_bins:
            warn(
                f"One patient of {len(event)} has an event, so that there is one time bin instead of "
                f"n_bins={self.n_bins}, and nothing to learn of when events happen."
                if event.sum() == 1
                else f"The {event.sum()} event times have tied quantiles: {self.n_outputs_} time bins are used instead "
                f"of n_bins={self.n_bins}.",
            )
        self.initial_outputs_ = marginal_logits(self._bin_index(time), event, self.n_outputs_)
        self.unique_times_ = self._right_edges()
        if self.interpolation != "step":
            self.unique_times_ = np.union1d(self.unique_times_, evenly(np.unique(time), MOST_STEPS))
        return self

    def _n_bins(self, event: np.ndarray) -> int:
        """How many bins there are unless quantiles tie."""
        n_events = int(event.sum())
        if self.n_bins == "auto":
            return int(np.clip(n_events // EVENTS_PER_BIN, *AUTO_BINS))
        if self.n_bins > max(n_events, FEW_BINS):
            raise ValueError(
                f"n_bins={self.n_bins} time bins are more than the {n_events} events of the {len(event)} training "
                'patients, so that some bins have none; take "auto", or one for every ten events.'
            )
        return self.n_bins

    def _right_edges(self) -> np.ndarray:
        return np.concatenate([[0.0], self.bin_edges_[1:]])

    def _bin_index(self, time: np.ndarray) -> np.ndarray:
        # Times beyond the training range belong to the outer bins.
        return np.searchsorted(self.bin_edges_[1:-1], time, side="right")

    def encode(self, event: np.ndarray, time: np.ndarray) -> tuple[Tensor, ...]:
        bin_index, event = torch.as_tensor(self._bin_index(time)), torch.as_tensor(np.array(event, dtype=bool))
        return tuple(one.float() for one in bins_as_questions(bin_index, event, self.n_outputs_, self.alpha))

    def strata(self, event: np.ndarray, time: np.ndarray) -> np.ndarray:
        return 2 * self._bin_index(time) + ~event

    def losses(self, outputs: Tensor, target: tuple[Tensor, ...]) -> Tensor:
        """Loss of each patient.

        Parameters
        ----------
        outputs : Tensor of shape (..., n_patients, `n_outputs_`)
            The network's outputs.
        target : tuple of Tensor
            What `encode` returned for these patients; with the axes in front of the patients that `outputs` has, or
            without.

        Returns
        -------
        losses : Tensor of shape (..., n_patients)
            The losses, of which `loss` is the mean.
        """
        return discrete_hazard_nll(outputs, *target)

    def risk(self, outputs: Tensor) -> Tensor:
        return -torch.exp(-cumulative_hazards(outputs)).sum(dim=-1)

    def cumulative_hazard(self, outputs: Tensor) -> Tensor:
        after = cumulative_hazards(outputs)
        at_edges = torch.cat([torch.zeros_like(after[..., :1]), after], dim=-1)
        if self.interpolation == "step":
            return never_falling(at_edges)
        accrued = INTERPOLATIONS[self.interpolation]
        return never_falling(interpolate(at_edges, self._right_edges(), self.unique_times_, accrued))
