"""From folders, lists and tables of feature files to one bag per patient."""

import pickle
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, read_bags
from sksurv_mmf.bags import Bag, open_bags, pack_bags
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.preprocessing import BagTransformer

PATIENTS = ["TCGA-05-4244", "TCGA-05-4245", "TCGA-05-4249"]
SLIDES = {
    "TCGA-05-4244-01Z-00-DX1.d4ff32cd": 5,
    "TCGA-05-4245-01Z-00-DX1.36ff5403": 3,
    "TCGA-05-4245-01Z-00-DX2.9c84cd2f": 7,
    "TCGA-05-4249-01Z-00-DX1.9fce0297": 4,
}


def tiles_of(slide, n_features=3):
    """Numbers that tell slide, tile and feature apart."""
    n = SLIDES[slide]
    return (1000 * list(SLIDES).index(slide) + np.arange(n * n_features)).reshape(n, n_features).astype(np.float32)


def coords_of(slide):
    return np.arange(2 * SLIDES[slide]).reshape(-1, 2)


def write(folder, slide, suffix=".h5", **kwargs):
    path = folder / f"{slide}{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["features"], file["coords"] = tiles_of(slide, **kwargs), coords_of(slide)
    else:
        np.save(path, tiles_of(slide, **kwargs))
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    for slide in reversed(SLIDES):
        write(folder, slide)
    return folder


def assert_is_the_cohort(bags):
    assert bags.dtype == "bag"
    assert bags.index.name == "patient"
    assert sorted(bags.index) == PATIENTS
    for patient, bag in bags.items():
        own = [slide for slide in SLIDES if slide.startswith(patient)]
        assert_array_equal(bag.features, np.concatenate([tiles_of(slide) for slide in own]))
        assert_array_equal(bag.coords, np.concatenate([coords_of(slide) for slide in own]))
        assert bag.slides == {slide: SLIDES[slide] for slide in own}
        assert bag.is_file_backed


class TestPatients:
    def test_barcodes_are_recognised(self, folder):
        for patient in ("auto", "tcga"):
            bags = read_bags(folder, patient)
            assert_is_the_cohort(bags)
            assert list(bags.index) == PATIENTS  # by the names of their files

    def test_a_function_finds_the_patient(self, folder):
        assert_is_the_cohort(read_bags(str(folder), lambda slide: slide[:12]))

    @pytest.mark.parametrize("suffix", ["", ".svs", ".h5"])
    @pytest.mark.parametrize(
        "form", [dict, pd.Series, lambda x: pd.Series(x, name="patient").rename_axis("slide").reset_index()]
    )
    def test_a_table_tells_the_patient(self, folder, form, suffix):
        assert_is_the_cohort(read_bags(folder, form({f"{slide}{suffix}": slide[:12] for slide in SLIDES})))

    def test_each_slide_can_be_a_patient(self, folder):
        assert list(read_bags(folder, "slide").index) == list(SLIDES)

    def test_names_without_barcodes_are_patients(self, tmp_path):
        for name in ("P2", "P1"):
            np.save(tmp_path / f"{name}.npy", np.ones((2, 2)))
        assert list(read_bags(tmp_path).index) == ["P1", "P2"]

    def test_patients_can_be_numbers(self, folder):
        bags = read_bags(folder, {slide: int(slide[8:12]) for slide in SLIDES})
        assert list(bags.index) == [4244, 4245, 4249]
        assert join_modalities({"wsi": bags}).shape == (3, 1)


