"""
What does a fused model show of a patient?
==========================================

Where on her slide the model looks, and what became of patients whom it calls like her: these two pictures are what a
pathologist asks for first. Here both come from one model of tiles and genes, which was trained on other patients.

**Everything is simulated**, so that the answer is known: patients, genes and tile features by
:func:`~sksurv_mmf.datasets.make_multimodal_survival`, and the slide is drawn, with a nest of tumour cells where the
simulation says that the signal is. The model never sees the drawing; it reads the features of the tiles.
"""  # noqa: D400

# %%
# The model
# ---------
# 300 patients train, 200 test. Each has one slide, of 60 to 110 tiles, a fifth of which carry what the image knows of
# the risk. Five of 30 genes matter, too. ``max_tiles`` lets each epoch see 20 tiles of a slide, which is quicker;
# predictions are made from all of them.

import sys

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.inspection import RiskGroupDisplay, TileAttentionDisplay

genes = {"n_genes": 30, "n_informative_genes": 5}
cohort = make_multimodal_survival(n_patients=500, n_tiles=(60, 110), image_effect=1.3, **genes, random_state=0)
train, test = slice(300), slice(300, None)
model = FusionSurvivalAnalysis(max_tiles=20, encoders={"wsi": {"hidden_dim": 64}}, random_state=0)
model.fit(cohort.X[train], cohort.y[train])

X, y = cohort.X[test], cohort.y[test]
risk = model.predict(X)
print(f"C-index of {len(X)} patients whom the model has not seen: {model.score(X, y):.2f}")

# %%
# One patient
# -----------
# Of the three test patients with the highest risk, the one whose nest is in the middle of her slide. The tiles of the
# nest are known, and attention should lie there: the area under the ROC curve is 0.5 by chance and 1 if every tile of
# the nest has more attention than any other.

patient = X.index[risk.argsort()[-3]]
table = model.tile_attention(X.loc[[patient]])
attention, corners = table["attention"].to_numpy(), table[["x", "y"]].to_numpy()
nest = cohort.witness_tiles[patient]
print(f"{patient}: {len(nest)} tiles, {nest.sum()} in the nest. AUC of attention: {roc_auc_score(nest, attention):.2f}")

# %%
# Her slide, drawn
# ----------------
# Haematoxylin colours nuclei, eosin the rest; light is absorbed by both. Fibres of stroma are noise that was stretched
# and bent. Nuclei are ellipses: few and small in stroma, many, large and dark in the nest. Some glands, for there is
# other tissue, too.

TILE, PIXELS = 512, 96  # side of a tile in pixels of the slide, and of the drawing
HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.30]), np.array([0.06, 0.90, 0.35])


def stamp(image, x, y, long, short, angle, darkness):
    """Add a soft ellipse to an image, in place."""
    reach = int(np.ceil(1.5 * long)) + 1
    top, left = max(int(y) - reach, 0), max(int(x) - reach, 0)
    rows, columns = np.mgrid[top : min(int(y) + reach, len(image)), left : min(int(x) + reach, image.shape[1])]
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    inside = expit(8 - 8 * np.hypot(along / long, across / short))
    patch = image[rows, columns]
    image[rows, columns] = np.maximum(patch, darkness * inside)


