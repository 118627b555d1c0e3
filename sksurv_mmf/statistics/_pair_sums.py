"""Sums over pairs of patients as a concordance index needs them, in n log n operations instead of one per pair."""

import numpy as np

from ._paired_tests import divide_or_nan
from ._running_sum import running_sum


def event_rank(event, time):
    """Rank of each patient, such that one with an event is known to have it before those of a higher rank.

    The censored come after the events of the same time: they were without an event then.
    """
    _, rank = np.unique(np.column_stack([time, ~event]), axis=0, return_inverse=True)
    return rank.ravel()


class PairSums:
    """``sum over i, j with rank_i < rank_j of left_i right_j order_ij``, for many `left` and `right` at once.

    `order_ij` is 1 where patient i has the higher risk, 0.5 where the risks are equal and 0 elsewhere; of several risks
    it is the sum of their orders, each with a sign. A sign may be any number; with whole ones, sums are exact.

    Two different ranks first differ at some bit, which is 0 in the lower one, and agree in the higher bits. So each
    pair is met once if, bit by bit, patients who agree in the higher bits are sorted by risk, and those with a 0 look
    up how much of the others lies below them.

    Parameters
    ----------
    rank : ndarray of int, shape (n_patients,)
        Ranks from 0 on.
    risks : list of (sign, ndarray of shape (n_patients,))
        Risks and the signs of their orders.
    acts : ndarray of bool, shape (n_patients,)
        Whose `left` may differ from 0.
    """

    def __init__(self, rank, risks, acts):
        n_bits = int(rank.max(initial=0)).bit_length()
        values = [(sign, np.unique(risk, return_inverse=True)[1]) for sign, risk in risks]
        self.levels = [(sign, [_level(rank, value, acts, bit) for bit in range(n_bits)]) for sign, value in values]

    def __call__(self, left, right):
        """The sums, shape (n_sums,), for `left` and `right` of shape (n_patients, n_sums)."""
        # One risk after the other, so that the difference of a risk to itself is 0.
        return sum(sign * _sum_levels(levels, left, right) for sign, levels in self.levels)

    def by_first(self, right):
        """The sums over j alone, of each patient i who acts, 0 of the others; shape (n_patients,), as `right`."""
        total = np.zeros(len(right))
        for sign, levels in self.levels:
            for early, found in _of_levels(levels, right[:, np.newaxis]):
                total[early] += sign * found[:, 0]
        return total


def _sum_levels(levels, left, right):
    total = np.zeros(left.shape[1])
    for early, found in _of_levels(levels, right):
        total += np.einsum("ij,ij->j", left[early], found)
    return total


def _of_levels(levels, right):
    """Yield at each bit the patients whose bit is 0, and for each of them the sums over those whose bit is 1."""
    for early, late, first, below, upto in levels:
        summed = running_sum(right[late], axis=0)
        yield early, (summed[below] + summed[upto]) / 2 - summed[first]


def _level(rank, value, acts, bit):
    """Patients whose bit is 0, those whose bit is 1 in the order of risk, and for each of the former three counts.

    The counts are of patients of the second kind: of those in groups before hers, and with them of those of her group
    with a lower risk, and with a risk that is not higher.
    """
    group = rank >> (bit + 1)
    order = np.lexsort((value, group))
    late = (rank[order] >> bit & 1).astype(bool)
    n_late = np.concatenate([[0], np.cumsum(late)])
    early = order[~late & acts[order]]
    # Group and risk in one number, by which all are sorted.
    n_values = int(value.max(initial=0)) + 1
    place, wanted = group[order] * n_values + value[order], group[early] * n_values + value[early]
    first = np.searchsorted(group[order], group[early])
    below, upto = (np.searchsorted(place, wanted, side=side) for side in ("left", "right"))
    return early, order[late], n_late[first], n_late[below], n_late[upto]


def pair_weight(rank, left, right):
    """``sum over i, j with rank_i < rank_j of left_i right_j``, shape (n_sums,)."""
    order = np.argsort(rank, kind="stable")
    summed = running_sum(right[order], axis=0)
    upto = np.searchsorted(rank[order], rank, side="right")
    return np.einsum("ij,ij->j", left, summed[-1] - summed[upto])


def sums_of_each(rank, acts, risks):
    """What the pairs of each patient add up to, those in which she comes first and those in which she comes second.

    Parameters
    ----------
    rank : ndarray of int, shape (n_patients,)
        Ranks from 0 on; pairs are compared whose first patient has the lower one.
    acts : ndarray of bool, shape (n_patients,)
        Who may come first.
    risks : list of (sign, ndarray of shape (n_patients,))
        Risks and the signs of their orders.

    Returns
    -------
    sums, n_pairs : ndarray of shape (n_patients,)
        The sum of the orders of her pairs, and their number.
    """
    everybody = np.ones(len(rank))
    as_first = PairSums(rank, risks, acts).by_first(everybody)
    # Seen from the second patient, ranks and risks run the other way.
    backwards = PairSums(rank.max(initial=0) - rank, [(sign, -risk) for sign, risk in risks], everybody > 0)
    after = len(rank) - np.searchsorted(np.sort(rank), rank, side="right")
    n_pairs = acts * after + np.searchsorted(np.sort(rank[acts]), rank)
    return as_first + backwards.by_first(acts.astype(float)), n_pairs


def weighted_concordance(rank, weight, risks):
    """A concordance index, or a sum or difference of several, as a function of how often each patient was drawn.

    Parameters
    ----------
    rank : ndarray of int, shape (n_patients,)
        Ranks from 0 on; pairs are compared whose first patient has the lower one.
    weight : ndarray of shape (n_patients,)
        Weight of the pairs by their first patient.
    risks : list of (sign, ndarray of shape (n_patients,))
        One risk with the sign 1, or several, whose indices are added up by their signs.

    Returns
    -------
    callable
        From counts of shape (n_resamples, n_patients) to shape (n_resamples,); NaN where no pair can be compared.
    """
    sums = PairSums(rank, risks, weight > 0)

    def index(drawn):
        left, right = (drawn * weight).T, drawn.T
        return divide_or_nan(sums(left, right), pair_weight(rank, left, right))

    return index


def stratified_concordance(stratum, rank, weight, risks):
    """As `weighted_concordance`, over the pairs of patients of the same stratum, of all strata together.

    Strata that are too small to have an index of their own count with the pairs that they have.
    """
    parts = []
    for one in np.unique(stratum):
        rows = np.flatnonzero(stratum == one)
        own = [(sign, risk[rows]) for sign, risk in risks]
        parts.append((rows, rank[rows], PairSums(rank[rows], own, weight[rows] > 0)))

    def index(drawn):
        left, right = (drawn * weight).T, drawn.T
        above = sum(sums(left[rows], right[rows]) for rows, _, sums in parts)
        below = sum(pair_weight(own, left[rows], right[rows]) for rows, own, _ in parts)
        return divide_or_nan(above, below)

    return index
