"""Which patients the members of an ensemble see."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sksurv_mmf.outcome._outcome import Outcome
from sksurv_mmf.training._samples import draw_samples


def outcome_of(n_patients=57, n_events=20):
    event = np.zeros(n_patients, dtype=bool)
    event[np.random.default_rng(0).permutation(n_patients)[:n_events]] = True
    return Outcome(event, np.arange(n_patients) + 1.0)


@pytest.mark.parametrize("max_samples", [0.5, 0.632, 0.8, 0.97])
@pytest.mark.parametrize("n_members", [2, 5, 10, 23])
def test_each_group_loses_its_share_and_each_patient_is_left_out_as_often(n_members, max_samples):
    outcome = outcome_of()
    samples = draw_samples(outcome, n_members, max_samples, 0)
    assert samples.shape == (n_members, 57)
    for group in (outcome.event, ~outcome.event):
        n_left_out = (~samples[:, group]).sum(axis=1)
        assert_array_equal(n_left_out, round((1 - max_samples) * group.sum()))
        assert np.ptp((~samples[:, group]).sum(axis=0)) <= 1


def test_nobody_is_left_out_again_before_all_were():
    samples = draw_samples(outcome_of(50, 20), 5, 0.8, 0)
    assert_array_equal((~samples).sum(axis=0), 1)


def test_a_number_is_that_share():
    outcome = outcome_of(60, 20)
    by_number = draw_samples(outcome, 4, 45, 0)
    assert_array_equal(by_number, draw_samples(outcome, 4, 0.75, 0))
    assert_array_equal(by_number.sum(axis=1), 45)
    # 1 is one patient, and 1.0 are all.
    with pytest.raises(ValueError, match="max_samples=1 leaves each network"):
        draw_samples(outcome, 2, 1, 0)
    assert draw_samples(outcome, 2, 1.0, 0).all()


@pytest.mark.parametrize(("max_samples", "message"), [(61, "more than the 60"), (0.01, "too few to learn from")])
def test_what_no_network_could_learn_from_is_refused(max_samples, message):
    with pytest.raises(ValueError, match=message):
        draw_samples(outcome_of(60, 20), 2, max_samples, 0)


def test_the_seed_decides():
    outcome = outcome_of()
    one, same, other = (draw_samples(outcome, 4, 0.8, seed) for seed in (3, 3, 4))
    assert_array_equal(one, same)
    assert (one != other).any(axis=1).all()
    assert len({sample.tobytes() for sample in one}) == 4


def test_pairs_are_left_out_by_chance():
    """Who is left out beside whom differs from deck to deck."""
    samples = draw_samples(outcome_of(50, 20), 200, 0.8, 0)
    together = (~samples).astype(float).T @ (~samples)
    others = together[~np.eye(50, dtype=bool)]
    # Each is left out 40 times, each time beside 9 of the 49 others. Always beside the same, it would be 40 or 0 times.
    assert others.mean() == pytest.approx(40 * 9 / 49)
    assert others.max() < 25
