"""Damage files of every format and say what becomes of them.

Each file is written intact, damaged in one way (cut short, bits flipped, a range zeroed, blocks swapped or doubled, a
header replaced, bytes appended), and read in another process, which has a limit of memory and of time. The result is

- refused: an error that names the file,
- obscure: any other error,
- same: the values are those that were written, the damage having hit nothing that is read,
- changed: other values of the right shape without a word. Where nothing in the file is a checksum this cannot be seen
  (``.npy``, blosc, plain ``.h5``, text); the table says of which files it can, under "checked",
- warned: other values, with a warning,
- crash, hang: what the name says.

Run it as ``python benchmarks/fuzz_files.py --n-per-format 60``; 60 take about five minutes. ``--seed`` gives others.
"""

import argparse
import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

FEATURES = np.random.default_rng(0).normal(size=(120, 16)).astype(np.float32)
COORDS = np.arange(240).reshape(120, 2) * 256
GENE_SETS = {f"SET_{i}": [f"GENE{i}{j}" for j in range(8)] for i in range(12)}
PATIENTS = [f"P{i:03d}" for i in range(40)]
MEMORY = 6 << 30
SECONDS = 20


def write_h5(path, rows=None, **filters):
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in {"features": FEATURES, "coords": COORDS}.items():
            chunks = None if rows is None else (rows, array.shape[1])
            file.create_dataset(name, data=array, chunks=chunks, **filters)


def write_pt(path):
    import torch

    torch.save({"features": torch.as_tensor(FEATURES), "coords": torch.as_tensor(COORDS)}, path)


def write_zarr(path, **how):
    import zarr

    zarr.create_array(path, data=FEATURES, **({"chunks": (30, 16)} | how))


def write_parquet(path, **how):
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({f"f{i}": FEATURES[:, i] for i in range(16)} | {"x": COORDS[:, 0], "y": COORDS[:, 1]})
    parquet.write_table(table, path, **how)


def write_store(path):
    import pandas as pd

    from sksurv_mmf.bags import Bag, BagArray, pack_bags

    bags = [Bag(FEATURES[start : start + 40], COORDS[start : start + 40]) for start in (0, 40, 80)]
    pack_bags(pd.Series(BagArray(bags), index=["A", "B", "C"]), path)


def write_gmt(path):
    path.write_text("".join("\t".join([name, "na", *genes]) + "\n" for name, genes in GENE_SETS.items()))


def write_columns(path, heads, separator):
    rows = zip(*([name, *heads, *genes] for name, genes in GENE_SETS.items()))
    path.write_text("".join(separator.join(row) + "\n" for row in rows))


def write_splits(path):
    path.mkdir()
    for fold in range(2):
        rows = [f"{i},{one},{other}" for i, (one, other) in enumerate(zip(PATIENTS[:20], PATIENTS[20:]))]
        (path / f"splits_{fold}.csv").write_text("\n".join([",train,val", *rows]) + "\n")


def write_mmp(path):
    for side, own in {"train": PATIENTS[:20], "test": PATIENTS[20:]}.items():
        (path / "x_k=0").mkdir(parents=True, exist_ok=True)
        rows = [f"{one},{one}-01Z-00-DX1" for one in own]
        (path / "x_k=0" / f"{side}.csv").write_text("\n".join(["case_id,slide_id", *rows]) + "\n")


def codec(name):
    import numcodecs

    return numcodecs.get_codec({"id": name})


# Name: what writes it, and whether all of its values are under a checksum.
FORMATS = {
    "plain.h5": (write_h5, False),
    "chunked.h5": (lambda path: write_h5(path, 1), False),
    "gzip.h5": (lambda path: write_h5(path, 30, compression="gzip", shuffle=True), True),
    "lzf.h5": (lambda path: write_h5(path, 30, compression="lzf"), False),
    "fletcher.h5": (lambda path: write_h5(path, 30, fletcher32=True), True),
    "dict.pt": (write_pt, True),
    "plain.npy": (lambda path: np.save(path, FEATURES), False),
    "stored.npz": (lambda path: np.savez(path, features=FEATURES, coords=COORDS), True),
    "deflated.npz": (lambda path: np.savez_compressed(path, features=FEATURES, coords=COORDS), True),
    "blosc2.zarr": (lambda path: write_zarr(path, zarr_format=2, compressors=codec("blosc")), False),
    "lz4.zarr": (lambda path: write_zarr(path, zarr_format=2, compressors=codec("lz4")), False),
    "gzip.zarr": (lambda path: write_zarr(path, zarr_format=2, compressors=codec("gzip")), True),
    "plain.zarr": (lambda path: write_zarr(path, zarr_format=2, compressors=None), False),
    "zstd3.zarr": (write_zarr, False),
    "shards.zarr": (lambda path: write_zarr(path, shards=(60, 16)), False),
    "snappy.parquet": (write_parquet, False),
    "checked.parquet": (lambda path: write_parquet(path, write_page_checksum=True, use_dictionary=False), True),
    "cohort.bags": (write_store, False),
    "sets.gmt": (write_gmt, False),
    "sets.gmx": (lambda path: write_columns(path, ["na"], "\t"), False),
    "sets.csv": (lambda path: write_columns(path, [], ","), False),
    "clam_splits": (write_splits, False),
    "mmp_splits": (write_mmp, False),
}


