"""Weights of a mixture of predictions that are there already."""

import numpy as np

MOST_STEPS = 500
CONVERGED = 1e-6  # by which no weight changes any more


def mixture_weights(likelihood, prior, strength):
    """Weights of the components of a mixture, shape (n_components,), that make observations likely.

    The maximum of the posterior under a Dirichlet prior, by expectation and maximisation.

    Parameters
    ----------
    likelihood : ndarray of shape (n_observations, n_components)
        Likelihood of each observation under each component, positive.
    prior : ndarray of shape (n_components,)
        Weights without any observation; they sum to one.
    strength : float
        How many observations the prior is worth.
    """
    weights = np.asarray(prior, dtype=float)
    for _ in range(MOST_STEPS):
        shares = weights * likelihood
        shares /= shares.sum(axis=1, keepdims=True)
        before, weights = weights, strength * prior + shares.sum(axis=0)
        weights = weights / weights.sum()
        if np.abs(weights - before).max() < CONVERGED:
            break
    return weights