class TestSources:
    def test_a_list_keeps_its_order(self, folder):
        paths = [folder / f"{slide}.h5" for slide in SLIDES][::-1]
        bags = read_bags(paths)
        assert list(bags.index) == PATIENTS[::-1]
        assert list(bags["TCGA-05-4245"].slides) == list(SLIDES)[2:0:-1]
        assert_array_equal(bags["TCGA-05-4245"].features[:7], tiles_of(list(SLIDES)[2]))

    def test_a_table_of_paths(self, folder):
        patient_of = {str(folder / f"{slide}.h5"): slide[:12] for slide in SLIDES}
        series = pd.Series(patient_of)
        frame = series.rename("patient").rename_axis("path").reset_index()
        for source in (series, frame, frame.set_index("path"), frame.rename(columns={"path": "slide"})):
            assert_is_the_cohort(read_bags(source))

    def test_same_names_in_different_folders_may_belong_to_different_patients(self, tmp_path):
        paths = []
        for value, patient in enumerate("AB"):
            (tmp_path / patient).mkdir()
            paths.append(tmp_path / patient / "slide.npy")
            np.save(paths[-1], np.full((2, 2), value))
        bags = read_bags(pd.Series(["A", "B"], index=[str(path) for path in paths]))
        assert [bag.features[0, 0] for bag in bags] == [0, 1]

    def test_a_format_restricts_a_folder(self, folder):
        for slide in SLIDES:
            write(folder, slide, ".npy")
        assert all(bag.coords is None for bag in read_bags(folder, format="npy"))
        assert_is_the_cohort(read_bags(folder, format="h5"))
        with pytest.raises(ValueError, match=r"'TCGA-05-4244' has several files of slide .*d4ff32cd\.h5'.*\.npy'"):
            read_bags(folder)

    def test_what_is_wrong_with_the_source_is_said(self, folder, tmp_path):
        (tmp_path / "empty").mkdir()
        pack_bags(read_bags(folder), tmp_path / "store")
        path = folder / f"{next(iter(SLIDES))}.h5"
        for source, patient, error, message in [
            (tmp_path / "absent", "auto", FileNotFoundError, "no folder .*absent"),
            (path, "auto", ValueError, "is a file; pass \\[path\\]"),
            ([path, folder / "absent.h5"], lambda name: "A", FileNotFoundError, r"absent\.h5"),
            (tmp_path / "empty", "auto", ValueError, "No slide belongs to a patient .no file at all"),
            (tmp_path / "store", "auto", ValueError, "is a store of bags; open it with open_bags"),
            (folder, lambda name: None, ValueError, r"No slide belongs to a patient \(4 no patient\)"),
            (folder, "barcode", ValueError, "patient must be 'auto', 'tcga', 'slide', a function or a table"),
            (folder, 12, TypeError, "patient must be 'auto', 'tcga', 'slide', a function or a table, got a int"),
            (12, "auto", TypeError, "source must be a folder, a list of paths or a table"),
            (
                pd.Series({str(path): "A"}),
                "tcga",
                ValueError,
                "source is a Series, which is a table that names the patients.*tolist",
            ),
            (pd.DataFrame({"a": ["A"]}), "auto", ValueError, "needs a column 'patient', but has 'a'"),
            (pd.DataFrame({"patient": ["A"]}), "auto", ValueError, "needs the path as index or"),
            (
                folder,
                {"s.svs": "A", "s.h5": "B"},
                ValueError,
                "Slide 's' belongs to two patients in the table: 'A' and",
            ),
        ]:
            with pytest.raises(error, match=message):
                read_bags(source, patient)
        with pytest.raises(ValueError, match=r"format must be 'auto' or one of h5, .*, got 'svs'"):
            read_bags(folder, format="svs")


class TestReport:
    TABLE = {slide: slide[:12] for slide in list(SLIDES)[1:]} | {"lost-1": "TCGA-05-4245", "lost-2": "P9"}

    def test_unmatched_slides_and_patients_are_in_the_report(self, folder):
        (folder / "notes.txt").touch()
        (folder / ".hidden.h5").touch()
        bags, report = read_bags(folder, self.TABLE, return_report=True)
        assert list(bags.index) == PATIENTS[1:]
        slides = list(SLIDES)
        assert report["status"].to_dict() == {
            slides[0]: "no patient",
            **dict.fromkeys(slides[1:], "read"),
            "notes.txt": "other file",
            "lost-1": "no file",
            "lost-2": "no file",
        }
        assert report["patient"].dropna().to_dict() == self.TABLE
        assert report["n_tiles"].dropna().to_dict() == {slide: SLIDES[slide] for slide in slides[1:]}
        assert report.loc[slides[1], ["has_coords", "path"]].tolist() == [True, str(folder / f"{slides[1]}.h5")]

    def test_they_are_in_a_warning_otherwise(self, folder):
        with pytest.warns(UserWarning, match="1 slide.* without a patient are left out: .*d4ff32cd") as caught:
            read_bags(folder, self.TABLE)
        message = str(caught[0].message)
        assert "2 slide(s) of the table have no file: 'lost-1', 'lost-2'" in message
        assert "1 patient(s) are left without any slide: 'P9'" in message  # the other one has slides left
        assert caught[0].filename == __file__

    def test_a_name_without_barcode_is_unmatched_among_barcodes(self, folder):
        np.save(folder / "control.npy", np.ones((2, 3)))
        with pytest.warns(UserWarning, match="without a patient are left out: 'control'"):
            assert_is_the_cohort(read_bags(folder))

    def test_paths_of_a_table_that_do_not_exist(self, folder):
        source = pd.Series({str(folder / f"{slide}.h5"): slide[:12] for slide in SLIDES} | {"gone.h5": "P9"})
        with pytest.warns(UserWarning, match="have no file: 'gone'.*without any slide: 'P9'"):
            assert_is_the_cohort(read_bags(source))

    def test_nothing_is_warned_of_where_all_match(self, folder):
        (folder / "config.json").touch()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_bags(folder)