def read(path):
    """What a user gets: arrays, lists or dicts."""
    from sksurv_mmf.bags import Bag, open_bags
    from sksurv_mmf.datasets import read_survival_splits
    from sksurv_mmf.encoders import read_gene_sets

    if path.name == "cohort.bags":
        bags = open_bags(path, verify=True)
        return [list(bags.index), *(part for bag in bags for part in (bag.features, bag.coords))]
    if path.name.startswith("sets."):
        return read_gene_sets(path)
    if path.name.endswith("_splits"):
        return read_survival_splits(path, PATIENTS).folds
    bag = Bag.from_file(path)
    return [bag.features, bag.coords]


def damage(data, rng):
    """Return damaged bytes and the name of the damage."""
    data, n = bytearray(data), len(data)
    kind = str(rng.choice(["cut", "bit", "bits", "zeros", "swap", "double", "header", "append", "noise", "empty"]))
    start = int(rng.integers(max(n, 1)))
    length = int(rng.integers(1, max(n // 4, 2)))
    if kind == "cut":
        data = data[:start]
    elif kind in ("bit", "bits"):
        for at in rng.integers(n, size=1 if kind == "bit" else 20) if n else ():
            data[at] ^= 1 << int(rng.integers(8))
    elif kind == "zeros":
        data[start : start + length] = bytes(len(data[start : start + length]))
    elif kind == "swap":
        other = int(rng.integers(max(n, 1)))
        one, two = data[start : start + 64], data[other : other + 64]
        data[start : start + len(one)], data[other : other + len(two)] = one, two
    elif kind == "double":
        data[start:start] = data[start : start + length]
    elif kind == "header":
        size = min(n, int(rng.integers(1, 64)))
        data[:size] = rng.bytes(size)
    elif kind == "append":
        data += rng.bytes(length)
    elif kind == "noise":
        data[start : start + length] = rng.bytes(len(data[start : start + length]))
    else:
        data = bytearray()
    return bytes(data), kind


def judge(path, written):
    """Read a damaged file and say what became of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read(path)
        except Exception as error:
            named = path.name in str(error) or path.name.partition(".")[0] in str(error)
            return ("refused" if named else "obscure"), f"{type(error).__name__}: {error}"[:300]
    if same(found, written):
        return "same", ""
    own = [
        str(one.message) for one in caught if issubclass(one.category, UserWarning) and path.name in str(one.message)
    ]
    return ("warned", own[0][:300]) if own else ("changed", "")


def same(one, other):
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def fuzz(name, n_files, seed, folder):
    """Damage one format `n_files` times; yield a line of JSON for each, before and after it is read."""
    write, _ = FORMATS[name]
    intact, path = folder / "intact" / name, folder / "damaged" / name
    for place in (intact, path):
        place.parent.mkdir()
    write(intact)
    written = read(intact)
    files = (
        [Path("")]
        if intact.is_file()
        else sorted(one.relative_to(intact) for one in intact.rglob("*") if one.is_file())
    )
    for i in range(n_files):
        rng = np.random.default_rng([seed, list(FORMATS).index(name), i])
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        (shutil.copytree if intact.is_dir() else shutil.copy)(intact, path)
        target = files[rng.integers(len(files))]
        data, kind = damage((intact / target).read_bytes(), rng)
        (path / target).write_bytes(data)
        yield {"i": i, "kind": f"{kind} {target}"}
        verdict, why = judge(path, written)
        yield {"i": i, "verdict": verdict, "why": why}


def child(name, first, n_files, seed):
    """Judge the files from `first` on, in this process."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        for i, line in enumerate(fuzz(name, n_files, seed, Path(folder))):
            if i // 2 >= first:
                print(json.dumps(line), flush=True)


def run(name, n_files, seed):
    """Verdicts of one format; a crash or a hang ends the process, and another goes on behind it."""
    found, kinds = {}, {}
    while len(found) < n_files:
        command = [sys.executable, __file__, "--child", name, str(len(found)), str(n_files), str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + n_files)
            output, end = done.stdout, "crash"
        except subprocess.TimeoutExpired as error:
            output, end = (error.stdout or b"").decode(), "hang"
        for line in map(json.loads, output.splitlines()):
            if "kind" in line:
                kinds[line["i"]] = line["kind"]
            else:
                found[line["i"]] = line["verdict"], line["why"]
        if len(found) < n_files:
            if len(found) not in kinds:
                raise RuntimeError(f"{name} cannot be fuzzed: {getattr(done, 'stderr', '')[-2000:]}")
            found[len(found)] = end, ""
    return [(kinds[i], *found[i]) for i in range(n_files)]


def main():
    """Print a table of verdicts by format."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n-per-format", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", nargs="*", default=["obscure", "crash", "hang"], help="verdicts to list one by one")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *numbers = options.child
        child(name, *map(int, numbers))
        return
    verdicts = ["refused", "warned", "same", "changed", "obscure", "crash", "hang"]
    print(f"{'format':16} {'checked':>8}" + "".join(f"{one:>9}" for one in verdicts))
    total = Counter()
    for name in options.formats:
        results = run(name, options.n_per_format, options.seed)
        counts = Counter(verdict for _, verdict, _ in results)
        total += counts
        checked = "yes" if FORMATS[name][1] else ""
        print(f"{name:16} {checked:>8}" + "".join(f"{counts[one]:9}" for one in verdicts), flush=True)
        for i, (kind, verdict, why) in enumerate(results):
            if verdict in options.show or (verdict == "changed" and FORMATS[name][1]):
                print(f"    {i}: {kind}: {verdict} {why}")
    print(f"{'all':16} {'':>8}" + "".join(f"{total[one]:9}" for one in verdicts))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
