"""A simulated cohort of few genes, and arguments that are no numbers of tiles or shares."""

import pytest

from sksurv_mmf.datasets import make_multimodal_survival


@pytest.mark.parametrize(("n_genes", "n_informative"), [(1, 1), (5, 5), (10, 10), (30, 10)])
def test_all_genes_are_informative_if_there_are_few(n_genes, n_informative):
    cohort = make_multimodal_survival(n_patients=10, n_genes=n_genes, n_tiles=2, random_state=0)
    assert len(cohort.genes) == n_informative


def test_ten_said_is_ten_by_default():
    cohorts = [
        make_multimodal_survival(n_patients=10, n_tiles=2, n_informative_genes=n, random_state=0) for n in (None, 10)
    ]
    assert cohorts[0].genes == cohorts[1].genes
    assert (cohorts[0].y == cohorts[1].y).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_tiles": (1, 2, 3)}, r"n_tiles must be .*, got \(1, 2, 3\)"),
        ({"n_tiles": (2.5, 3)}, r"n_tiles must be .* whole numbers .*, got \(2\.5, 3\)"),
        ({"n_tiles": ("a", "b")}, "n_tiles must be"),
        ({"n_tiles": ()}, "n_tiles must be"),
        ({"missing": {"wsi": "many"}}, "missing must give shares"),
        ({"missing": {"wsi": None}}, "missing must give shares"),
    ],
)
def test_other_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_survival(n_patients=10, **arguments)
