"""The first layer of an encoder, which many columns do not make quicker than few."""

import numpy as np
import pandas as pd
import pytest
import torch
from members import BAG_ENCODERS, VECTOR_ENCODERS, name_of, network, opened
from sksurv.util import Surv
from torch import nn
from torch.testing import assert_close

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import BagArray
from sksurv_mmf.encoders import MLP, SNN, AttentionMIL, PathwaySNN
from sksurv_mmf.layers._input_linear import InputLinear
from sksurv_mmf.layers._packed_bags import PackedBags
from sksurv_mmf.networks._recipe import call_all, fit_network

MANY = 100


def fair(n_in, n_out, seed=0):
    torch.manual_seed(seed)
    layer = InputLinear(n_in, n_out)
    layer.make_fair()
    return layer


def test_until_it_is_made_fair_it_is_linear():
    torch.manual_seed(0)
    layer, x = InputLinear(7, 3), torch.randn(2, 5, 7)
    plain = nn.Linear(7, 3)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))
    assert torch.equal(layer.scaled_weight, layer.weight)


def test_it_divides_by_the_root_of_the_number_of_inputs():
    layer, x = fair(9, 3), torch.randn(2, 5, 9)
    nn.init.normal_(layer.bias)
    assert_close(layer(x), x @ layer.weight.T / 3 + layer.bias)
    assert_close(layer.scaled_weight, layer.weight / 3)


@pytest.mark.parametrize("n_in", [3, 100, 1500])
def test_it_starts_with_outputs_of_variance_one(n_in):
    layer = fair(n_in, 20_000 // n_in + 500)
    assert_close(layer.weight.var(), torch.tensor(1.0), rtol=0.06, atol=0)
    assert not layer.bias.any()
    outputs = layer(torch.randn(400, n_in))
    assert_close(outputs.var(), torch.tensor(1.0), rtol=0.2, atol=0)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_step_moves_outputs_by_as_much_whatever_the_number_of_copies(optimizer):
    """What a step of Adam does grows with the root of the number of inputs instead of the number."""
    moves = []
    for copies in (1, MANY):
        x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)).repeat(1, copies)
        layer = fair(4 * copies, 1)
        before = layer(x).detach()
        step = optimizer(layer.parameters(), lr=0.01)
        layer(x).mul(torch.arange(50.0).unsqueeze(1)).mean().backward()
        step.step()
        moves.append((layer(x) - layer.bias - before).abs().mean().item())
    ratio = moves[1] / moves[0]
    assert ratio == pytest.approx(10 if optimizer is torch.optim.Adam else 1, rel=0.01)


