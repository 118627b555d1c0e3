import numpy as np
import pytest
from attention_tables import table
from matplotlib.colors import BoundaryNorm, ListedColormap

from sksurv_mmf.inspection import TileAttentionDisplay, export_geojson
from sksurv_mmf.slides import tile_slide

COORDS = np.array([[128, 256], [640, 256], [384, 480]])
WEIGHTS = [0.7, 0.2, 0.1]


def rendered(display, places):
    """Colours of the picture at places of the slide."""
    canvas = display.figure_.canvas
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())
    columns, rows = display.ax_.transData.transform(places).astype(int).T
    return picture[picture.shape[0] - 1 - rows, columns, :3].astype(float)


@pytest.mark.parametrize(("slide_mpp", "side"), [(0.5, 128), (0.25, 256)])
def test_tiles_are_drawn_over_their_place_on_the_thumbnail(make_slide, slide_mpp, side):
    glass, stain = [240.0, 240, 240], [200.0, 60, 140]
    image = np.full((768, 1024, 3), 240, dtype=np.uint8)
    for x, y in COORDS:
        image[y : y + side, x : x + side] = stain  # what the tiles show
    path = make_slide(image, mpp=slide_mpp, downsamples=(1, 2))
    display = TileAttentionDisplay.from_slide(table(WEIGHTS, COORDS), path, tile_size=128)
    for box, corner in zip(display.tiles_.get_paths(), COORDS):
        np.testing.assert_allclose(box.get_extents().get_points(), [corner, corner + side])

    near_corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])  # older matplotlib blurs edges more
    beyond_edges = np.array([[-0.06, 0.5], [1.06, 0.5], [0.5, -0.06], [0.5, 1.06]])
    inside, outside = ((COORDS[:, None] + side * points).reshape(-1, 2) for points in (near_corners, beyond_edges))
    np.testing.assert_allclose(rendered(display, outside), np.tile(glass, (12, 1)), atol=3)
    *colors, opacity = display.tiles_.to_rgba(display.tiles_.get_array()).repeat(4, axis=0).T
    expected = opacity * 255 * np.array(colors) + (1 - opacity) * np.array(stain)[:, None]
    np.testing.assert_allclose(rendered(display, inside), expected.T, atol=3)
    display.tiles_.set_visible(False)
    np.testing.assert_allclose(rendered(display, inside), np.tile(stain, (12, 1)), atol=3)


def test_tissue_shows_where_attention_is_low(make_slide, ramp):
    slide, thirds = make_slide(ramp), np.array([0.0, 1.0, 2.0]) / 3

    def opacities(weights, **look):
        display = TileAttentionDisplay.from_slide(table(weights, COORDS), slide, tile_size=128).plot(**look)
        return display.tiles_.to_rgba(display.tiles_.get_array())[:, 3]

    np.testing.assert_allclose(opacities(thirds), [0.1, 0.2, 0.75], atol=0.01)
    steps = opacities(thirds, norm=BoundaryNorm([0, 0.5, 1.5, 2], 256))
    np.testing.assert_allclose(steps, [0.1, 0.2, 0.75], atol=0.01)
    nearly_alike = opacities(np.array([0.8, 1.0, 1.2]) / 3)
    np.testing.assert_allclose(nearly_alike, [0.18, 0.2, 0.2 + 0.2 * 0.55], atol=0.01)
    display = TileAttentionDisplay.from_slide(table(thirds, COORDS), slide, tile_size=128)
    constant = display.plot(alpha=0.4).tiles_
    assert set(constant.to_rgba(constant.get_array())[:, 3]) == {1.0}
    assert constant.get_alpha() == 0.4
    own = ListedColormap([(1, 0, 0, 0.0), (1, 0, 0, 0.5)])
    drawn = display.plot(cmap=own).tiles_
    np.testing.assert_allclose(drawn.to_rgba(drawn.get_array())[:, 3], [0, 0.5, 0.5], atol=0.01)


@pytest.mark.parametrize("slide_mpp", [0.5, 0.25])
def test_the_scale_bar_is_by_the_pixels_of_the_slide(make_slide, ramp, slide_mpp):
    display = TileAttentionDisplay.from_slide(table(WEIGHTS, COORDS), make_slide(ramp, mpp=slide_mpp), tile_size=128)
    (bar,), (label,) = display.ax_.lines, display.ax_.texts
    said = float(label.get_text().removesuffix(" \N{MICRO SIGN}m"))
    assert np.ptp(bar.get_xdata()) * slide_mpp == pytest.approx(said)
    assert len(display.ax_.get_xticks()) == len(display.ax_.get_yticks()) == 0


def test_without_the_pixels_of_the_slide_the_scale_is_that_of_the_tiles(make_slide, ramp):
    sides, path = table(WEIGHTS, COORDS).assign(tile_side=128.0), make_slide(ramp, mpp=None)
    assert TileAttentionDisplay.from_slide(sides, path).um_per_unit is None
    known = sides.assign(tile_size=64.0, mpp=1.0)
    assert TileAttentionDisplay.from_slide(known, path).um_per_unit == 0.5