def draw_slide(corners, nest, rng):
    """Image of a tissue with a nest of tumour cells in some of its tiles."""
    cells = corners // TILE
    shape = (cells.max(axis=0)[::-1] + 2) * PIXELS  # half a tile of glass around the tissue
    noise = [gaussian_filter(rng.normal(size=shape), size) * size for size in (2, 6, 24, 60)]

    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    bent = rows + 45 * noise[2] + 40 * noise[3], columns + 45 * noise[2][::-1] + 40 * noise[3][:, ::-1]

    def field(chosen, softness):
        """1 within some tiles and 0 elsewhere, with a soft and bent border."""
        flags = np.zeros(shape)
        for column, row in cells[chosen]:
            flags[row * PIXELS : (row + 1) * PIXELS, column * PIXELS : (column + 1) * PIXELS] = 1
        return map_coordinates(gaussian_filter(np.roll(flags, PIXELS // 2, axis=(0, 1)), softness), bent, order=1)

    tissue = expit(40 * (field(np.full(len(nest), True), 20) - 0.4))
    tumour = field(nest, 16) > 0.5
    strands = gaussian_filter(rng.normal(size=shape), (1.5, 22)) * 6
    tilt = 0.5 * bent[1] + 0.85 * bent[0], 0.85 * bent[1] - 0.5 * bent[0]
    fibres = map_coordinates(strands, tilt, order=1, mode="wrap")
    eosin = 0.40 + 0.20 * fibres + 0.05 * noise[1]
    eosin = np.where(tumour, 0.38 + 0.06 * noise[1], eosin).clip(0.08, 0.9)
    nuclei = np.zeros(shape)
    glands = rng.uniform(0, 1, (9, 2)) * shape
    away = np.full(shape, np.inf)
    for row, column in glands:
        radius = rng.uniform(20, 34)
        distance = np.hypot(rows - row, 1.2 * (columns - column)) + 3 * noise[1]
        wall = tissue[int(row), int(column)] > 0.9 and not tumour[int(row), int(column)]
        if not wall or (tumour & (distance < 1.7 * radius)).any():
            continue
        away = np.minimum(away, distance / radius)
        tissue = tissue * (1 - 0.95 * expit(0.72 * radius - 1.2 * distance))  # the empty lumen
        for angle in np.arange(0, 2 * np.pi, 5.0 / radius):
            at = column + radius * np.cos(angle) / 1.2, row + radius * np.sin(angle)
            stamp(nuclei, *at, rng.uniform(4, 5), rng.uniform(2, 2.6), angle, rng.uniform(0.7, 1.0))
    eosin = np.where(away < 1.25, 0.45 + 0.05 * noise[1], eosin)
    for row, column in rng.uniform(0, 1, (shape.prod() // 70, 2)) * shape:
        i, j = int(row), int(column)
        if tissue[i, j] < 0.8 or away[i, j] < 1.35:
            continue
        if tumour[i, j]:
            sizes, darkness = rng.uniform(2.6, 4.8, 2), rng.uniform(0.75, 1.3)
        elif rng.random() < 0.13:
            sizes, darkness = (rng.uniform(3, 5), rng.uniform(1.0, 1.5)), rng.uniform(0.6, 0.9)
        else:
            continue
        stamp(nuclei, column, row, max(sizes), min(sizes), rng.uniform(0, np.pi), darkness)
    density = (nuclei + 0.12 * tumour)[..., None] * HAEMATOXYLIN + eosin[..., None] * EOSIN
    glass = 0.02
    return (255 * np.exp(-(tissue[..., None] * density + glass))).clip(0, 255).astype(np.uint8)


slide = draw_slide(corners, nest, np.random.default_rng(4))

# %%
# The picture
# -----------
# Left the slide, in the middle the attention on top of it, the nest outlined, where pixels are taken to be of half a
# micrometre; right all test patients in two halves by predicted risk. The first screen of the documentation has the
# picture that ``python examples/plot_00_first_screen.py docs/_static/first_screen.png`` writes.

figure = plt.figure(figsize=(11.2, 4.0), dpi=143)
left, middle = figure.add_axes([0.005, 0.07, 0.29, 0.80]), figure.add_axes([0.31, 0.07, 0.29, 0.80])
right = figure.add_axes([0.755, 0.29, 0.235, 0.46])
scale = TILE / PIXELS

left.imshow(slide, extent=(0, slide.shape[1] * scale, slide.shape[0] * scale, 0))
left.set_title("Slide of a new patient (drawn)", fontsize="medium", loc="left")
place = corners + TILE // 2  # within the drawing
left.axis("off")
drawn = {"thumbnail": slide, "thumbnail_scale": scale, "tile_size": TILE, "um_per_unit": 0.5}
display = TileAttentionDisplay(attention, place, highlight=nest, patient=patient, **drawn)
display.plot(middle, highlight_label="tiles with signal")
RiskGroupDisplay.from_predictions(y, risk, time_unit="months", max_time=100, risks_from="test patients", ax=right)
if sys.argv[1:]:
    figure.savefig(sys.argv[1])
    Image.open(sys.argv[1]).convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(
        sys.argv[1], optimize=True
    )
