"""What objectives may define beside what they must."""

import inspect

import pytest
import torch

from sksurv_mmf.objectives import CoxPH, DiscreteHazard, Objective, Weibull


def loss(self, outputs, target):
    return outputs.sum()


def losses(self, outputs, target):
    return outputs.sum(dim=-1)


def test_losses_are_optional():
    assert Objective.losses is None
    assert CoxPH().losses is None
    assert callable(DiscreteHazard().losses)
    assert callable(Weibull().losses)


@pytest.mark.parametrize(
    ("base", "own", "has_losses"),
    [
        ((Objective,), {"loss": loss}, False),
        ((Objective,), {"loss": loss, "losses": losses}, True),
        ((DiscreteHazard,), {}, True),
        ((DiscreteHazard,), {"losses": losses}, True),
        ((DiscreteHazard,), {"loss": loss}, False),
        ((type("Mixin", (), {"loss": loss}), DiscreteHazard), {}, False),
        ((type("Own", (DiscreteHazard,), {"loss": loss}),), {}, False),
    ],
)
def test_losses_of_another_loss_are_not_inherited(base, own, has_losses):
    assert (type("Mine", base, own).losses is not None) == has_losses


def test_the_loss_is_the_mean_of_the_losses_that_come_with_it():
    mine = type("Mine", (DiscreteHazard,), {"losses": losses})
    assert mine().loss(torch.ones(4, 3), ()) == 3
    twice = type("Twice", (mine,), {"loss": lambda self, *args: 2 * mine.loss(self, *args)})
    assert twice().loss(torch.ones(4, 3), ()) == 6
    assert type("Own", (twice,), {"losses": losses})().loss(torch.ones(4, 3), ()) == 3
    assert "A scalar" in inspect.getdoc(Weibull.loss)


def test_outputs_have_rows_of_their_own_unless_an_objective_says_otherwise():
    assert not Objective.proportional
    assert not any(one.proportional for one in (CoxPH(), Weibull(), DiscreteHazard(proportional=False)))
    assert DiscreteHazard().proportional