def test_the_name_of_the_file_picks_the_slide(make_slide, ramp):
    slide = ["other"] * 3 + ["mine"] * 3
    both = table([0.1, 0.1, 0.1, *(0.7 * np.array(WEIGHTS))], np.vstack([COORDS + 5000, COORDS]), slide=slide)
    display = TileAttentionDisplay.from_slide(both, make_slide(ramp, name="mine"), tile_size=128)
    np.testing.assert_allclose(display.tiles_.get_array(), 3 * np.array(WEIGHTS))
    assert display.ax_.get_title() == "Patient A\nmine"
    scan = make_slide(ramp, name="scan")
    named = TileAttentionDisplay.from_slide(both, scan, slide_name="mine", tile_size=128)
    np.testing.assert_array_equal(named.coords, COORDS)
    with pytest.raises(ValueError, match=r"no tiles of slide 'scan', but of 'other', 'mine'\. Pass slide_name"):
        TileAttentionDisplay.from_slide(both, scan, tile_size=128)


def test_axes_are_pixels_of_level_0_whatever_the_thumbnail(make_slide, ramp):
    path = make_slide(ramp, downsamples=(1, 4))
    for max_size in (60, 1000):
        display = TileAttentionDisplay.from_slide(table(WEIGHTS, COORDS), path, tile_size=128, max_size=max_size)
        assert max(display.thumbnail.shape) <= 1.1 * max(max_size, 64)
        (thumbnail,) = display.ax_.get_images()
        left, right, bottom, top = thumbnail.get_extent()
        assert (left, top) == (0, 0)
        assert 1024 <= right < 1024 + display.thumbnail_scale
        assert 768 <= bottom < 768 + display.thumbnail_scale
        assert display.ax_.yaxis_inverted()


def test_one_is_the_average_of_the_tiles_that_are_shown(make_slide, ramp):
    path, both = make_slide(ramp), table([0.35, 0.1, 0.05, 0.5], np.vstack([COORDS, [5000, 0]]))
    with pytest.raises(ValueError, match=r"1 of 4 tiles are not on slide.*1024 x 768.*tile 3 at x=5000, y=0.*rows"):
        TileAttentionDisplay.from_slide(both, path, tile_size=128)
    display = TileAttentionDisplay.from_slide(both[both["x"] < 1024], path, tile_size=128)
    np.testing.assert_allclose(display.tiles_.get_array(), 3 * np.array(WEIGHTS))


def test_marked_tiles_are_outlined_and_plot_can_be_repeated(make_slide, ramp):
    display = TileAttentionDisplay.from_slide(
        table(WEIGHTS, COORDS), make_slide(ramp), tile_size=128, highlight=[False, True, False]
    )
    (outline,) = display.ax_.collections[1].get_paths()
    np.testing.assert_allclose(outline.get_extents().get_points(), [COORDS[1], COORDS[1] + 128])
    again = display.plot(cmap="magma", alpha=1.0)
    assert again.tiles_.get_paths()[0].get_extents().size.tolist() == [128, 128]
    assert again.tiles_.get_alpha() == 1


def test_what_cannot_be_placed_is_explained(make_slide, ramp):
    weights = table(WEIGHTS, COORDS)
    with pytest.raises(ValueError, match="lacks the columns 'x' and 'y'"):
        TileAttentionDisplay.from_slide(weights[["attention"]], make_slide(ramp))
    with pytest.raises(ValueError, match="Pass slide_mpp"):
        TileAttentionDisplay.from_slide(weights, make_slide(ramp, mpp=None))
    with pytest.raises(ValueError, match="highlight has shape"):
        TileAttentionDisplay.from_slide(weights, make_slide(ramp), highlight=[True])


@pytest.mark.parametrize("slide_mpp", [None, 0.25])
def test_micrometres_come_to_the_same_place_as_pixels(make_slide, ramp, slide_mpp, tmp_path):
    path, side = make_slide(ramp, mpp=0.5), slide_mpp or 0.5
    pixels, micrometres = table(WEIGHTS, COORDS), table(WEIGHTS, np.multiply(COORDS, side)).assign(coord_unit="um")
    how = {"tile_size": 64, "mpp": 0.5, "slide_mpp": slide_mpp}
    one, other = (TileAttentionDisplay.from_slide(weights, path, **how) for weights in (pixels, micrometres))
    np.testing.assert_allclose(other.coords, COORDS)
    assert other.tile_size == one.tile_size
    files = tmp_path / "pixels.geojson", tmp_path / "micrometres.geojson"
    for weights, file in zip((pixels, micrometres), files):
        export_geojson(weights, path, file, **how)
    assert files[0].read_text() == files[1].read_text()
    assert TileAttentionDisplay.from_predictions(micrometres).um_per_unit == 1
    assert TileAttentionDisplay.from_predictions(pixels).ax_.get_xlabel() == "x (px)"
    with pytest.raises(ValueError, match="must be 'px' or 'um', got 'mm'"):
        TileAttentionDisplay.from_slide(micrometres.assign(coord_unit="mm"), path, **how)


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "luna_1065626.svs"])
def test_tiles_cover_the_tissue_of_real_slides(real_slide, name):
    path = real_slide(name)
    coords = tile_slide(path)
    display = TileAttentionDisplay.from_slide(table(np.full(len(coords), 1 / len(coords)), coords), path)
    scale = display.thumbnail_scale
    y, x = (np.indices(display.thumbnail.shape[:2]) + 0.5) * scale  # centres of pixels, on the slide
    inside = np.zeros(x.shape, dtype=bool)
    for box in display.tiles_.get_paths():
        (left, top), (right, bottom) = box.get_extents().get_points()
        inside |= (left <= x) & (x < right) & (top <= y) & (y < bottom)
    saturation = np.ptp(display.thumbnail.astype(int), axis=2)
    assert saturation[inside].mean() > 3 * saturation[~inside].mean()