def genes(n_patients=60, copies=1, seed=0):
    """Patients with four genes that tell of the risk, each of them several times."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_patients, 4))
    y = Surv.from_arrays(rng.random(n_patients) < 0.8, rng.exponential(np.exp(-values @ [1.0, -1.0, 0.5, 0.0])))
    repeated = np.tile(values, copies)
    return pd.DataFrame(repeated, columns=[f"rna__G{i}" for i in range(repeated.shape[1])]), y


@pytest.mark.parametrize("encoder", [SNN(32), MLP(32, n_layers=1)], ids=name_of)
def test_copies_leave_the_spread_of_what_an_encoder_makes_at_first(encoder):
    def spread(copies, fair_inputs):
        X, y = genes(copies=copies)
        sizes = []
        for seed in range(10):
            model = FusionSurvivalAnalysis([("rna", encoder)], fair_inputs=fair_inputs, standardize=True, device="cpu")
            data = opened(model, type("Cohort", (), {"X": X, "y": y}))
            torch.manual_seed(seed)
            objective = model._objective().fit(*data.outcome)
            made = fit_network(data.recipe, objective, data.patients)[0].encoders[0].eval()
            with torch.no_grad():
                sizes.append(made(torch.tensor(X.to_numpy(dtype=np.float32))).std(dim=0).mean().item())
        return np.mean(sizes)

    assert spread(MANY, True) == pytest.approx(spread(1, True), rel=0.15)


def test_copies_change_little_of_what_is_learnt():
    """Predictions of new patients, to a tolerance over seeds."""
    differences = {}
    for is_fair in (True, False):
        risks = []
        for copies in (1, MANY):
            (X, y), (others, _) = genes(copies=copies), genes(copies=copies, seed=1)
            own = []
            for seed in range(3):
                model = FusionSurvivalAnalysis(
                    n_estimators=3, fair_inputs=is_fair, max_epochs=6, random_state=seed, device="cpu"
                ).fit(X, y)
                own.append(model.predict_survival_function(others, return_array=True).mean(axis=1))
            risks.append(np.mean(own, axis=0))
        differences[is_fair] = np.ptp(risks[1]) / np.ptp(risks[0])
    assert 0.5 < differences[True] < 2
    assert differences[False] > 1.5 * differences[True]


@pytest.mark.parametrize("encoder", [*BAG_ENCODERS, *VECTOR_ENCODERS], ids=name_of)
def test_every_encoder_has_one(cohort, encoder):
    """A first layer that is made fair starts with larger weights and computes as before in size."""
    bags = encoder.reads == "bag"
    parts = {"bags": encoder} if bags else {"vectors": encoder}
    sizes = {}
    for is_fair in (True, False):
        data = opened(network(**parts, fair_inputs=is_fair), cohort)
        torch.manual_seed(0)
        made, _ = fit_network(data.recipe, data.recipe.objective.fit(*data.outcome), data.patients)
        first = made.encoders[0 if bags else 1].encoder
        sizes[is_fair] = next(one for name, one in first.named_parameters() if name.endswith("weight")).std().item()
    assert sizes[True] > 1.3 * sizes[False]


def test_a_set_of_genes_is_divided_by_the_root_of_its_own_number():
    torch.manual_seed(0)
    sets = {"few": ["G0", "G1"], "many": [f"G{i}" for i in range(2, 50)]}
    names = [f"G{i}" for i in range(50)]
    module = PathwaySNN(sets, hidden_dim=64, dropout=0.0, min_genes=2).fit(torch.zeros(1, 50), names).build(50, 64)
    rows = torch.randn(300, 50)
    before = module[0](rows).detach()
    call_all(module, "make_fair")
    assert_close(module[0](rows), before, rtol=1e-4, atol=1e-5)
    assert module[0].weight.std() > 0.9
    assert_close(before.std(dim=(1, 2)), torch.ones(2), rtol=0.2, atol=0)


def test_of_tiles_weights_are_scaled_in_the_pooling_with_its_own_gradient():
    torch.manual_seed(0)
    module = AttentionMIL(6, 4, dropout=0.0).build(5, 8)
    call_all(module, "make_fair")
    bags = PackedBags(torch.randn(9, 5), (4, 5))
    module.train()
    by_hand = module(bags)
    by_hand.square().sum().backward()
    slopes = {name: one.grad.clone() for name, one in module.named_parameters()}
    module.zero_grad()
    values = bags.values.clone().requires_grad_()  # for whose gradient torch's own differentiation takes over
    module(bags.with_values(values)).square().sum().backward()
    for name, one in module.named_parameters():
        assert_close(slopes[name], one.grad, rtol=1e-4, atol=1e-6)
    assert_close(module.eval()(bags), by_hand.detach(), rtol=1e-5, atol=1e-6)


def test_a_bag_of_wide_tiles_starts_as_one_of_narrow_tiles():
    spreads = []
    for width in (4, 400):
        rng = np.random.default_rng(0)
        tiles = BagArray([rng.normal(size=(5, width)) for _ in range(20)])
        X = pd.DataFrame({"wsi__tiles": tiles})
        own = []
        for seed in range(10):
            torch.manual_seed(seed)
            module = AttentionMIL(64, 4).build(width, 16)
            call_all(module, "make_fair")
            values = torch.tensor(np.concatenate([bag.features for bag in X["wsi__tiles"]]), dtype=torch.float32)
            own.append(module.embed.eval()(values).std().item())
        spreads.append(np.mean(own))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)
