"""The last layer, whose outputs may differ between patients by one common number."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.networks._head import SharedLinear
from sksurv_mmf.objectives import DiscreteHazard


def make_head(seed=0):
    torch.manual_seed(seed)
    head = SharedLinear(5, 3).double()
    nn.init.normal_(head.bias)
    return head


def test_it_is_a_linear_layer_of_equal_rows():
    head, full = make_head(), nn.Linear(5, 3).double()
    full.load_state_dict({"weight": head.weight.expand(3, 5), "bias": head.bias})
    vectors = torch.randn(2, 7, 5).double()
    assert_close(head(vectors), full(vectors))
    assert {name: tuple(one.shape) for name, one in head.state_dict().items()} == {"weight": (1, 5), "bias": (3,)}
    assert (head.in_features, head.out_features) == (5, 3)


def test_several_are_computed_at_once():
    heads = [make_head(seed) for seed in range(4)]
    vectors = torch.randn(4, 7, 5).double()
    weights, _ = stack_module_state(heads)
    together = vmap(lambda own, one: functional_call(heads[0], own, (one,)))(weights, vectors)
    assert_close(together, torch.stack([head(one) for head, one in zip(heads, vectors)]))


@pytest.mark.parametrize("proportional", [True, False])
def test_the_objective_decides(make_cohort, proportional):
    cohort = make_cohort()
    objective = DiscreteHazard(4, proportional=proportional)
    params = {"n_estimators": 1, "embedding_dim": 8, "max_epochs": 3, "lr": 0.05, "device": "cpu", "random_state": 0}
    model = FusionSurvivalAnalysis(objective=objective, **params).fit(cohort.X, cohort.y)
    head = model.net_.module_.head
    assert head.weight.shape == (1 if proportional else 4, 16)
    assert head.bias.shape == (4,)
    assert type(head) is (SharedLinear if proportional else nn.Linear)
    logits = head(torch.tensor(model.transform(cohort.X).to_numpy())).detach().numpy()
    spread = np.ptp(logits - logits[:, :1], axis=0)[1:]  # of the differences between bins, over the patients
    assert (spread < 1e-5).all() if proportional else (spread > 1e-2).all()
