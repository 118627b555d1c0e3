"""
Where on the slide does the model look?
=======================================

From two real slides to a heat map on top of them: tiles of the right physical size where there is tissue, features of
the tiles, bags, a survival model, and its attention as a picture, as a file for QuPath and as images of the top tiles.

**Two slides cannot train a model.** So the patients here are simulated: each gets tiles of the two slides, and her risk
grows with the number of dense (dark) ones among them. That makes the answer known, and the heat map can be checked:
attention should lie on the dense tiles. Nothing here says anything about real patients.

The features are those of CLAM, a ResNet-50 trained on ImageNet, if timm is installed and finds its weights;
otherwise those of a small network with random weights, which sees colours and edges and is enough for this question.
"""  # noqa: D400

# %%
# Tiles and features
# ------------------
# Tiles of 128 pixels at 0.5 um per pixel, a 64 um square of tissue whatever the scanner's resolution. Real studies take
# 256 or 512 pixels; small tiles suit these small slides. Call it twice: the second time, everything is there already.
# The slides are two small ones in the folder ``slides`` of the folder that ``SKSURV_MMF_DATA`` names; put your own
# names in their place.

import os
import tempfile
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.util import Surv
from torch import nn

from sksurv_mmf import Bag, FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.inspection import TileAttentionDisplay, export_geojson, export_tiles
from sksurv_mmf.preprocessing import BagTransformer, make_modality_transformer
from sksurv_mmf.slides import extract_features, imagenet_resnet50, level0_tile_size

folder = Path(os.environ["SKSURV_MMF_DATA"], "slides")
paths = [folder / "CMU-1-Small-Region.svs", folder / "luna_1065626.svs"]
place = tempfile.TemporaryDirectory()
output = Path(place.name)


def random_network():
    """Small network with random weights: 64 features, each the mean of a random local pattern."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 32, 7, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


try:
    encoder = imagenet_resnet50()
except (ImportError, OSError):
    encoder = random_network()
    print("timm or its weights are not there: features come from a small network with random weights.")
tiling = {"tile_size": 128, "mpp": 0.5}
files = extract_features(paths, output / "features", encoder=encoder, min_tissue=0.5, verbose=True, **tiling)
print(files[["n_tiles", "status"]].to_string(), "\n")

# %%
# A feature file has the layout of CLAM's: features, and the upper left corners of the tiles in pixels of the finest
# level. Here each slide is the bag of a patient of her own.

slides = read_bags(list(files["path"]), patient="slide")


def density(slide, coords):
    """How dark each tile is: 255 minus the mean of its grey values."""
    side = level0_tile_size(slide, **tiling)
    with openslide.OpenSlide(slide) as opened:
        grey = [opened.read_region(tuple(corner), 0, (side, side)).convert("L") for corner in coords]
    return 255 - np.array([np.asarray(tile).mean() for tile in grey])


features = np.concatenate([bag.features for bag in slides])
darkness = np.concatenate([density(path, bag.coords) for path, bag in zip(paths, slides)])
is_dense = darkness > np.quantile(darkness, 0.9)

# %%
# Simulated patients
# ------------------
# 400 patients with 30 tiles each. None to a third of these are dense, and the hazard grows with their number: a few
# tiles decide, which is what attention is for.

rng = np.random.default_rng(0)
n_patients, n_tiles = 400, 30
share = rng.uniform(0, 0.3, n_patients)
bags, true_risk = [], np.empty(n_patients)
for i in range(n_patients):
    dense = rng.random(n_tiles) < share[i]
    rows = [rng.choice(np.flatnonzero(is_dense == wanted)) for wanted in dense]
    bags.append(Bag(features[rows]))
    true_risk[i] = 10 * dense.mean()
time = rng.exponential(20 * np.exp(true_risk.mean() - true_risk))
censored = rng.exponential(60, n_patients)
patients = pd.Index([f"P{i:03d}" for i in range(n_patients)], name="patient")
X = join_modalities({"wsi": pd.Series(bags, index=patients, dtype="bag", name="tiles")})
y = Surv.from_arrays(time <= censored, np.minimum(time, censored))

# %%
# The model
# ---------
# Bags are read by attention MIL unless told otherwise, here scaled inside the pipeline; 320 patients train it.

model = make_pipeline(
    make_modality_transformer(wsi=BagTransformer(StandardScaler())),
    FusionSurvivalAnalysis(random_state=0),
).fit(X[:320], y[:320])
print(f"{n_patients} simulated patients, {y['event'].sum()} events, 80 of them left out.")
print(f"C-index on these: {model.score(X[320:], y[320:]):.2f}\n")

# %%
# Back to the slides
# ------------------
# The table of attention has the slides, the coordinates and the size of the tiles, which the maps and exports read.

X_slides = join_modalities({"wsi": slides})
attention = model[-1].tile_attention(model[:-1].transform(X_slides))
print("Does attention find the dense tiles? Area under the ROC curve; 0.5 is chance, 1 perfect:")
weights = attention["attention"].to_numpy() * files["n_tiles"].repeat(files["n_tiles"]).to_numpy()
print(f"  {roc_auc_score(is_dense, weights):.2f}")

for slide, name in zip(paths, files.index):
    dense = is_dense[files.index.repeat(files["n_tiles"]) == name]
    marks = {"highlight": dense, "highlight_label": f"{dense.sum()} dense tiles"}
    display = TileAttentionDisplay.from_slide(attention, slide, patient=name, **marks)
    export_geojson(attention, slide, output / f"{name}.geojson", patient=name)
    export_tiles(attention, slide, output / f"{name}_tiles", patient=name, top_k=9, overwrite=True)

# %%
# The tissue of the second slide is small. The axes are in pixels of the slide, though they are not drawn, so that any
# part of it can be looked at; the scale bar follows.

right, below = display.coords.T
display.ax_.set(xlim=(right.min() - 300, right.max() + 400), ylim=(below.max() + 400, below.min() - 300))

# %%
# In QuPath, open a slide and drag its ``.geojson`` onto it: every tile has its attention as a measurement. Attention
# tells where the encoder looks, not whether a tile raises the risk.

print("\nFeatures and exports:")
for path in sorted(output.iterdir()):
    print(f"  {path.name}")
place.cleanup()