class TestBadFiles:
    def test_all_files_that_cannot_be_used_are_named(self, folder):
        for slide in list(SLIDES)[:2]:
            (folder / f"{slide}.h5").write_bytes(b"")
        with pytest.raises(ValueError, match=r"2 of 4 feature files cannot be used:\n.*d4ff32cd.*\n.*36ff5403"):
            read_bags(folder)

    def test_another_width_is_named(self, folder):
        write(folder, list(SLIDES)[1], n_features=5)
        with pytest.raises(ValueError, match=r"there are 3 files with 3; 1 file with 5: '[^']*36ff5403\.h5'\."):
            read_bags(folder)

    def test_without_a_majority_all_widths_are_named(self, folder):
        for slide in list(SLIDES)[:2]:
            write(folder, slide, n_features=5)
        with pytest.raises(
            ValueError, match=r"2 files with 3.*; 2 files with 5|2 files with 5.*; 2 files with 3"
        ) as caught:
            read_bags(folder)
        assert all(slide in str(caught.value) for slide in SLIDES)

    def test_a_folder_that_is_named_like_a_file_is_named(self, folder):
        (folder / "TCGA-05-4250-01Z-00-DX1.h5").mkdir()
        (folder / "h5_files").mkdir()
        with pytest.raises(ValueError, match=r"4250-01Z-00-DX1\.h5' cannot be used: it is a folder and not a regular"):
            read_bags(folder)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_the_file_with_nan_is_named_in_training(self, folder, bad):
        slide = list(SLIDES)[2]
        with h5py.File(folder / f"{slide}.h5", "a") as file:
            file["features"][1, 2] = bad
        X = join_modalities({"wsi": read_bags(folder)})
        y = np.array([(True, 1.0), (True, 2.0), (False, 3.0)], dtype=[("event", bool), ("time", float)])
        with pytest.raises(ValueError, match=rf"'TCGA-05-4245' .* first in tile 4, which is from .*{slide}\.h5[.,]"):
            FusionSurvivalAnalysis(n_estimators=1, max_epochs=1).fit(X, y)


class TestHints:
    """What to do about sources that do not match."""

    @pytest.fixture
    def files(self, tmp_path):
        tmp_path = tmp_path / "h5_files"
        tmp_path.mkdir()
        for name in ("P1.d4ff", "P2.a0b1"):
            np.save(tmp_path / f"{name}.npy", np.ones((3, 2)))
        return tmp_path

    def test_a_series_of_paths(self, files):
        with pytest.raises(ValueError, match=r"Its values are paths: pass them as a list, source\.tolist\(\)"):
            read_bags(pd.Series([str(path) for path in files.iterdir()]))

    def test_names_that_go_on(self, files):
        table = {"P1": "Ann", "P2": "Bea"}
        with pytest.raises(ValueError, match=r"names of table and files with the first 2 characters, 2 would match"):
            read_bags(files, table)
        with pytest.warns(UserWarning, match=r"1 slide\(s\) without a patient.*1 would match"):
            read_bags(files, {"P1.d4ff": "Ann", "P2": "Bea"})

    def test_a_folder_of_folders(self, files):
        with pytest.raises(ValueError, match=rf"Sub-folders have feature files; pass one of them: '{files.name}'"):
            read_bags(files.parent)


