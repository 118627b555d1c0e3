"""Patients per second of training on a GPU: this package, a plain PyTorch loop, and what the device could do.

Run with ``python benchmarks/gpu.py``, or small with ``--device cpu --tiles 100 200 --patients 4``. For bags of several
sizes the network of ``training_step.py`` (attention MIL on 1,024 tile features, SNN on 150 genes) is trained for a few
epochs

- by a loop as published code has it: batches of one patient, data in ordinary memory, each loss read at once; for
  bfloat16 under autocast,
- by `FusionSurvivalAnalysis` with batches of 1 and of 16 patients, whose cohort stays on the GPU where it fits. The
  copy of the cohort, once before the first epoch, is not counted.

The fastest epoch of each counts, by the clock, after all that was launched has ended. Floors are what no patient can do
without: "memory" reads the tiles twice, forward and backward, at the rate at which the device copies its own memory;
"products" are the matrix products at the rate measured on the first layer; "transfer" copies the tiles from pinned
memory once, for a cohort that does not fit.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from sksurv.util import Surv
from training_step import (
    HIDDEN,
    N_BINS,
    N_FEATURES,
    N_GENES,
    PlainDataset,
    PlainNetwork,
    clamped_loss,
    collate,
    our_model,
    step_flops,
)

from sksurv_mmf import join_modalities

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def wait(device):
    """Let all that was launched end."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(function, device, repeats=5):
    """The fastest of some calls, of which the first is not counted."""
    found = []
    for _ in range(repeats + 1):
        wait(device)
        start = time.perf_counter()
        function()
        wait(device)
        found.append(time.perf_counter() - start)
    return min(found[1:])


class ClockTime(Callback):
    """Records the time of each epoch by the clock."""

    def __init__(self, device):
        self.device = device

    def on_epoch_begin(self, net, **kwargs):
        """Start the clock."""
        wait(self.device)
        self.start = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        """Stop it."""
        wait(self.device)
        net.history.record("clock", time.perf_counter() - self.start)


def plain_epochs(data, precision, device, epochs):
    """Fastest epoch of the plain loop in seconds."""
    torch.manual_seed(0)
    network = PlainNetwork().train().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4)
    loader = torch.utils.data.DataLoader(data, batch_size=1, shuffle=True, collate_fn=collate)

    def epoch():
        total = 0.0
        for batch in loader:
            tiles, genes, bins, censored = (one.to(device) for one in batch)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                hazards, survival = network(tiles, genes)
            loss = clamped_loss(hazards.float(), survival.float(), bins, censored)
            total += loss.item()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return seconds(epoch, device, epochs - 1)


def our_epochs(X, y, batch_size, precision, device, epochs):
    """Fastest epoch of the estimator in seconds."""
    model = our_model(batch_size, epochs, precision, device, ClockTime(device))
    return min(model.fit(X, y).net_.history[1:, "clock"])


def floors(n_tiles, precision, device):
    """Seconds per patient that memory, products and transfer take at least."""
    dtype = DTYPES[precision]
    x = torch.randn(16_384, N_FEATURES, device=device, dtype=dtype)
    W = torch.randn(N_FEATURES, HIDDEN, device=device, dtype=dtype)
    other, there = torch.empty_like(x), x.cpu()
    there = there.pin_memory() if device == "cuda" else there
    n_bytes = n_tiles * N_FEATURES * x.itemsize
    per_byte = seconds(lambda: other.copy_(x), device) / (2 * x.nbytes)  # a copy reads and writes
    per_operation = seconds(lambda: x @ W, device) / (2 * x.numel() * HIDDEN)
    per_sent = seconds(lambda: other.copy_(there, non_blocking=True), device) / x.nbytes
    return {
        "memory": 2 * n_bytes * per_byte,
        "products": step_flops(n_tiles) * per_operation,
        "transfer": n_bytes * per_sent,
    }


def measure(n_tiles, n_patients, epochs, device):
    """Patients per second for one bag size, a row of the table for each precision."""
    rng = np.random.default_rng(0)
    bags = [rng.standard_normal((n_tiles, N_FEATURES), dtype=np.float32) for _ in range(n_patients)]
    genes = rng.standard_normal((n_patients, N_GENES), dtype=np.float32)
    event, time_ = np.arange(n_patients) % 2 == 0, np.arange(1.0, n_patients + 1)
    index = [f"P{i}" for i in range(n_patients)]
    tables = {"wsi": pd.Series(bags, index, dtype="bag"), "rna": pd.DataFrame(genes, index).add_prefix("g")}
    X, y = join_modalities(tables), Surv.from_arrays(event, time_)
    data = PlainDataset(bags, genes, (np.arange(n_patients) % N_BINS).tolist(), (~event).astype(float).tolist())
    for precision in DTYPES:
        rates = {"plain loop": n_patients / plain_epochs(data, precision, device, epochs)}
        for size in (1, 16):
            rates[f"ours, {size}"] = n_patients / our_epochs(X, y, size, precision, device, epochs)
        least = {f"floor, {name}": 1 / one for name, one in floors(n_tiles, precision, device).items()}
        yield {"tiles": n_tiles, "precision": precision, "patients": n_patients} | rates | least


def main():
    """Measure all sizes, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1000, 5000, 15_000, 50_000])
    parser.add_argument("--patients", type=int, help="by default as many as have 800,000 tiles, 16 to 128")
    parser.add_argument("--epochs", type=int, default=4, help="at least 2; the first is not counted")
    parser.add_argument("--csv", default="gpu.csv", help="file for the table")
    args = parser.parse_args()
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}; patients per second")
    rows = []
    for n_tiles in args.tiles:
        n_patients = args.patients or max(16, min(128, 800_000 // n_tiles))
        rows += measure(n_tiles, n_patients, args.epochs, args.device)
    table = pd.DataFrame(rows).set_index(["tiles", "precision"])
    print(table.round(1).to_string())
    table.to_csv(args.csv)


if __name__ == "__main__":
    main()
