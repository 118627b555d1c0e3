"""Maps take the size of the tiles from the feature files, and QuPath's corner from the slide."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import openslide
import pytest
from attention_tables import table
from PIL import Image
from torch import nn

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.encoders import AttentionMIL
from sksurv_mmf.inspection import TileAttentionDisplay, export_geojson, export_tiles
from sksurv_mmf.slides import extract_features

COORDS = np.array([[128, 256], [640, 256], [384, 512]])
WEIGHTS = np.array([0.2, 0.7, 0.1])


def drawn_side(display):
    (low, high) = display.tiles_.get_paths()[0].get_extents().get_points()
    return (high - low).tolist()


def written(attention, slide, path, **how):
    """Corners and sides in the file, with all features."""
    export_geojson(attention, slide, path, **how)
    features = json.loads(Path(path).read_text())["features"]
    rings = np.array([feature["geometry"]["coordinates"][0] for feature in features])
    return rings.min(axis=1).tolist(), np.ptp(rings, axis=1).tolist(), features


def all_sides(attention, slide, tmp_path, **how):
    """Side of the tiles in each of the maps, and the side of the images."""
    display = TileAttentionDisplay.from_slide(attention, slide, **how)
    _, sides, _ = written(attention, slide, tmp_path / "a.geojson", **how)
    index = export_tiles(attention, slide, tmp_path / "tiles", top_k=1, overwrite=True, **how)
    with Image.open(tmp_path / "tiles" / index["file"].iloc[0]) as image:
        assert image.size[0] == image.size[1]
        pixels = image.size[0]
    found = {*drawn_side(display), *sides[0]}
    assert len(found) == 1, found
    return found.pop(), pixels


class TestSizes:
    @pytest.mark.parametrize(
        ("columns", "expected"),
        [
            ({"tile_side": 100.0, "tile_size": 50.0, "mpp": 1.0}, (100, 50)),  # exactly, not 50 * 1.0 / 0.5
            ({"tile_side": 130.0, "tile_size": 64.0, "mpp": 1.0}, (130, 64)),  # TRIDENT rounds magnifications
            ({"tile_side": 96.0, "tile_size": 48.0}, (96, 48)),  # CLAM does not know resolutions
            ({"tile_side": 96.0}, (96, 512)),
            ({"tile_size": 64.0, "mpp": 1.0}, (128, 64)),
            ({}, (512, 512)),
            ({"tile_side": np.nan, "tile_size": np.nan, "mpp": np.nan}, (512, 512)),
        ],
    )
    def test_what_files_say_is_used(self, make_slide, ramp, tmp_path, columns, expected):
        slide = make_slide(ramp, mpp=0.5)
        assert all_sides(table(WEIGHTS, COORDS).assign(**columns), slide, tmp_path) == expected

    def test_micrometres_become_pixels(self, make_slide, ramp, tmp_path):
        attention = table(WEIGHTS, COORDS * 0.25).assign(coord_unit="um", tile_side=64.0, tile_size=224.0)
        assert all_sides(attention, make_slide(ramp, mpp=0.25), tmp_path) == (256, 224)
        assert all_sides(attention, make_slide(ramp, mpp=None), tmp_path, slide_mpp=0.25) == (256, 224)

    def test_a_slide_need_not_know_its_resolution_if_the_file_knows_pixels(self, make_slide, ramp, tmp_path):
        slide = make_slide(ramp, mpp=None)
        assert all_sides(table(WEIGHTS, COORDS).assign(tile_side=96.0), slide, tmp_path) == (96, 512)

    @pytest.mark.parametrize(
        ("columns", "how", "expected"),
        [
            ({"tile_side": 130.0, "tile_size": 64.0, "mpp": 1.0}, {"tile_size": 64, "mpp": 1.0}, (130, 64)),
            ({"tile_side": 128.0, "tile_size": 64.0, "mpp": 1.0}, {"tile_size": 128, "mpp": 0.5}, (128, 128)),
            ({"tile_side": 96.0}, {"tile_size": 32}, (96, 32)),
            ({"mpp": 1.0}, {"tile_size": 32}, (64, 32)),
            ({"tile_size": 64.0}, {"mpp": 1.0}, (128, 64)),
            ({}, {"tile_size": 64}, (64, 64)),
        ],
    )
    def test_arguments_that_agree_are_welcome(self, make_slide, ramp, tmp_path, columns, how, expected):
        attention = table(WEIGHTS, COORDS).assign(**columns)
        assert all_sides(attention, make_slide(ramp, mpp=0.5), tmp_path, **how) == expected

    @pytest.mark.parametrize(
        ("columns", "how"),
        [
            ({"tile_side": 128.0, "tile_size": 64.0, "mpp": 1.0}, {"tile_size": 512, "mpp": 0.5}),
            ({"tile_side": 128.0, "tile_size": 64.0, "mpp": 1.0}, {"tile_size": 128}),
            ({"tile_side": 128.0, "tile_size": 64.0, "mpp": 1.0}, {"mpp": 0.5}),
            ({"tile_side": 128.0}, {"tile_size": 64, "mpp": 0.5}),
            ({"tile_size": 64.0, "mpp": 1.0}, {"tile_size": 64, "mpp": 0.5}),
        ],
    )
    def test_arguments_that_contradict_are_refused(self, make_slide, ramp, tmp_path, columns, how):
        attention, slide = table(WEIGHTS, COORDS).assign(**columns), make_slide(ramp, mpp=0.5)
        for draw in (
            lambda: TileAttentionDisplay.from_slide(attention, slide, **how),
            lambda: export_geojson(attention, slide, tmp_path / "a.geojson", **how),
            lambda: export_tiles(attention, slide, tmp_path / "tiles", **how),
        ):
            with pytest.raises(
                ValueError, match=r"make tiles of \d+ pixels.*but by the feature file they have 128\. Leave"
            ):
                draw()
        assert list(tmp_path.glob("*.geojson")) == []

    def test_rows_of_several_slides_are_refused(self, make_slide, ramp):
        attention = table(WEIGHTS, COORDS).assign(tile_side=[64.0, 64.0, 128.0])
        with pytest.raises(ValueError, match=r"tiles differ in 'tile_side': 64\.0, 128\.0"):
            TileAttentionDisplay.from_slide(attention, make_slide(ramp))

    def test_maps_without_a_slide_use_it_too(self):
        attention = table(WEIGHTS, COORDS).assign(tile_side=100.0)
        assert drawn_side(TileAttentionDisplay.from_predictions(attention)) == [100, 100]
        assert drawn_side(TileAttentionDisplay.from_predictions(table(WEIGHTS, COORDS))) == [256, 256]


def test_from_slide_to_map_without_saying_the_size_twice(make_slide, ramp, tmp_path):
    slide = make_slide(ramp, mpp=0.25, name="A")
    encoder = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(12, 3))
    extract_features(slide, tmp_path / "features", encoder=encoder, tile_size=64, mpp=0.5, tissue=None, verbose=False)
    bags = read_bags(tmp_path / "features")
    X = join_modalities({"wsi": bags.loc[["A", "A"]].set_axis(["P1", "P2"])})
    y = np.array([(True, 1.0), (True, 2.0)], dtype=[("event", bool), ("time", float)])
    model = FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(hidden_dim=4))], n_estimators=1, max_epochs=1, random_state=0
    ).fit(X, y)
    attention = model.tile_attention(X.loc[["P1"]])
    assert attention.columns.tolist() == ["attention", "slide", "x", "y", "tile_side", "tile_size", "mpp"]
    assert all_sides(attention, slide, tmp_path) == (128, 64)


def test_files_of_stamp_are_drawn_at_their_size(make_slide, ramp, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    with h5py.File(folder / "A.h5", "w") as file:
        file["feats"], file["coords"] = np.ones((3, 2), dtype=np.float32), COORDS * 0.5
        file.attrs.update({"unit": "um", "tile_size_um": 64.0, "tile_size_px": 224, "extractor": "uni"})
    X = join_modalities({"wsi": read_bags(folder).loc[["A", "A"]].set_axis(["P1", "P2"])})
    y = np.array([(True, 1.0), (True, 2.0)], dtype=[("event", bool), ("time", float)])
    model = FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(hidden_dim=4))], n_estimators=1, max_epochs=1, random_state=0
    ).fit(X, y)
    slide = make_slide(ramp, mpp=0.5, name="A")
    assert all_sides(model.tile_attention(X.loc[["P1"]]), slide, tmp_path) == (128, 224)


@pytest.fixture
def bounds(monkeypatch):
    """Let slides say what was scanned of them."""

    def tell(**properties):
        honest = openslide.OpenSlide.properties.fget
        told = {f"openslide.bounds-{name}": value for name, value in properties.items()}
        monkeypatch.setattr(openslide.OpenSlide, "properties", property(lambda self: {**honest(self), **told}))

    return tell


class TestBounds:
    SCANNED = {"x": "600", "y": "400", "width": "300", "height": "200"}

    def corners(self, make_slide, ramp, tmp_path, **how):
        attention = table([0.5, 0.5], [[600, 400], [700, 300]])
        return written(attention, make_slide(ramp), tmp_path / "a.geojson", tile_size=64, **how)[0]

    def test_the_scanned_part_begins_at_zero(self, make_slide, ramp, tmp_path, bounds):
        bounds(**self.SCANNED)
        assert self.corners(make_slide, ramp, tmp_path) == [[0, 0], [100, -100]]
        assert self.corners(make_slide, ramp, tmp_path, subtract_bounds=False) == [[600, 400], [700, 300]]

    def test_the_other_maps_stay_in_pixels_of_the_whole_slide(self, make_slide, ramp, tmp_path, bounds):
        bounds(**self.SCANNED)
        attention = table([0.5, 0.5], [[600, 400], [700, 300]])
        assert TileAttentionDisplay.from_slide(attention, make_slide(ramp), tile_size=64).coords[0].tolist() == [
            600,
            400,
        ]
        index = export_tiles(attention, make_slide(ramp), tmp_path / "tiles", tile_size=64)
        assert index[["x", "y"]].iloc[0].tolist() == [600, 400]

    @pytest.mark.parametrize("wrong", [{"width": None}, {"x": "six"}, {"y": "1.5"}, {"height": ""}])
    def test_bounds_that_qupath_does_not_read_count_for_nothing(self, make_slide, ramp, tmp_path, bounds, wrong):
        bounds(**{name: value for name, value in (self.SCANNED | wrong).items() if value is not None})
        assert self.corners(make_slide, ramp, tmp_path) == [[600, 400], [700, 300]]

    @pytest.mark.parametrize("wrong", [1, "yes", None])
    def test_the_switch_is_checked(self, make_slide, ramp, tmp_path, wrong):
        with pytest.raises(ValueError, match="The 'subtract_bounds' parameter of export_geojson"):
            self.corners(make_slide, ramp, tmp_path, subtract_bounds=wrong)

    def test_micrometres_are_converted_before(self, make_slide, ramp, tmp_path, bounds):
        bounds(**self.SCANNED)
        attention = table([1.0], [[300.0, 200.0]]).assign(coord_unit="um")
        corners, _, _ = written(attention, make_slide(ramp, mpp=0.5), tmp_path / "a.geojson", tile_size=64)
        assert corners == [[0, 0]]

    @pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "luna_1065626.svs"])
    def test_real_slides_without_bounds_are_as_before(self, real_slide, tmp_path, name):
        corners, sides, _ = written(table([1.0], [[512, 256]]), real_slide(name), tmp_path / "a.geojson", tile_size=64)
        assert corners == [[512, 256]]
        assert sides[0][0] >= 64


class TestWithoutMatplotlib:
    @pytest.fixture(autouse=True)
    def absent(self, monkeypatch):
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            monkeypatch.setitem(sys.modules, name, None)

    def test_colours_want_it_and_say_so(self, make_slide, ramp, tmp_path):
        with pytest.raises(ImportError, match=r"colours of cmap needs matplotlib.*sksurv_mmf\[plot\].*cmap=None"):
            export_geojson(table(WEIGHTS, COORDS), make_slide(ramp), tmp_path / "a.geojson")
        assert not (tmp_path / "a.geojson").exists()

    def test_without_colours_it_is_not_needed(self, make_slide, ramp, tmp_path):
        corners, _, features = written(table(WEIGHTS, COORDS), make_slide(ramp), tmp_path / "a.geojson", cmap=None)
        assert corners == COORDS.tolist()
        assert [feature["properties"]["measurements"]["Attention weight"] for feature in features] == WEIGHTS.tolist()
        assert not any("color" in feature["properties"] for feature in features)
        with pytest.raises(ValueError, match="norm='log' scales colours, but cmap=None writes none"):
            export_geojson(table(WEIGHTS, COORDS), make_slide(ramp), tmp_path / "a.geojson", cmap=None, norm="log")

    def test_images_of_tiles_do_not_need_it(self, make_slide, ramp, tmp_path):
        assert len(export_tiles(table(WEIGHTS, COORDS), make_slide(ramp), tmp_path / "tiles", tile_size=64)) == 3
