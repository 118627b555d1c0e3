"""Train on a cohort ten times larger than the memory that the process may have.

Run with ``python benchmarks/train_from_disk.py``. A store of 20 GB is made in the documented layout of `pack_bags`,
with ``features.npy`` as a sparse file: its tiles are a hole, which reads as zeros, costs no disk and passes through the
page cache like any other data. A child process opens it and trains `FusionSurvivalAnalysis`.

How the child is limited: ``RLIMIT_DATA`` is set to the given memory before Python starts, so that an allocation beyond
it fails. It counts all private writable memory, whether resident or not, but not the read-only mapping of the store,
which holds the pages of one bag at a time. How it is measured: ``VmHWM`` of ``/proc/self/status`` is the highest
resident memory so far with mapped pages included, ``RssAnon`` and ``RssFile`` are its parts at the end of each epoch.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from functools import partial
from pathlib import Path

import numpy as np

N_FEATURES = 1024


def make_sparse_store(folder, n_patients, n_tiles):
    """Write a store in version 1 of the layout whose features are a hole."""
    folder.mkdir()
    shape = (n_patients * n_tiles, N_FEATURES)
    with open(folder / "features.npy", "wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 4 * shape[0] * shape[1])
    offsets = np.arange(n_patients + 1) * n_tiles
    vectors = {
        "offsets": offsets,
        "ids": np.array([f"P{i:04d}" for i in range(n_patients)]),
        "slide_offsets": offsets,
        "slide_ids": np.full(n_patients, ""),
        "has_coords": np.zeros(n_patients, dtype=bool),
        "bag_crc32": np.zeros(n_patients, dtype=np.uint32),
    }
    # The checksum of the features is left out: only open_bags(verify=True) would read 20 GB to compare it.
    files = {"features": {"bytes": os.path.getsize(folder / "features.npy"), "crc32": 0}}
    for name, vector in vectors.items():
        np.save(folder / f"{name}.npy", vector)
        data = (folder / f"{name}.npy").read_bytes()
        files[name] = {"bytes": len(data), "crc32": zlib.crc32(data)}
    content = {"format": "sksurv_mmf bags", "version": 1, "files": files}
    checksum = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    (folder / "store.json").write_text(json.dumps(content | {"crc32": checksum}))


def resident():
    """MB of resident memory: the highest so far, and now, private and mapped."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon", "RssFile")}


def report(start, when):
    """Print a row of the table."""
    memory = "\t".join(f"{value:.0f}" for value in resident().values())
    print(f"{when}\t{time.perf_counter() - start:.1f}\t{memory}", flush=True)


def train(path, max_epochs):
    """Open the store, train, predict; print seconds and memory at each stage."""
    import pandas as pd
    from skorch.callbacks import Callback
    from sksurv.util import Surv

    from sksurv_mmf import FusionSurvivalAnalysis, join_modalities
    from sksurv_mmf.bags import open_bags
    from sksurv_mmf.encoders import SNN, AttentionMIL

    class Memory(Callback):
        def on_epoch_end(self, net, **kwargs):
            report(start, f"epoch {len(net.history)}")

    print("after\tseconds\tpeak\tprivate\tmapped")
    start = time.perf_counter()
    report(start, "import")
    before = time.perf_counter()
    bags = open_bags(path)
    opened = 1e3 * (time.perf_counter() - before)
    report(start, f"open ({opened:.1f} ms)")
    rng = np.random.default_rng(0)
    rna = pd.DataFrame(rng.standard_normal((len(bags), 20)), index=bags.index).add_prefix("g")
    y = Surv.from_arrays(rng.random(len(bags)) < 0.5, rng.exponential(size=len(bags)))
    X = join_modalities({"wsi": bags, "rna": rna})
    model = FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(hidden_dim=16, attention_dim=8)), ("rna", SNN())],
        n_estimators=1,
        batch_size=1,
        gradient_accumulation=8,
        max_epochs=max_epochs,
        callbacks=[Memory()],
        device="cpu",
        random_state=0,
    )
    model.fit(X, y)
    report(start, "fit")
    risk = model.predict(X)
    report(start, "predict")
    assert np.isfinite(risk).all()


def main():
    """Make the store and train on it in a limited child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the cohort (1e9 bytes)")
    parser.add_argument("--memory", type=float, default=2.0, help="limit of the process in GB (1e9 bytes)")
    parser.add_argument("--tiles", type=int, default=15_000, help="tiles per patient")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train(args.child, args.epochs)
        return
    n_patients = int(args.gigabytes * 1e9 / (4 * args.tiles * N_FEATURES))
    limit = int(args.memory * 1e9)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "cohort.bags")
        make_sparse_store(store, n_patients, args.tiles)
        features = (store / "features.npy").stat()
        print(
            f"{n_patients} patients x {args.tiles} tiles x {N_FEATURES} features: {features.st_size / 1e9:.2f} GB, of "
            f"which {features.st_blocks * 512 / 1e6:.2f} MB are on disk; private memory is limited to {args.memory} GB",
            flush=True,
        )
        command = [sys.executable, __file__, "--child", str(store), "--epochs", str(args.epochs)]
        subprocess.run(
            command, check=True, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, (limit, limit))
        )


if __name__ == "__main__":
    main()
