import subprocess
import sys
from copy import deepcopy

import pytest
import torch

from sksurv_mmf.training._adam import Adam, AdamW

PAIRS = [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)]
STEPS = 20


def weights():
    draw = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in [(3, 4), (5,), ()]]


def take_steps(optimizer, ours, steps):
    """Steps in which the second weight has a gradient every third time only, as an encoder that is seldom needed."""
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        gradients = [torch.randn(one.shape, generator=draw) for one in ours]
        for i, (one, gradient) in enumerate(zip(ours, gradients)):
            one.grad = None if i == 1 and step % 3 else gradient
        optimizer.step()


@pytest.mark.parametrize(("cls", "reference"), PAIRS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_same_bits_as_torchs_fused_optimizer(cls, reference, weight_decay):
    ours, theirs = weights(), weights()
    settings = {"lr": 0.01, "weight_decay": weight_decay, "fused": True}
    take_steps(cls(ours, **settings), ours, range(STEPS))
    take_steps(reference(theirs, **settings), theirs, range(STEPS))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs))
    assert not torch.equal(ours[1], weights()[1])


@pytest.mark.parametrize("cls", [Adam, AdamW])
def test_a_copy_goes_on_as_the_original_does(cls):
    ours = weights()
    optimizer = cls(ours, lr=0.01, fused=True)
    take_steps(optimizer, ours, range(STEPS))
    copied, copied_optimizer = deepcopy((ours, optimizer))
    take_steps(optimizer, ours, range(STEPS, 2 * STEPS))
    take_steps(copied_optimizer, copied, range(STEPS, 2 * STEPS))
    assert all(torch.equal(one, other) for one, other in zip(ours, copied))


def test_zero_grad_forgets_gradients():
    ours = weights()
    optimizer = Adam(ours, fused=True)
    take_steps(optimizer, ours, range(1))
    optimizer.zero_grad()
    assert all(one.grad is None for one in ours)


FITS = """
import sys
import torch
from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
cohort = make_multimodal_survival(n_patients=20, n_genes=5, n_tiles=(5, 9), random_state=0)

def fit(**settings):
    FusionSurvivalAnalysis(max_epochs=1, random_state=0, **settings).fit(cohort.X, cohort.y).predict(cohort.X)
    print("torch._dynamo" in sys.modules)

fit(n_estimators=1, optimizer="adam")
torch.vmap(torch.neg)(torch.ones(2))
print("torch._dynamo" in sys.modules)
fit(n_estimators=2)
"""


def test_a_fit_does_not_import_torchs_compiler():
    done = subprocess.run([sys.executable, "-c", FITS], capture_output=True, text=True, check=True)
    network, vmap, ensemble = done.stdout.split()
    assert network == "False"
    assert ensemble == vmap  # vmap of torch 2.7, with which an ensemble is trained, imports the compiler by itself
