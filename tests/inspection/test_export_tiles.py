import json
import uuid

import numpy as np
import pandas as pd
import pytest
from attention_tables import table
from PIL import Image

from sksurv_mmf.inspection import TileAttentionDisplay, export_geojson, export_tiles

COORDS = np.array([[128, 256], [640, 256], [384, 512], [0, 0]])
WEIGHTS = np.array([0.2, 0.6, 0.05, 0.15])


def signed_area(ring):
    x, y = np.array(ring).T
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


@pytest.fixture
def exported(make_slide, ramp, tmp_path):
    def export(**parameters):
        path = tmp_path / "attention.geojson"
        slide = make_slide(ramp, mpp=parameters.pop("mpp", 0.5))
        export_geojson(table(WEIGHTS, COORDS), slide, path, tile_size=128, **parameters)
        return json.loads(path.read_text())

    return export


@pytest.mark.parametrize(("mpp", "side"), [(0.5, 128), (0.25, 256)])
def test_polygons_are_closed_counter_clockwise_squares_at_the_place_of_the_tiles(exported, mpp, side):
    collection = exported(mpp=mpp)
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == 4
    for feature, corner in zip(collection["features"], COORDS):
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "Polygon"
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len({tuple(point) for point in ring}) == 4
        assert signed_area(ring) == side**2
        assert np.min(ring, axis=0).tolist() == corner.tolist()
        assert np.max(ring, axis=0).tolist() == (corner + side).tolist()


def test_attention_is_a_measurement_and_the_colour_of_the_display(exported, make_slide, ramp):
    display = TileAttentionDisplay.from_slide(table(WEIGHTS, COORDS), make_slide(ramp), tile_size=128)
    expected = display.tiles_.to_rgba(display.tiles_.get_array(), alpha=1, bytes=True)[:, :3]
    for feature, weight, color in zip(exported()["features"], WEIGHTS, expected):
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert properties["color"] == color.tolist()
        assert properties["measurements"] == pytest.approx(
            {"Attention weight": weight, "Attention (1 = average tile)": 4 * weight}
        )


def test_object_type_and_colours_can_be_chosen(exported):
    properties = [feature["properties"] for feature in exported(object_type="annotation", cmap="gray")["features"]]
    assert {one["objectType"] for one in properties} == {"annotation"}
    greys = np.array([one["color"] for one in properties])
    assert (greys == greys[:, :1]).all()
    np.testing.assert_allclose(greys[:, 0], 255 * WEIGHTS / WEIGHTS.max(), atol=1)


def test_ids_are_unique_uuids_that_follow_the_content(exported, make_slide, ramp, tmp_path):
    ids = [feature["id"] for feature in exported()["features"]]
    assert len({uuid.UUID(one) for one in ids}) == 4
    assert ids == [feature["id"] for feature in exported()["features"]]
    export_geojson(table(WEIGHTS[::-1], COORDS), make_slide(ramp), tmp_path / "other.geojson", tile_size=128)
    other = json.loads((tmp_path / "other.geojson").read_text())
    assert not set(ids) & {feature["id"] for feature in other["features"]}


def test_the_top_tiles_are_written_in_order(make_slide, ramp, tmp_path):
    slide, out = make_slide(ramp), tmp_path / "tiles"
    index = export_tiles(table(WEIGHTS, COORDS), slide, out, top_k=3, tile_size=128)
    assert index["tile"].to_list() == [1, 0, 3]
    assert index["relative"].to_list() == pytest.approx([2.4, 0.8, 0.6])
    assert index["file"].iloc[0] == "1_attention_2.4_x640_y256.png"
    pd.testing.assert_frame_equal(pd.read_csv(out / "tiles.csv", index_col="rank"), index, check_dtype=False)
    assert sorted(path.name for path in out.iterdir()) == sorted([*index["file"], "tiles.csv"])
    for row in index.itertuples():
        with Image.open(out / row.file) as image:
            np.testing.assert_array_equal(np.asarray(image), ramp[row.y : row.y + 128, row.x : row.x + 128])


def test_images_have_the_resolution_that_was_asked_for(make_slide, ramp, tmp_path):
    slide = make_slide(ramp, mpp=0.25)
    index = export_tiles(table(WEIGHTS, COORDS), slide, tmp_path / "tiles", top_k=1, tile_size=128)
    with Image.open(tmp_path / "tiles" / index["file"].item()) as image:
        tile = np.asarray(image, dtype=float)
    assert tile.shape == (128, 128, 3)
    expected = ramp[256:512, 640:896].reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(tile - expected)[2:-2, 2:-2].max() <= 1


def test_ranks_sort_as_names_and_all_tiles_are_enough(make_slide, ramp, tmp_path):
    coords = np.stack(np.meshgrid(np.arange(4) * 64, np.arange(3) * 64), axis=-1).reshape(-1, 2)
    weights = np.linspace(1, 2, 12) / 18
    index = export_tiles(table(weights, coords), make_slide(ramp), tmp_path / "tiles", top_k=50, tile_size=64)
    assert index["tile"].to_list() == list(range(11, -1, -1))
    assert index["file"].to_list() == sorted(index["file"])


def test_exports_do_not_mix(make_slide, ramp, tmp_path):
    weights, slide = table(WEIGHTS, COORDS), make_slide(ramp)
    export_tiles(weights, slide, tmp_path / "tiles", tile_size=128)
    with pytest.raises(FileExistsError, match=r"tiles' holds an earlier export\. Pass overwrite=True"):
        export_tiles(weights, slide, tmp_path / "tiles", tile_size=128)
    (tmp_path / "tiles" / "notes.png").touch()
    index = export_tiles(weights, slide, tmp_path / "tiles", tile_size=64, top_k=1, overwrite=True)
    assert {path.name for path in (tmp_path / "tiles").iterdir()} == {*index["file"], "tiles.csv", "notes.png"}


@pytest.mark.parametrize("export", [export_geojson, export_tiles])
def test_tiles_of_other_slides_are_refused(export, make_slide, ramp, tmp_path):
    with pytest.raises(ValueError, match=r"3 of 3 tiles are not on slide.*tile 1 at x=640, y=2256"):
        export(table(WEIGHTS, COORDS + np.array([0, 2000])).iloc[1:], make_slide(ramp), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tiles_of_the_slide_alone_are_exported(make_slide, ramp, tmp_path):
    other, slide = table([0.4, 0.1], COORDS[:2] + 9, slide="other"), make_slide(ramp, name="mine")
    both = pd.concat([other, table(WEIGHTS / 2, COORDS, slide="mine")])
    index = export_tiles(both, slide, tmp_path / "tiles", tile_size=128)
    assert index["relative"].to_list() == pytest.approx([2.4, 0.8, 0.6, 0.2])
    export_geojson(both, slide, tmp_path / "mine.geojson", tile_size=128)
    squares = json.loads((tmp_path / "mine.geojson").read_text())["features"]
    assert [one["geometry"]["coordinates"][0][0] for one in squares] == COORDS.tolist()
    export_geojson(both, slide, tmp_path / "other.geojson", slide_name="other", tile_size=128)
    assert len(json.loads((tmp_path / "other.geojson").read_text())["features"]) == 2


@pytest.mark.parametrize("wrong", [{"object_type": "cell"}, {"tile_size": 0}, {"slide_name": 1}])
def test_bad_parameters_are_named(exported, wrong):
    parameters = {"tile_size": 128} | wrong
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of export_geojson"):
        export_geojson(table(WEIGHTS, COORDS), "slide.svs", "out.geojson", **parameters)