class TestSeveralSlides:
    def test_coords_need_all_slides(self, folder):
        slide = list(SLIDES)[1]
        (folder / f"{slide}.h5").unlink()
        write(folder, slide, ".npy")
        bags, report = read_bags(folder, return_report=True)
        assert [bag.coords is None for bag in bags] == [False, True, False]
        assert report["has_coords"].tolist() == [True, False, True, True]
        assert_array_equal(bags["TCGA-05-4245"].features[:3], tiles_of(slide))

    def test_types_are_promoted(self, tmp_path):
        halves = np.array([[0.1]], dtype=np.float16)
        for name, array in {"a": halves, "b": np.array([[0.1]]), "c": halves}.items():
            np.save(tmp_path / f"{name}.npy", array)
        bag = read_bags(tmp_path, lambda name: "P")["P"]
        assert_array_equal(bag.features, np.array([[np.float16(0.1)], [0.1], [np.float16(0.1)]], dtype=np.float32))
        assert read_bags([tmp_path / "a.npy", tmp_path / "c.npy"], lambda name: "P")["P"].features.dtype == np.float16

    def test_slides_stay_known(self, folder):
        bag = read_bags(folder)["TCGA-05-4245"]
        first, second = list(SLIDES)[1:3]
        mapped = pickle.loads(pickle.dumps(bag.map(np.sqrt)))
        assert mapped.slides == bag.slides == {first: 3, second: 7}
        assert [bag.source_of(tile) for tile in (0, 2, 3, 9)] == [
            str(folder / f"{s}.h5") for s in (first, first, second, second)
        ]
        assert len(pickle.dumps(bag)) < 2000
        in_memory = Bag(bag.features, bag.coords, slides=bag.slides)
        assert in_memory == bag
        assert pickle.loads(pickle.dumps(in_memory.map(np.abs))).slides == bag.slides
        with pytest.raises(ValueError, match="slides must give each slide its number of tiles, 10 together"):
            Bag(bag.features, slides={"a": 3})


def test_opening_reads_headers_only(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: reads.append(self.name))
    rng = np.random.default_rng(0)
    for name in "abc":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["features"], file["coords"] = rng.normal(size=(2000, 64)), np.zeros((2000, 2))
    before = int(Path("/proc/self/io").read_text().split()[1]) if Path("/proc/self/io").exists() else None
    bags = read_bags(tmp_path)
    if before is not None:
        # A few kilobytes of each megabyte.
        assert int(Path("/proc/self/io").read_text().split()[1]) - before < 100_000
    assert bags.array.n_tiles.tolist() == [2000] * 3
    assert reads == []


@pytest.fixture
def on_disk(tmp_path, cohort):
    """The cohort of the tests with its bags in memory, in two files of different formats each, and in a store."""
    bags = cohort.X["wsi__tiles"]
    table = {}
    for patient, bag in bags.items():
        for part, rows in enumerate(np.array_split(bag.features, min(2, bag.n_tiles))):
            if part:
                np.save(tmp_path / f"{patient}-{part}.npy", rows)
            else:
                with h5py.File(tmp_path / f"{patient}-{part}.h5", "w") as file:
                    file["features"] = rows
            table[f"{patient}-{part}"] = patient
    return {"memory": bags, "files": read_bags(tmp_path, table), "store": pack_bags(bags, tmp_path / "cohort.bags")}


def test_predictions_do_not_depend_on_where_the_bags_are(on_disk, cohort):
    def fit_predict(bags):
        X = cohort.X.assign(wsi__tiles=bags)
        model = FusionSurvivalAnalysis(
            [("wsi", AttentionMIL(hidden_dim=8, attention_dim=4)), ("rna", SNN())],
            n_estimators=1,
            max_epochs=2,
            random_state=0,
        )
        return model.fit(X, cohort.y).predict(X)

    expected = fit_predict(on_disk["memory"])
    for name in ("files", "store"):
        assert_array_equal(fit_predict(on_disk[name]), expected, err_msg=name)


