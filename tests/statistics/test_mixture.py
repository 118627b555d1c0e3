"""Weights of a mixture."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sksurv_mmf.statistics._mixture import mixture_weights

EVEN = np.full(2, 0.5)


def test_two_components_that_never_agree_share_as_observations_do():
    """Each observation is possible under one component alone, so that the weights are counts, also of the prior."""
    likelihood = np.array([[1.0, 1e-300]] * 6 + [[1e-300, 1.0]] * 2)
    assert_allclose(mixture_weights(likelihood, EVEN, 0.0), [6 / 8, 2 / 8])
    assert_allclose(mixture_weights(likelihood, EVEN, 4.0), [8 / 12, 4 / 12])
    assert_allclose(mixture_weights(likelihood, np.array([0.9, 0.1]), 10.0), [15 / 18, 3 / 18])


def test_a_maximum_that_is_known():
    """With weight w of the first, the likelihood (1 + 3 w)(3 - 2 w) is largest at 7 / 12, (1 + w)(4 - 3 w) at 1 / 6."""
    assert_allclose(mixture_weights(np.array([[2.0, 1], [1, 4]]), EVEN, 0.0), [1 / 6, 5 / 6], atol=1e-4)
    assert_allclose(mixture_weights(np.array([[4.0, 1], [1, 3]]), EVEN, 0.0), [7 / 12, 5 / 12], atol=1e-4)


@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_it_is_the_maximum_of_the_posterior(strength):
    rng = np.random.default_rng(0)
    likelihood, prior = rng.random((40, 4)), np.array([0.1, 0.2, 0.3, 0.4])

    def loss(logits):
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        return -np.log(likelihood @ weights).sum() - strength * prior @ np.log(weights)

    best = np.exp(minimize(loss, np.zeros(4), tol=1e-12).x)
    assert_allclose(mixture_weights(likelihood, prior, strength), best / best.sum(), atol=1e-3)


def test_limits_of_the_prior():
    likelihood, prior = np.random.default_rng(0).random((30, 3)), np.array([0.2, 0.5, 0.3])
    assert_allclose(mixture_weights(likelihood, prior, 1e9), prior, atol=1e-6)
    assert_allclose(mixture_weights(np.empty((0, 3)), prior, 5.0), prior)
    likelihood[:, 1] += 10
    assert_allclose(mixture_weights(likelihood, prior, 0.0), [0, 1, 0], atol=1e-3)


def test_the_size_of_a_likelihood_does_not_matter():
    rng = np.random.default_rng(0)
    likelihood = rng.random((30, 3))
    scaled = likelihood * np.exp(rng.normal(size=(30, 1)) * 5)
    prior = np.full(3, 1 / 3)
    assert_allclose(mixture_weights(scaled, prior, 2.0), mixture_weights(likelihood, prior, 2.0), rtol=1e-9)
    assert mixture_weights(scaled, prior, 2.0).sum() == pytest.approx(1)
