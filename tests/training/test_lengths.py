"""How long to train: what patients say whom members have not seen."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sksurv_mmf.outcome._outcome import Outcome
from sksurv_mmf.training._lengths import (
    LEAST,
    average_weights,
    epochs_to_keep,
    intervals,
    left_out_groups,
    outcome_likelihood,
    weigh_lengths,
)


@pytest.mark.parametrize(
    ("max_epochs", "epochs"),
    [(12, [4, 8, 12, 16, 20, 24, 28, 32, 36]), (1, [1, 2, 3]), (2, [1, 2, 3, 4, 5, 6]), (3, list(range(1, 10)))],
)
def test_weights_are_kept_up_to_three_times_the_usual_length(max_epochs, epochs):
    assert epochs_to_keep(max_epochs, with_start=False) == epochs
    assert epochs_to_keep(max_epochs, with_start=True) == [0, *epochs]


class TestShares:
    epochs = [4, 8, 12, 16, 24, 36]

    def shares(self, likelihood):
        return weigh_lengths(np.asarray(likelihood), self.epochs, 12)

    def test_without_patients_they_are_around_the_usual_length(self):
        shares = self.shares(np.empty((0, 6)))
        assert shares.sum() == pytest.approx(1)
        assert self.epochs[shares.argmax()] == 12
        # As much half as long as twice as long would be: a normal distribution of the logarithm.
        assert shares[0] == pytest.approx(shares[5])
        assert shares[3] / shares[2] == pytest.approx(np.exp(-2 * np.log(16 / 12) ** 2))

    def test_patients_to_whom_all_are_alike_change_nothing(self):
        likelihood = np.random.default_rng(0).random((50, 1)) * np.ones(6)
        assert_allclose(self.shares(likelihood), self.shares(np.empty((0, 6))), atol=1e-5)

    @pytest.mark.parametrize("best", range(6))
    def test_a_length_that_is_far_better_takes_all(self, best):
        likelihood = np.full((200, 6), 0.01)
        likelihood[:, best] = 0.5
        assert self.shares(likelihood)[best] > 0.95

    def test_a_few_patients_do_not_overrule_what_is_usual(self):
        likelihood = np.full((3, 6), 0.3)
        likelihood[:, 0] = 0.6
        shares = self.shares(likelihood)
        assert shares[0] > self.shares(np.empty((0, 6)))[0]
        assert shares[0] < 0.5


class TestLikelihood:
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    survival = np.array([[1.0, 0.7, 0.4, 0.1]])

    @pytest.mark.parametrize(
        ("event", "time", "expected"),
        [
            (True, 0.0, 0.3),
            (True, 0.5, 0.3),
            (True, 1.0, 0.3),
            (True, 1.1, 0.3),
            (True, 3.0, 0.3),
            (True, 9.0, 0.3),
            (False, 0.5, 0.85),
            (False, 1.5, 0.55),
            (False, 4.0, 0.25),
            (False, 9.0, 0.25),
        ],
    )
    def test_an_event_has_its_interval_and_a_censored_lives_to_its_middle(self, event, time, expected):
        outcome = Outcome(np.array([event]), np.array([time]))
        assert outcome_likelihood(self.survival, self.edges, outcome)[0] == pytest.approx(expected)

    def test_events_of_all_intervals_sum_to_one_minus_survival(self):
        survival = np.array([[1.0, 0.9, 0.5, 0.45]] * 3)
        outcome = Outcome(np.ones(3, dtype=bool), np.array([0.5, 1.5, 3.0]))
        found = outcome_likelihood(survival, self.edges, outcome)
        assert_allclose(found, [0.1, 0.4, 0.05])

    def test_no_patient_is_impossible(self):
        outcome = Outcome(np.array([True, False]), np.array([0.5, 3.0]))
        found = outcome_likelihood(np.array([[1.0, 1.0, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]), self.edges, outcome)
        assert_array_equal(found, LEAST)

    def test_intervals_have_equally_many_events(self):
        rng = np.random.default_rng(0)
        outcome = Outcome(rng.random(600) < 0.5, rng.exponential(size=600))
        edges = intervals(outcome)
        assert (edges[0], edges[-1], len(edges)) == (0, outcome.time.max(), 13)
        counts = np.histogram(outcome.time[outcome.event], edges)[0]
        assert np.ptp(counts) <= 2

    def test_intervals_of_a_single_event(self):
        edges = intervals(Outcome(np.array([True, False]), np.array([3.0, 5.0])))
        assert_array_equal(edges, [0, 3, 5])


class TestAverage:
    states = [{"weight": torch.tensor([1.0, 2.0]) * k, "count": torch.tensor(k)} for k in (1, 2, 4)]

    def test_it_is_the_mean_by_shares(self):
        found = average_weights(self.states, np.array([0.5, 0.25, 0.25]))
        torch.testing.assert_close(found["weight"], torch.tensor([2.0, 4.0]))
        assert found["count"] == 4

    @pytest.mark.parametrize("shares", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    def test_of_equal_states_it_is_the_state(self, shares):
        weight = torch.randn(5, generator=torch.Generator().manual_seed(0))
        found = average_weights([{"weight": weight}] * 3, np.array(shares))
        torch.testing.assert_close(found["weight"], weight)

    def test_one_that_has_all_the_share_is_the_average(self):
        found = average_weights(self.states, np.array([0.0, 1.0, 0.0]))
        torch.testing.assert_close(found["weight"], self.states[1]["weight"])


def test_patients_are_grouped_by_who_left_them_out():
    samples = np.array([[1, 0, 1, 0, 1], [1, 1, 0, 1, 1], [1, 0, 1, 0, 0]], dtype=bool)
    found = {tuple(rows.tolist()): members.tolist() for rows, members in left_out_groups(samples)}
    assert found == {(1, 3): [0, 2], (2,): [1], (4,): [2]}