def test_attention_tells_the_slide_of_each_tile(on_disk, cohort):
    bags = on_disk["files"]
    X = cohort.X.assign(wsi__tiles=bags)
    model = FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(hidden_dim=8)), ("rna", SNN())], n_estimators=1, max_epochs=1, random_state=0
    )
    table = model.fit(X, cohort.y).tile_attention(X)
    counts = table.groupby(level="patient", sort=False)["slide"].value_counts(sort=False)
    assert {slide: n for (_, slide), n in counts.items()} == {s: n for bag in bags for s, n in bag.slides.items()}
    assert "slide" not in model.tile_attention(cohort.X)


def test_transformers_take_bags_from_files(on_disk):
    transformed = [BagTransformer(StandardScaler()).fit(bags).transform(bags) for bags in on_disk.values()]
    for one in transformed[1:]:
        assert all(a == b for a, b in zip(transformed[0].iloc[:, 0], one.iloc[:, 0]))


def test_a_store_of_read_bags_keeps_slides(folder, tmp_path):
    pack_bags(read_bags(folder), tmp_path / "store")
    assert_is_the_cohort(open_bags(tmp_path / "store"))


def write_stamp(folder, slide, unit="um"):
    path = folder / f"{slide}.h5"
    with h5py.File(path, "w") as file:
        file["feats"], file["coords"] = tiles_of(slide), coords_of(slide) * 0.5
        file.attrs["unit"] = unit
    return path


def test_micrometres_stay_micrometres(tmp_path):
    """From files of STAMP over a store and transformers to the table of attention."""
    folder = tmp_path / "features"
    folder.mkdir()
    for slide in SLIDES:
        write_stamp(folder, slide)
    bags = read_bags(folder)
    packed = pack_bags(bags, tmp_path / "store")
    assert all(packed[patient] == bag for patient, bag in bags.items())
    X = join_modalities({"wsi": bags})
    y = np.array([(True, 1.0), (True, 2.0), (False, 3.0)], dtype=[("event", bool), ("time", float)])
    model = FusionSurvivalAnalysis(
        [("wsi", AttentionMIL(hidden_dim=4))], n_estimators=1, max_epochs=1, random_state=0
    ).fit(X, y)
    for some in (bags, packed, BagTransformer(StandardScaler()).fit(bags).transform(bags).iloc[:, 0]):
        assert {bag.coord_unit for bag in some} == {"um"}
        assert {pickle.loads(pickle.dumps(bag)).coord_unit for bag in some} == {"um"}
        assert set(model.tile_attention(join_modalities({"wsi": some}))["coord_unit"]) == {"um"}


def test_units_of_coordinates_do_not_mix(folder, tmp_path):
    first, second, third, _ = SLIDES
    assert read_bags(folder).map(lambda bag: bag.coord_unit).isna().all()
    write_stamp(folder, first)
    bags = read_bags(folder)
    assert [bag.coord_unit for bag in bags] == ["um", None, None]
    with pytest.raises(ValueError, match="one unit of coordinates, but these bags have 'None', 'um'"):
        pack_bags(bags, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    write_stamp(folder, third)
    with pytest.raises(ValueError, match=rf"'TCGA-05-4245' has .*{second}.h5 \(unit not known\), .*{third}.h5 \(um\)"):
        read_bags(folder)


@pytest.mark.parametrize("unit", [["um"], 7, "u" * 1000, "mm", np.bytes_(b"um"), h5py.Empty("S2")])
def test_only_known_units_are_believed(tmp_path, unit):
    bag = Bag.from_file(write_stamp(tmp_path, next(iter(SLIDES)), unit))
    assert bag.coord_unit == ("um" if isinstance(unit, bytes) else None)


def test_bags_in_other_units_differ():
    one, other = (Bag(np.ones((2, 1)), np.zeros((2, 2)), coord_unit=unit) for unit in ("um", "px"))
    assert one != other
    assert one == Bag(np.ones((2, 1)), np.zeros((2, 2)), coord_unit="um")
    with pytest.raises(ValueError, match="coord_unit must be None or one of px, um, got 'mm'"):
        Bag(np.ones((2, 1)), coord_unit="mm")
