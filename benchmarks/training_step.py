"""Time of a training step per patient: this package, a plain PyTorch loop, and the matrix products alone.

Run with ``python benchmarks/training_step.py``. For bags of several sizes the same CM-MMF network (attention MIL on
1,024 tile features, SNN on 150 genes) is trained for a few epochs

- by `FusionSurvivalAnalysis`, with batches of 1 and of 16 patients, and with ``precision="bfloat16"``,
- by a loop as published code has it: Dataset, DataLoader with batches of one patient, the network written with
  ordinary torch modules, the loss on clamped probabilities, Adam,

and compared with the time that the matrix products of one step need at the rates measured on this machine, those of
both libraries in float32 and of bfloat16. Time is processor time; the fastest epoch of each counts, and all take turns,
so that other work on the machine hits them alike. ``SKSURV_MMF_PRODUCTS`` chooses the library.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from sksurv.util import Surv
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.layers._products import by_onednn, library

N_FEATURES, N_GENES, EMBEDDING, N_BINS = 1024, 150, 128, 4
HIDDEN, ATTENTION = 512, 256


class PlainNetwork(nn.Module):
    """CM-MMF with attention MIL and SNN for one patient at a time, in plain torch."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(N_FEATURES, HIDDEN), nn.ReLU(), nn.Dropout(0.25))
        self.value = nn.Sequential(nn.Linear(HIDDEN, ATTENTION), nn.Tanh(), nn.Dropout(0.25))
        self.gate = nn.Sequential(nn.Linear(HIDDEN, ATTENTION), nn.Sigmoid(), nn.Dropout(0.25))
        self.score = nn.Linear(ATTENTION, 1)
        self.rho = nn.Sequential(nn.Linear(HIDDEN, EMBEDDING), nn.ReLU(), nn.Dropout(0.25))
        self.snn = nn.Sequential(
            nn.Linear(N_GENES, 256), nn.ELU(), nn.AlphaDropout(0.25), nn.Linear(256, EMBEDDING), nn.ELU()
        )
        self.snn.append(nn.AlphaDropout(0.25))
        self.fusion = nn.Sequential(nn.Linear(EMBEDDING, 64), nn.Tanh(), nn.Linear(64, 1))
        self.classifier = nn.Linear(EMBEDDING, N_BINS)

    def forward(self, tiles, genes):
        """Return hazards and survival of one patient."""
        h = self.embed(tiles)
        weights = torch.softmax(self.score(self.value(h) * self.gate(h)), dim=0)
        image = self.rho(weights.T @ h)
        vectors = torch.cat([image, self.snn(genes)])
        low, high = vectors.amin(1, keepdim=True), vectors.amax(1, keepdim=True)
        vectors = (vectors - low) / (high - low + 1e-8)
        weights = torch.softmax(self.fusion(vectors), dim=0)
        hazards = torch.sigmoid(self.classifier(weights.T @ vectors))
        return hazards, torch.cumprod(1 - hazards, dim=1)


def clamped_loss(hazards, survival, bin_index, censored, eps=1e-7):
    """Discrete-time negative log-likelihood on clamped probabilities."""
    padded = torch.cat([torch.ones_like(censored).unsqueeze(1), survival], dim=1)
    row = bin_index.unsqueeze(1)
    before, at, after = padded.gather(1, row), hazards.gather(1, row), padded.gather(1, row + 1)
    event_part = torch.log(before.clamp(min=eps)) + torch.log(at.clamp(min=eps))
    return -((1 - censored) * event_part + censored * torch.log(after.clamp(min=eps))).mean()


class PlainDataset(torch.utils.data.Dataset):
    """Patients in memory, one by one."""

    def __init__(self, bags, genes, bin_index, censored):
        self.parts = bags, genes, bin_index, censored

    def __len__(self):
        return len(self.parts[0])

    def __getitem__(self, i):
        bags, genes, bin_index, censored = self.parts
        return torch.from_numpy(bags[i]), torch.from_numpy(genes[i]), bin_index[i], censored[i]


def collate(items):
    """Concatenate the tiles, stack the rest."""
    tiles, genes, bins, censored = zip(*items)
    return torch.cat(tiles), torch.stack(genes), torch.tensor(bins), torch.tensor(censored, dtype=torch.float32)


