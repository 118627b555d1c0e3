"""Sums over pairs that are not looked at one by one are those over the matrix of all pairs."""

import numpy as np
import pytest
from pairs import comparable, higher, ratio_of_sums

from sksurv_mmf.statistics._kaplan_meier import kaplan_meier
from sksurv_mmf.statistics._pair_sums import PairSums, event_rank, pair_weight, sums_of_each, weighted_concordance


@pytest.fixture(params=[1, 2, 5, 37, 200])
def patients(request):
    """Patients with ties of every kind: events, censored ones and risks."""
    rng, n = np.random.default_rng(request.param), request.param
    event, time = rng.random(n) < 0.6, rng.integers(0, max(2, n // 3), n).astype(float)
    return event, time, rng.integers(0, max(2, n // 4), n) / 7, rng.standard_normal(n), rng


def test_ranks_say_who_is_comparable(patients):
    event, time, *_ = patients
    rank = event_rank(event, time)
    found = event[:, np.newaxis] & (rank[:, np.newaxis] < rank)
    np.testing.assert_array_equal(found, comparable(event, time))


def test_sums_are_those_over_the_matrix_of_pairs(patients):
    event, time, tied, risk, rng = patients
    drawn = rng.multinomial(len(time), np.full(len(time), 1 / len(time)), size=6).T.astype(float)
    left, rank = drawn * (rng.random((len(time), 1)) * event[:, np.newaxis]), event_rank(event, time)
    pairs = comparable(event, time).astype(float)
    expected = np.einsum("ib,ij,jb->b", left, pairs * (higher(tied) - higher(risk)), drawn)
    found = PairSums(rank, [(1, tied), (-1, risk)], event)(left, drawn)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pair_weight(rank, left, drawn), np.einsum("ib,ij,jb->b", left, pairs, drawn), rtol=1e-12)


def test_sums_of_each_patient_are_those_of_her_row_and_her_column(patients):
    event, time, tied, risk, _ = patients
    pairs, order = comparable(event, time), 3 * higher(tied) - higher(risk)
    sums, n_pairs = sums_of_each(event_rank(event, time), event, [(3, tied), (-1, risk)])
    np.testing.assert_array_equal(sums, (pairs * order).sum(axis=0) + (pairs * order).sum(axis=1))
    np.testing.assert_array_equal(n_pairs, pairs.sum(axis=0) + pairs.sum(axis=1))


def test_the_index_of_resamples_is_that_over_the_matrix(patients):
    event, time, tied, risk, rng = patients
    drawn = rng.multinomial(len(time), np.full(len(time), 1 / len(time)), size=6).astype(float)
    pairs, risks = comparable(event, time), [(1, tied), (-1, risk)]
    expected = ratio_of_sums(pairs * (higher(tied) - higher(risk)), pairs)(drawn)
    found = weighted_concordance(event_rank(event, time), event.astype(float), risks)(drawn)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_resampled_curves_count_who_is_at_risk(patients):
    event, time, *_, rng = patients
    drawn = rng.multinomial(len(time), np.full(len(time), 1 / len(time)), size=6).astype(float)
    at = np.array([-1.0, 0.0, 1.5, time.max(), time.max() + 1])
    curve = np.ones((len(drawn), len(at)))
    for now in np.unique(time[event]):
        n_at_risk, n_events = drawn @ (time >= now), drawn @ (event & (time == now))
        factor = 1 - np.divide(n_events, n_at_risk, out=np.zeros_like(n_events), where=n_at_risk > 0)
        curve *= np.where(at >= now, factor[:, np.newaxis], 1)
    np.testing.assert_allclose(kaplan_meier(drawn, event, time, at), curve, rtol=1e-12)
