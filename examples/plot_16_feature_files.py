"""
How do features of UNI, CONCH or Virchow get in?
================================================

Foundation models of pathology turn a tile into some hundred to some thousand numbers; TRIDENT, STAMP and CLAM cut the
slides and write these numbers into files. **The package reads these files as they are**, and tells apart what must not
be mixed. Here small files in their layouts, made on the spot; with real ones the calls are the same.
"""  # noqa: D400

# %%
# Recipes
# -------
# The models are behind licences of their own and need a GPU; the tools run them. What each writes, and what reads it:
#
# - TRIDENT, ``python run_batch_of_slides.py --task all --wsi_dir slides --job_dir out --patch_encoder uni_v1 --mag 20
#   --patch_size 256``: ``read_bags("out/20x_256px_0px_overlap/features_uni_v1")``
# - STAMP, ``stamp --config config.yaml preprocess`` with ``extractor: uni`` and ``output_dir: out`` in the file:
#   ``read_bags("out/uni-1a2b3c4d")``, a folder of this extractor and this version of STAMP's code
# - CLAM, ``create_patches_fp.py`` and ``extract_features_fp.py --model_name uni_v1 --feat_dir out``:
#   ``read_bags("out/h5_files")``
# - this package, ``extract_features(slides, "out", encoder=module, tile_size=256)``: ``read_bags("out")``
#
# Other models take the place of ``uni_v1`` and ``uni``. Tiles are of the size that TRIDENT recommends, in pixels at
# ``--mag 20``, of CTransPath at 10; STAMP's are 256 um in 224 pixels unless ``tile_size_um`` and ``tile_size_px`` say
# otherwise.
#
# .. csv-table::
#    :header: model, width, in TRIDENT, tiles, in STAMP
#
#    UNI, "1,024", uni_v1, 256, uni
#    UNI2-h, "1,536", uni_v2, 256, uni2
#    CONCH, 512, conch_v1, 512, conch
#    CONCH v1.5, 768, conch_v15, 512, conch1_5
#    Virchow, "2,560", virchow, 224, virchow-full
#    Virchow2, "2,560", virchow2, 224, "virchow2, of 1,280"
#    Prov-GigaPath, "1,536", gigapath, 256, gigapath
#    H-optimus-0 and -1, "1,536", "hoptimus0, hoptimus1", 224, "h-optimus-0, h-optimus-1"
#    CTransPath, 768, ctranspath, 256, "ctranspath, chief-ctranspath"
#    Phikon, 768, phikon, 224,
#    Phikon-v2, "1,024", phikon_v2, 224,
#
# The 2,560 of Virchow are a class token and the mean of the other tokens; STAMP's ``virchow`` and ``virchow2`` are the
# class token alone, 1,280. Names, widths and what is in the files are from the sources of TRIDENT (June 2026), STAMP
# 2.5.0 and CLAM (April 2025); the models themselves were not run. :func:`~sksurv_mmf.slides.extract_features` takes any
# torch module, such as one of timm.

import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.bags import open_bags, pack_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.inspection import TileAttentionDisplay

place = tempfile.TemporaryDirectory()
folder = Path(place.name)
trident = folder / "20x_256px_0px_overlap" / "features_uni_v1"
stamp = folder / "stamp"
trident.mkdir(parents=True)
stamp.mkdir()

cohort = make_multimodal_survival(n_patients=250, n_genes=10, n_tiles=(12, 20), image_effect=1.5, random_state=0)
for number, bag in enumerate(cohort.X["wsi__tiles"]):
    name = f"TCGA-05-{number:04d}-01Z-00-DX1.h5"
    with h5py.File(trident / name, "w") as file:  # coordinates in pixels of the finest level, here of 0.25 um
        file["features"], file["coords"] = bag.features, bag.coords
        file["features"].attrs.update(encoder="uni_v1", savetodir=str(trident))
        file["coords"].attrs.update(patch_size=256, target_magnification=20, patch_size_level0=512, overlap=0)
    with h5py.File(stamp / name, "w") as file:  # coordinates in micrometres, features of half the bytes
        file["feats"], file["coords"] = bag.features.astype(np.float16), (bag.coords / 4).astype(np.float32)
        file.attrs.update(extractor="uni", unit="um", tile_size_um=128.0, tile_size_px=256)

# %%
# Bags know where they come from
# ------------------------------
# Headers tell the extractor, the size of the tiles and the unit of the coordinates. Patients are read from the barcodes
# of TCGA here; otherwise a function or a table says whose slide it is.

both = {"TRIDENT": read_bags(trident), "STAMP": read_bags(stamp)}
known = {
    name: {"patients": len(bags), "tiling": str(bags.iloc[0].tiling), "unit of coordinates": bags.iloc[0].coord_unit}
    for name, bags in both.items()
}
print(pd.DataFrame(known).T.to_string())

# %%
# What must not be mixed
# ----------------------
# Features of two extractors mean different things although both are numbers. Such a folder is refused, and so are
# patients at prediction whose features differ from those at training. The two tools above call UNI by two names,
# ``uni_v1`` and ``uni``; if you know that they are the same, ``read_bags(..., tiling=Tiling("uni"))`` says so.

mixed = folder / "mixed"
mixed.mkdir()
for name, extractor in [("TCGA-05-0001-01Z-00-DX1", "uni"), ("TCGA-05-0002-01Z-00-DX1", "conch")]:
    with h5py.File(mixed / f"{name}.h5", "w") as file:
        file["feats"], file["coords"] = np.ones((4, 512), dtype=np.float16), np.zeros((4, 2))
        file.attrs.update(extractor=extractor, unit="um", tile_size_um=128.0, tile_size_px=256)
try:
    read_bags(mixed)
except ValueError as error:
    print(str(error).replace(str(folder), "..."))

# %%
# One store instead of thousands of files
# ---------------------------------------
# Files are read when a model needs them, in every epoch. A store holds them all and opens at once.

pack_bags(both["TRIDENT"], folder / "cohort.bags", dtype="float16")
bags = open_bags(folder / "cohort.bags")

# %%
# A model and a map
# -----------------
# 200 patients train. Outlined are the tiles that carry the signal, which the simulation knows. The axes are in
# the unit of the coordinates.

genes = cohort.X.filter(like="rna__").set_axis(bags.index).rename(columns=lambda name: name.removeprefix("rna__"))
X = join_modalities({"wsi": bags, "rna": genes})
model = FusionSurvivalAnalysis(random_state=0).fit(X[:200], cohort.y[:200])
print(f"C-index of 50 patients left out: {model.score(X[200:], cohort.y[200:]):.2f}")

order = X.index[200:][model.predict(X[200:]).argsort()]
nests = cohort.witness_tiles.set_axis(X.index)
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.3), layout="constrained")
for ax, patient, risk in zip(axes, order[[0, -1]], ["lowest", "highest"]):
    TileAttentionDisplay.from_estimator(model, X, patient=patient, highlight=nests[patient], ax=ax)
    ax.set_title(f"{patient}, {risk} risk", fontsize="medium")
place.cleanup()
