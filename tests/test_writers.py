"""All functions that write a file: it appears as a whole, through no link, and nothing else is harmed."""

import os

import pandas as pd
import pytest
from sksurv.linear_model import CoxPHSurvivalAnalysis

from sksurv_mmf import load_model, save_model
from sksurv_mmf.bags import open_bags, pack_bags
from sksurv_mmf.datasets import read_survival_splits, write_survival_splits
from sksurv_mmf.files import _writing
from sksurv_mmf.inspection import export_geojson, export_tiles
from sksurv_mmf.model_selection import SurvivalKFold, compare_models


@pytest.fixture
def patients(make_cohort):
    cohort = make_cohort()
    return cohort.X.drop(columns="wsi__tiles"), cohort.y


@pytest.fixture
def replace(patients, make_slide, ramp, tmp_path):
    """What replaces a file at some path, by name."""
    (tmp_path / "source").mkdir()
    slide = make_slide(ramp)
    attention = pd.DataFrame(
        {"attention": [0.7, 0.3], "x": [0, 128], "y": [0, 0]},
        index=pd.MultiIndex.from_product([["P1"], [0, 1]], names=["patient", "tile"]),
    )
    model = CoxPHSurvivalAnalysis(alpha=1).fit(*patients)
    comparison = compare_models({"cox": model}, *patients, 2, scoring="harrell")
    return {
        "model": lambda path: save_model(model, path, overwrite=True),
        "geojson": lambda path: export_geojson(attention, slide, path, tile_size=64),
        "html": lambda path: comparison.to_html(path),
        "tiles": lambda path: export_tiles(attention, slide, path.parent, tile_size=64, overwrite=True),
        "splits": lambda path: write_survival_splits(SurvivalKFold(3), *patients, path.parent, overwrite=True),
    }


NAMES = {
    "model": "model.zip",
    "geojson": "out.geojson",
    "html": "out.html",
    "tiles": "tiles.csv",
    "splits": "splits_1.csv",
}


@pytest.fixture(params=NAMES)
def writer(request, replace, tmp_path):
    """A writer, and the path of a file that it writes, alone in a folder."""
    (tmp_path / "target").mkdir()
    return replace[request.param], tmp_path / "target" / NAMES[request.param]


def test_a_link_is_replaced_and_not_followed(writer, tmp_path):
    write, path = writer
    write(path)
    made = path.read_bytes()
    path.unlink()
    (tmp_path / "precious").write_text("mine")
    path.symlink_to(tmp_path / "precious")
    write(path)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not path.is_symlink()
    assert len(path.read_bytes()) == pytest.approx(len(made), abs=100)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_is_refused(writer, make):
    write, path = writer
    make(path)
    with pytest.raises(OSError, match=r"is a folder|is no regular file|exists already"):
        write(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_is_there_stays_when_writing_fails(writer, monkeypatch, error):
    write, path = writer
    write(path)
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}

    def fail(file):
        raise error

    monkeypatch.setattr(_writing.os, "fsync", fail)
    monkeypatch.setattr(_writing, "_replace_all", lambda *args: fail(None))
    with pytest.raises(type(error)):
        write(path)
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before


class TestTwoAtOnce:
    def test_of_two_saved_models_the_first_stays(self, patients, tmp_path, monkeypatch):
        from sksurv_mmf.persistence import _model

        mine, theirs = (CoxPHSurvivalAnalysis(alpha=alpha).fit(*patients) for alpha in (1.0, 2.0))
        check = _model._try

        def save_theirs_meanwhile(path, parts):
            monkeypatch.setattr(_model, "_try", check)
            save_model(theirs, tmp_path / "model.zip")

        monkeypatch.setattr(_model, "_try", save_theirs_meanwhile)
        with pytest.raises(FileExistsError, match=r"model\.zip' exists already: another process has made it"):
            save_model(mine, tmp_path / "model.zip")
        assert load_model(tmp_path / "model.zip").alpha == 2.0

    def test_of_two_packers_the_first_stays(self, make_cohort, tmp_path, monkeypatch):
        from sksurv_mmf.bags import _store

        bags = make_cohort().X["wsi__tiles"]
        write = _store._write_store

        def pack_theirs_meanwhile(*args):
            monkeypatch.setattr(_store, "_write_store", write)
            pack_bags(bags.iloc[:3], tmp_path / "store")
            write(*args)

        monkeypatch.setattr(_store, "_write_store", pack_theirs_meanwhile)
        with pytest.raises(FileExistsError, match="store' exists already: another process has made it"):
            pack_bags(bags, tmp_path / "store")
        assert len(open_bags(tmp_path / "store", verify=True)) == 3
        assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("n_old", [0, 3, 5])
def test_splits_that_were_moved_in_part_are_not_read_as_all(patients, tmp_path, monkeypatch, n_old):
    """A process that is killed between two files leaves what is there then."""
    X, y = patients
    if n_old:
        write_survival_splits(SurvivalKFold(n_old), X, y, tmp_path)
    place, seen = _writing._place, []

    def look_and_place(*args, **options):
        seen.append(len([*tmp_path.glob("splits*")]))
        with pytest.raises(FileNotFoundError, match=r"has no files|lacks splits_0\.csv"):
            read_survival_splits(tmp_path, X)
        place(*args, **options)

    monkeypatch.setattr(_writing, "_place", look_and_place)
    write_survival_splits(SurvivalKFold(4), X, y, tmp_path, overwrite=True)
    assert seen == [0, 1, 2, 3]
    assert read_survival_splits(tmp_path, X).get_n_splits() == 4
    assert len([*tmp_path.iterdir()]) == 4
