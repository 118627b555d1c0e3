"""Which training patients each member of an ensemble sees."""

from numbers import Integral

import numpy as np

from ..outcome._outcome import Outcome


def draw_samples(outcome: Outcome, n_members: int, max_samples: float | int, seed: int) -> np.ndarray:
    """Who is in the sample of each member: bool, shape (n_members, n_patients).

    Samples are drawn without replacement, and of those with an event as large a share as of the others. The members
    leave patients out in turn, so that all patients are left out equally often, to within one.
    """
    n_patients = len(outcome)
    if isinstance(max_samples, Integral) and max_samples > n_patients:
        raise ValueError(f"max_samples={max_samples} is more than the {n_patients} training patients; use 0.8 of them.")
    share = max_samples / n_patients if isinstance(max_samples, Integral) else max_samples
    rng = np.random.default_rng(seed)
    samples = np.ones((n_members, n_patients), dtype=bool)
    for group in (np.flatnonzero(outcome.event), np.flatnonzero(~outcome.event)):
        n_left_out = round((1 - share) * len(group))
        deck = np.empty(0, dtype=int)
        for sample in samples:
            # Who was left out longest ago comes first; a new deck goes below the rest of the old one.
            if len(deck) < n_left_out:
                rest = rng.permutation(np.setdiff1d(group, deck))
                deck = np.concatenate([deck, rest, rng.permutation(deck)])
            sample[deck[:n_left_out]] = False
            deck = deck[n_left_out:]
    n_seen, n_events = samples[0].sum(), samples[0, outcome.event].sum()
    if n_seen < 2 or not n_events:
        raise ValueError(
            f"max_samples={max_samples} leaves each network {n_seen} of {n_patients} training patients with {n_events} "
            "events, too few to learn from. Raise max_samples, or use n_estimators=1."
        )
    return samples
