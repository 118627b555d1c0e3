"""Time to open a folder of feature files, and to read them, format by format.

Run with ``python benchmarks/read_bags.py``. Slides of 1,024 features are written as CLAM (``.h5`` in chunks of one
tile, ``.pt``) and TRIDENT (contiguous ``.h5``) do, and as the other formats. `read_bags` opens each folder twice: after
the system was asked to forget its files (``posix_fadvise``), and again. Then all tiles are read, from the files and
from a store that `pack_bags` made of them. Wall time; ``cpu`` is the processor time of the second opening, which other
work on the machine does not lengthen.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
import zarr

from sksurv_mmf import read_bags
from sksurv_mmf.bags import open_bags, pack_bags

N_FEATURES = 1024


def write_clam_h5(path, features, coords):
    """Write resizable datasets with one chunk per tile."""
    with h5py.File(path, "w") as file:
        for name, array in {"features": features, "coords": coords}.items():
            file.create_dataset(name, data=array, maxshape=(None, array.shape[1]), chunks=(1, array.shape[1]))


def write_trident_h5(path, features, coords):
    """Write contiguous datasets."""
    with h5py.File(path, "w") as file:
        file["features"], file["coords"] = features, coords


def write_zarr(path, features, coords):
    """Write a group of compressed arrays."""
    group = zarr.open_group(path, mode="w")
    group.create_array("features", data=features)
    group.create_array("coords", data=coords)


WRITERS = {
    "CLAM h5": ("h5", write_clam_h5),
    "TRIDENT h5": ("h5", write_trident_h5),
    "CLAM pt": ("pt", lambda path, features, coords: torch.save(torch.from_numpy(features), path)),
    "npy": ("npy", lambda path, features, coords: np.save(path, features)),
    "npz": ("npz", lambda path, features, coords: np.savez(path, features=features, coords=coords)),
    "zarr": ("zarr", write_zarr),
    "parquet": ("parquet", lambda path, features, coords: pd.DataFrame(features).add_prefix("f").to_parquet(path)),
}


def forget(folder):
    """Ask the system to drop the files of a folder from its cache."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def seconds(function, *args):
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def read_all(bags):
    """Touch every tile."""
    return sum(float(bag.features.sum(dtype=np.float64)) for bag in bags)


def measure(name, n_slides, n_tiles):
    """Write one folder, time it, and return a row of the table."""
    suffix, write = WRITERS[name]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        features = rng.standard_normal((n_tiles, N_FEATURES), dtype=np.float32)
        coords = rng.integers(0, 100_000, (n_tiles, 2))
        for i in range(n_slides):
            features[0, 0] = i
            write(Path(folder, f"slide{i:05d}.{suffix}"), features, coords)
        forget(folder)
        row = {"format": name}
        row["open, cold"], _ = seconds(read_bags, folder)
        cpu = time.process_time()
        row["open, again"], bags = seconds(read_bags, folder)
        row["cpu"] = time.process_time() - cpu
        row["read"], total = seconds(read_all, bags)
        with tempfile.TemporaryDirectory() as other:
            row["pack"], _ = seconds(pack_bags, bags, f"{other}/store")
            row["open store"], packed = seconds(open_bags, f"{other}/store")
            row["read store"], packed_total = seconds(read_all, packed)
        assert packed_total == total
    return row


def main():
    """Measure all formats and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--tiles", type=int, default=100)
    parser.add_argument("--formats", nargs="+", default=list(WRITERS), choices=WRITERS)
    args = parser.parse_args()
    print(f"{args.slides} slides of {args.tiles} x {N_FEATURES} features, seconds")
    for i, name in enumerate(args.formats):
        row = measure(name, args.slides, args.tiles)
        print(pd.DataFrame([row]).round(3).to_csv(sep="\t", index=False, header=i == 0), end="", flush=True)


if __name__ == "__main__":
    main()
