"""What chance alone would make of a score."""

import numpy as np
from scipy.stats import norm

QUANTILE = norm.ppf(0.995)


def margin_of_chance(y, risk=None, n_shuffles=300):
    """How far from 0.5 the C-index lies in 99 of 100 cases if the outcomes of patients change hands at random.

    Without `risk`, of any risks that are not tied.
    """
    event, time = (y[name] for name in y.dtype.names)
    risk = np.arange(len(y)) if risk is None else risk
    dies_earlier = event[:, None] & (time[:, None] < time)
    order = np.sign(risk[:, None] - risk) / 2
    rng = np.random.default_rng(0)
    shuffles = [rng.permutation(len(y)) for _ in range(n_shuffles)]
    return QUANTILE * np.std([order[np.ix_(one, one)][dies_earlier].mean() for one in shuffles])


def beats_chance(score, y, n_shuffles=30):
    """Whether ``score(y)`` is higher than in 99 of 100 cases if the outcomes of patients change hands at random."""
    rng = np.random.default_rng(0)
    by_chance = [score(rng.permutation(y)) for _ in range(n_shuffles)]
    return score(y) > np.mean(by_chance) + QUANTILE * np.std(by_chance)
