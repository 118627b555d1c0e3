"""Edit saved models in many ways, and judge what `load_model` says of each.

Run with ``python benchmarks/fuzz_models.py``; 600 edits take half a minute. A seed draws a model, a member of its file
and an edit: numbers, texts, keys and types of the JSON, values, types, shapes and names of the weights, the arrays and
the description of transformers, and bytes of the whole file. An edited file is

- *named*: refused with an error that says which member, parameter or number is wrong,
- *obscure*: refused, or loaded and unable to predict, with an error from somewhere inside,
- *silent*: loaded, with other predictions than the model that was saved,
- *crash*: an error that is no ValueError, from `load_model` itself,
- *harmless*: loaded, with the same predictions.

With ``--without-checksums`` the manifest loses its checksums, so that only the other checks remain.
"""

import argparse
import copy
import io
import json
import re
import tempfile
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL, PathwaySNN
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer

VALUES = [None, True, -1, 0, 3, 10**9, -(10**12), 0.5, 1e300, "", "rna", "x" * 50, [], [1, 2], {}, {"float": "nan"}]
# What an error must speak of to help: a member of the file, or something that save_model wrote.
NAMES = re.compile(
    r"\.json|\.safetensors|\.skops|\.npy|member|weight|parameter|_\b|modalit|epoch|compressed|zip file|format|curve|"
    r"network|encoder|array|instance|needs|trusted|risks of"
)


def make_models(folder):
    """Saved models by name, their patients and what they predict."""
    cohort = make_multimodal_survival(n_patients=40, n_genes=6, n_informative_genes=3, n_tiles=(3, 5), random_state=0)
    X, y = cohort.X, cohort.y
    tiny = {"embedding_dim": 4, "max_epochs": 2, "lr": 0.01, "batch_size": 20, "device": "cpu", "random_state": 0}
    genes = [column.partition("__")[2] for column in X.columns[1:]]
    network = FusionSurvivalAnalysis([("wsi", AttentionMIL(4, 4)), ("rna", SNN(4, n_layers=1))], **tiny)
    prepare = make_modality_transformer(wsi=BagTransformer(StandardScaler()), rna=StandardScaler())
    pathways = PathwaySNN({"one": genes[:3], "two": genes[2:]}, hidden_dim=4, min_genes=2)
    cox = CoxPHSurvivalAnalysis(alpha=1)
    models = {
        "pipeline": Pipeline([("prepare", prepare), ("fuse", network)]),
        "pathways": FusionSurvivalAnalysis([("wsi", AttentionMIL(4, 4)), ("rna", pathways)], objective=CoxPH(), **tiny),
        "late": LateFusionSurvivalAnalysis(
            [("wsi", FusionSurvivalAnalysis([("wsi", AttentionMIL(4, 4))], **tiny)), ("rna", cox)],
            combine="stack",
            cv=2,
        ),
    }
    saved = {}
    for name, model in models.items():
        path = Path(folder, f"{name}.zip")
        save_model(model.fit(X, y), path)
        with zipfile.ZipFile(path) as archive:
            members = {one: archive.read(one) for one in archive.namelist()}
        saved[name] = members, predictions(model, X)
    return X, saved


def predictions(model, X):
    """Risks and curves."""
    return np.column_stack([model.predict(X), model.predict_survival_function(X, return_array=True)])


def places(node, path=()):
    """Paths of all values in JSON."""
    yield path
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(value, (*path, key))


def edit_json(rng, data):
    """Change one value somewhere, drop or rename a key, or let two neighbours of a list change places."""
    tree = json.loads(data)
    found = list(places(tree))[1:]
    path = found[rng.integers(len(found))]
    owner = tree
    for key in path[:-1]:
        owner = owner[key]
    old, kind = owner[path[-1]], rng.choice(["value", "near", "drop", "rename", "swap"])
    if kind == "near" and isinstance(old, int | float) and not isinstance(old, bool):
        owner[path[-1]] = old + type(old)(rng.choice([-1, 1])) if rng.random() < 0.5 else -old
    elif kind == "drop":
        del owner[path[-1]]
    elif kind == "rename" and isinstance(owner, dict):
        owner[f"{path[-1]}x"] = owner.pop(path[-1])
    elif kind == "swap" and isinstance(owner, list) and len(owner) > 1:
        other = (path[-1] + 1) % len(owner)
        owner[path[-1]], owner[other] = owner[other], owner[path[-1]]
    else:
        kind, owner[path[-1]] = "value", copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    return f"{kind} {'/'.join(map(str, path))}", json.dumps(tree).encode()


def edit_array(rng, array):
    """Change values, type or shape of an array."""
    kind = rng.choice(["nan", "inf", "huge", "flip", "negate", "zero", "dtype", "shape", "order"])
    array = np.array(array)
    at = tuple(rng.integers(size) for size in array.shape)
    if kind == "dtype":
        return kind, array.astype(np.float64 if array.dtype != np.float64 else np.float32)
    if kind == "shape":
        return kind, np.concatenate([array.ravel(), array.ravel()[:1]])
    if kind == "order":
        return kind, np.flip(array).copy()
    if array.dtype.kind != "f":
        array[at] = array[at] + 1
        return "near", array
    array[at] = {
        "nan": np.nan,
        "inf": np.inf,
        "huge": 1e30,
        "flip": array[at] + 1,
        "negate": -array[at] - 1,
        "zero": 0,
    }[kind]
    return kind, array