def plain_epoch(loader, network, optimizer):
    """Train one epoch and return its seconds."""
    start = time.process_time()
    total = 0.0
    for tiles, genes, bins, censored in loader:
        loss = clamped_loss(*network(tiles, genes), bins, censored)
        total += loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - start


class ProcessorTime(Callback):
    """Records the processor time of each epoch."""

    def on_epoch_begin(self, net, **kwargs):
        """Start the clock."""
        self.start = time.process_time()

    def on_epoch_end(self, net, **kwargs):
        """Stop it."""
        net.history.record("cpu", time.process_time() - self.start)


def our_model(batch_size, epochs, precision, device, clock):
    """Make the estimator that trains the network of `PlainNetwork`."""
    return FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(512, 256, dropout=0.25)), ("rna", SNN(256, n_layers=2, dropout=0.25))],
        batch_size=batch_size,
        n_estimators=1,
        fair_inputs=False,
        zero_start=False,
        max_epochs=epochs,
        precision=precision,
        callbacks=[clock],
        device=device,
        random_state=0,
    )


def our_epochs(X, y, batch_size, epochs, precision):
    """Fastest epoch of the estimator in seconds."""
    model = our_model(batch_size, epochs, precision, "cpu", ProcessorTime())
    return min(model.fit(X, y).net_.history[:, "cpu"])


PRODUCTS = {
    "MKL": lambda x, W: x @ W.T,
    "oneDNN": by_onednn,
    "bfloat16": lambda x, W: x.bfloat16() @ W.bfloat16().T,
}


def rate_of(product, repeats=20):
    """Operations per second in the product of 1,024 tiles with the weights of the first layer."""
    x, W = torch.randn(1024, N_FEATURES), torch.randn(HIDDEN, N_FEATURES)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        product(x, W)
        seconds.append(time.process_time() - start)
    return 2 * len(x) * W.numel() / min(seconds)


def step_flops(n_tiles):
    """Operations in the matrix products of one patient's forward and backward pass.

    The first layer of each encoder needs no gradient for its input.
    """
    first = N_FEATURES * HIDDEN * n_tiles + N_GENES * 256
    others = HIDDEN * 2 * ATTENTION * n_tiles + HIDDEN * EMBEDDING + 256 * EMBEDDING
    return 2 * (2 * first + 3 * others)


def measure(n_tiles, n_patients, rounds):
    """Milliseconds per patient of one bag size, as a row of the table."""
    rng = np.random.default_rng(0)
    bags = [rng.standard_normal((n_tiles, N_FEATURES), dtype=np.float32) for _ in range(n_patients)]
    genes = rng.standard_normal((n_patients, N_GENES), dtype=np.float32)
    event, time_ = np.arange(n_patients) % 2 == 0, np.arange(1.0, n_patients + 1)
    patients = [f"P{i}" for i in range(n_patients)]
    X = join_modalities(
        {
            "wsi": pd.Series(bags, index=patients, dtype="bag"),
            "rna": pd.DataFrame(genes, index=patients).add_prefix("g"),
        }
    )
    y = Surv.from_arrays(event, time_)
    torch.manual_seed(0)
    network = PlainNetwork().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4)
    data = PlainDataset(bags, genes, (np.arange(n_patients) % N_BINS).tolist(), (~event).astype(float).tolist())
    loader = torch.utils.data.DataLoader(data, batch_size=1, shuffle=True, collate_fn=collate)
    rows = []
    for _ in range(rounds):
        row = {"plain loop": min(plain_epoch(loader, network, optimizer) for _ in range(2))}
        for precision, sign in (("float32", "ours"), ("bfloat16", "bf16")):
            row |= {f"{sign}, {size}": our_epochs(X, y, size, 3, precision) for size in (1, 16)}
        rows.append(row | {name: n_patients * step_flops(n_tiles) / rate_of(one) for name, one in PRODUCTS.items()})
    return pd.DataFrame(rows).min() / n_patients * 1e3


def main():
    """Measure all sizes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=int, nargs="+", default=[100, 1000, 5000, 15000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, float32 by {library()}; milliseconds per patient")
    table = pd.DataFrame({n: measure(n, max(4, min(32, 32_000 // n)), args.rounds) for n in args.tiles}).T
    print(table.rename_axis("tiles").round(2).to_string())
    print("Speed-up over the plain loop:")
    print((1 / table.div(table["plain loop"], axis=0)).rename_axis("tiles").round(2).to_string())


if __name__ == "__main__":
    main()