def edit_tensors(rng, data):
    """Change one tensor, drop or rename it, or let two change places."""
    tensors = load_tensors(data)
    names = sorted(tensors)
    one, other = (names[i] for i in rng.choice(len(names), 2, replace=False))
    kind = rng.choice(["array", "array", "array", "drop", "rename", "swap"])
    if kind == "array":
        kind, array = edit_array(rng, tensors[one].numpy())
        tensors[one] = torch.from_numpy(np.atleast_1d(array) if tensors[one].ndim else np.array(array))
    elif kind == "drop":
        del tensors[one]
    elif kind == "rename":
        tensors[f"{one}x"] = tensors.pop(one)
    else:
        tensors[one], tensors[other] = tensors[other], tensors[one]
    return f"{kind} {one}", save_tensors({name: tensor.clone().contiguous() for name, tensor in tensors.items()})


def edit_transformer(rng, data):
    """Change an array or the description within a member of skops."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(inner)[rng.integers(len(inner))]
    if name.endswith(".npy"):
        kind, array = edit_array(rng, np.load(io.BytesIO(inner[name])))
        buffer = io.BytesIO()
        np.save(buffer, array)
        inner[name] = buffer.getvalue()
    else:
        kind, inner[name] = edit_json(rng, inner[name])
    return f"{name} {kind}", zipped(inner)


def zipped(members):
    """The bytes of a zip of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def edit_bytes(rng, data):
    """Flip bits, cut, or overwrite a stretch of the whole file."""
    data = bytearray(data)
    at = int(rng.integers(len(data)))
    kind = rng.choice(["flip", "cut", "zeros"])
    if kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[at:]
    else:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    return f"{kind} at {at}", bytes(data)


def edit(rng, members, with_checksums=True):
    """An edited file and what was done to it."""
    members = dict(members)
    if not with_checksums:
        manifest = json.loads(members["manifest.json"])
        manifest.pop("checksums", None)
        members["manifest.json"] = json.dumps(manifest).encode()
    skops = [name for name in members if name.endswith(".skops")]
    # The parameters say most and are edited most.
    choices = ["parameters.json"] * 5 + ["weights.safetensors"] * 4 + ["manifest.json", "file", "swap"] + skops * 2
    name = choices[rng.integers(len(choices))]
    if name == "file":
        what, data = edit_bytes(rng, zipped(members))
        return f"file: {what}", data
    if name == "swap":
        one, other = rng.choice(sorted(members), 2, replace=False)
        members[one], members[other] = members[other], members[one]
        return f"swap {one}, {other}", zipped(members)
    change = edit_tensors if name.endswith(".safetensors") else edit_transformer if name in skops else edit_json
    what, members[name] = change(rng, members[name])
    return f"{name}: {what}", zipped(members)


def judge(path, X, expected):
    """One word for what becomes of a file, and the message if there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = load_model(path)
        except ValueError as error:
            message = str(error).replace(str(path), "")
            return ("named" if NAMES.search(message.split("cannot be loaded:")[-1]) else "obscure"), message
        except Exception as error:
            return "crash", f"{type(error).__name__}: {error}"
        try:
            found = predictions(model, X)
        except Exception as error:
            return "obscure", f"at predict, {type(error).__name__}: {error}"
    same = found.shape == expected.shape and np.allclose(found, expected, rtol=1e-6, atol=1e-9)
    return ("harmless" if same else "silent"), ""


def fuzz(n_edits, seed=0, with_checksums=True):
    """Yield (verdict, message, model, what was done) of each edit."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        X, saved = make_models(folder)
        path = Path(folder, "edited.zip")
        for i in range(n_edits):
            name = list(saved)[i % len(saved)]
            members, expected = saved[name]
            what, data = edit(rng, members, with_checksums)
            path.write_bytes(data)
            yield (*judge(path, X, expected), name, what)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n-edits", type=int, default=600, help="number of edited files")
    parser.add_argument("--seed", type=int, default=0, help="seed of the edits")
    parser.add_argument("--without-checksums", action="store_true", help="remove the checksums beforehand")
    parser.add_argument("--show", nargs="*", default=["obscure", "silent", "crash"], help="verdicts to list")
    args = parser.parse_args()
    counts = Counter()
    for verdict, message, name, what in fuzz(args.n_edits, args.seed, not args.without_checksums):
        counts[verdict] += 1
        if verdict in args.show:
            print(f"{verdict:9}{name}: {what}\n         {message[:200]}")
    print(", ".join(f"{verdict}: {counts[verdict]}" for verdict in ["named", "obscure", "silent", "crash", "harmless"]))


if __name__ == "__main__":
    main()
