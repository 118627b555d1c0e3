"""What files say about extractor and tile size, how long it is remembered, and what does not mix."""

import json
import pickle
import re
import warnings
from pathlib import Path
from zipfile import ZipFile
from zlib import crc32

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, load_model, read_bags, save_model
from sksurv_mmf.bags import Bag, BagArray, Tiling, open_bags, pack_bags
from sksurv_mmf.bags._tiling import difference, disagreement
from sksurv_mmf.encoders import AttentionMIL
from sksurv_mmf.preprocessing import BagPooling, BagTransformer

TILES = np.arange(12, dtype=np.float32).reshape(4, 3)
COORDS = np.array([[0, 0], [512, 0], [0, 512], [512, 512]])


def write(path, file=None, features=None, coords=None, feature_name="features"):
    """A feature file with attributes of the file, its features and its coordinates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as stream:
        stream[feature_name], stream["coords"] = TILES, COORDS
        for holder, attributes in [(stream, file), (stream[feature_name], features), (stream["coords"], coords)]:
            holder.attrs.update(attributes or {})
    return path


def stamp(path, extractor="mahmood-uni", um=256.0, px=224, **more):
    attributes = {"extractor": extractor, "unit": "um", "tile_size_um": um, "tile_size_px": px, "stamp_version": "2.3"}
    return write(path, attributes | more, feature_name="feats")


def trident(path, encoder="uni_v1", size=256, target=20, level0=40):
    coords = {
        "patch_size": size,
        "patch_size_level0": size * level0 // target,
        "level0_magnification": level0,
        "target_magnification": target,
        "overlap": 0,
        "name": path.stem,
        "savetodir": "job/20x_256px_0px_overlap",
    }
    return write(path, None, {"name": path.stem, "savetodir": f"job/20x_256px_0px_overlap/features_{encoder}"}, coords)


def clam(path, size=256, level=0, downsample=(1.0, 1.0)):
    coords = {"patch_size": size, "patch_level": level, "downsample": downsample, "name": path.stem}
    return write(path, coords=coords)


def ours(path, encoder="ImageNetResNet50 0123", transform=None, size=512, mpp=0.5):
    settings = {"tile_size": size, "mpp": mpp, "encoder": encoder, "transform": transform}
    coords = {"patch_size": size, "patch_size_level0": 1000, "target_magnification": 10 / mpp, "level0_mpp": 0.25}
    return write(path, {"settings": json.dumps(settings)}, coords=coords | {"mpp": mpp})


class TestReading:
    @pytest.mark.parametrize(
        ("make", "expected", "side"),
        [
            (stamp, Tiling("mahmood-uni", 224, width=256.0), 256.0),
            (trident, Tiling("uni_v1", 256, 0.5), 512.0),
            (clam, Tiling(None, 256, downsample=1.0), 256.0),
            (ours, Tiling("ImageNetResNet50 0123", 512, 0.5), 1000.0),
            (write, Tiling(), None),
        ],
    )
    def test_attributes_of_each_tool(self, tmp_path, make, expected, side):
        bag = Bag.from_file(make(tmp_path / "slide.h5"))
        assert bag.tiling == expected
        assert (None if bag.tile_sides is None else bag.tile_sides.tolist()) == (None if side is None else [side] * 4)

    @pytest.mark.parametrize(("name", "expected"), [("conch_v15", "conch_v15"), ("None", "uni_v1")])
    def test_trident_names_the_encoder(self, tmp_path, name, expected):
        path = trident(tmp_path / "slide.h5")
        with h5py.File(path, "a") as file:
            file["features"].attrs["encoder"] = name
        assert Bag.from_file(path).tiling == Tiling(expected, 256, 0.5)

    def test_earlier_files_of_stamp(self, tmp_path):
        attributes = {"extractor": "ctranspath", "unit": "um", "tile_size": 256.0}
        bag = Bag.from_file(write(tmp_path / "slide.h5", attributes, feature_name="feats"))
        assert bag.tiling == Tiling("ctranspath", width=256.0)
        assert bag.tile_sides.tolist() == [256.0] * 4
        bag = Bag.from_file(write(tmp_path / "older.h5", {"extractor": "ctranspath", "tile_size": 224}))
        assert (bag.tiling, bag.tile_sides) == (Tiling("ctranspath", 224), None)

    def test_a_coarser_level_of_clam(self, tmp_path):
        bag = Bag.from_file(clam(tmp_path / "slide.h5", 256, 1, (4.0, 4.0)))
        assert bag.tiling == Tiling(tile_size=256, downsample=4.0)
        assert bag.tile_sides.tolist() == [1024.0] * 4
        attributes = {"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0), "custom_downsample": 2}
        bag = Bag.from_file(write(tmp_path / "custom.h5", coords=attributes))
        assert bag.tiling == Tiling(tile_size=256, downsample=8.0)
        assert bag.tile_sides.tolist() == [2048.0] * 4

    def test_a_transform_makes_another_extractor(self, tmp_path):
        assert Bag.from_file(ours(tmp_path / "a.h5", "net 1", "grey")).tiling.extractor == "net 1, grey"

    def test_folders_of_trident_tell_what_files_do_not(self, tmp_path):
        folder = tmp_path / "10x_224px_16px_overlap" / "features_conch_v15"
        folder.mkdir(parents=True)
        torch.save(torch.ones(3, 2), folder / "slide.pt")
        assert read_bags(folder)["slide"].tiling == Tiling("conch_v15", 224, 1.0)
        assert Bag.from_file(stamp(folder / "other.h5")).tiling == Tiling("mahmood-uni", 224, width=256.0)

    @pytest.mark.parametrize(
        "folder", ["features_train", "20x_256px/features_uni", "a/features_uni", "0x_0px_0px_overlap/features_uni"]
    )
    def test_other_folders_tell_nothing(self, tmp_path, folder):
        path = tmp_path / folder / "slide.npy"
        path.parent.mkdir(parents=True)
        np.save(path, TILES)
        assert Bag.from_file(path).tiling == Tiling()

    @pytest.mark.parametrize(
        "attributes",
        [
            {"extractor": 7},
            {"extractor": ["uni", "conch"]},
            {"extractor": "u" * 1000},
            {"extractor": ""},
            {"extractor": h5py.Empty("S3")},
            {"settings": "{"},
            {"settings": "[1]"},
            {"settings": "[" * 15_000},
            {"settings": '{"encoder": ["a"]}'},
            {"patch_size": -256},
            {"patch_size": np.nan},
            {"patch_size": np.inf},
            {"patch_size": "256"},
            {"patch_size": 1e300},
            {"target_magnification": 1e-300},
            {"patch_size": np.ones((2, 2))},
            {"patch_size": h5py.Empty("f8")},
            {"target_magnification": -1},
            {"tile_size_um": 0.0},
            {"mpp": 0.25},  # of the slide, as some tools call it
        ],
    )
    def test_what_makes_no_sense_counts_as_absent(self, tmp_path, attributes):
        bag = Bag.from_file(write(tmp_path / "slide.h5", attributes, attributes, attributes))
        assert bag.tiling == Tiling()
        assert_array_equal(bag.features, TILES)

    def test_bytes_and_numpy_numbers_are_read_as_such(self, tmp_path):
        attributes = {"extractor": np.bytes_(b"uni"), "tile_size_px": np.int16(224), "tile_size_um": np.float32([256])}
        assert Bag.from_file(write(tmp_path / "a.h5", attributes)).tiling == Tiling("uni", 224, width=256.0)

    def test_the_user_knows_better(self, tmp_path):
        stamp(tmp_path / "a.h5")
        trident(tmp_path / "b.h5")
        known = Tiling("mine", 224, 0.5)
        for tiling in (known, Tiling()):
            bags = read_bags(tmp_path, tiling=tiling)
            assert {bag.tiling for bag in bags} == {tiling}
            assert bags.array.tiling == tiling
        with pytest.raises(TypeError, match="tiling must be a Tiling or None, got a dict"):
            read_bags(tmp_path, tiling={"extractor": "uni"})


LENGTHS = {"tile_size": 256, "mpp": 0.6, "width": 128.0}


class TestTiling:
    def test_sizes_follow_from_each_other(self):
        assert Tiling(tile_size=256, mpp=0.5).width == 128
        assert Tiling(tile_size=224, width=256).mpp == pytest.approx(256 / 224)
        assert Tiling(mpp=0.5).width is None

    def test_what_agrees_two_by_two_can_be_joined(self):
        bags = BagArray([Bag(TILES, tiling=Tiling(**{name: value})) for name, value in LENGTHS.items()])
        assert bags.tiling == Tiling(tile_size=256, mpp=0.6)

    def test_numbers_become_plain_ones(self, tmp_path):
        tiling = Tiling(np.str_("uni"), np.int64(256), np.float32(0.5))
        assert [type(value) for value in (tiling.extractor, tiling.tile_size, tiling.mpp)] == [str, int, float]
        pack_bags(pd.Series({"A": Bag(TILES, tiling=tiling)}, dtype="bag"), tmp_path / "store")
        assert open_bags(tmp_path / "store")["A"].tiling == Tiling("uni", 256, 0.5)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"extractor": 3}, "extractor must be a name"),
            ({"extractor": ""}, "extractor must be a name"),
            ({"tile_size": 0}, "tile_size must be a positive whole number"),
            ({"tile_size": 256.5}, "tile_size must be a positive whole number"),
            ({"tile_size": True}, "tile_size must be a positive whole number"),
            ({"mpp": -0.5}, "mpp must be a positive number"),
            ({"width": np.nan}, "width must be a positive number"),
            ({"mpp": "0.5"}, "mpp must be a positive number"),
            ({"tile_size": 256, "mpp": 0.5, "width": 256.0}, "width must be tile_size"),
        ],
    )
    def test_nonsense_is_refused(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            Tiling(**parameters)


class TestOneCohort:
    @pytest.mark.parametrize(
        ("make", "one", "other", "values"),
        [
            (stamp, {}, {"extractor": "conch"}, ["feature extractor 'mahmood-uni'", "feature extractor 'conch'"]),
            (stamp, {}, {"um": 512.0}, ["tile width 256 um", "tile width 512 um"]),
            (stamp, {}, {"px": 512}, ["tile size 224 px", "tile size 512 px"]),
            (trident, {}, {"encoder": "conch_v1"}, ["'uni_v1'", "'conch_v1'"]),
            (trident, {}, {"size": 512}, ["256 px", "512 px"]),
            (trident, {}, {"target": 10}, ["tile width 128 um", "tile width 256 um"]),
            (clam, {}, {"size": 512}, ["256 px", "512 px"]),
            (ours, {}, {"encoder": "net 2"}, ["'ImageNetResNet50 0123'", "'net 2'"]),
            (ours, {}, {"transform": "grey"}, ["'ImageNetResNet50 0123'", "'ImageNetResNet50 0123, grey'"]),
            (ours, {}, {"mpp": 1.0}, ["tile width 256 um", "tile width 512 um"]),
        ],
    )
    def test_other_tiles_are_refused(self, tmp_path, make, one, other, values):
        paths = [make(tmp_path / f"{name}.h5", **one) for name in "abc"] + [make(tmp_path / "d.h5", **other)]
        with pytest.raises(ValueError, match="one feature extractor and have tiles of one size") as caught:
            read_bags(tmp_path)
        message = str(caught.value)
        assert f"3 files with {values[0]}" in message or values[0] in message
        for part in [*values, repr(str(paths[0])), repr(str(paths[3])), "and 1 more", "tiling=Tiling(...)"]:
            assert part in message

    def test_files_of_two_tools_are_refused(self, tmp_path):
        stamp(tmp_path / "a.h5")
        trident(tmp_path / "b.h5")
        with pytest.raises(ValueError, match=r"feature extractor 'mahmood-uni'.*feature extractor 'uni_v1'"):
            read_bags(tmp_path)

    def test_what_is_not_known_mixes(self, tmp_path):
        np.save(tmp_path / "a.npy", TILES)
        trident(tmp_path / "b.h5")
        trident(tmp_path / "c.h5", level0=20)  # another scanner, the same tiles
        bags = read_bags(tmp_path)
        assert bags.array.tiling == Tiling("uni_v1", 256, 0.5)
        assert [None if bag.tile_sides is None else bag.tile_sides[0] for bag in bags] == [None, 512, 256]

    def test_rounded_lengths_agree(self, tmp_path):
        ours(tmp_path / "a.h5", mpp=0.5)
        ours(tmp_path / "b.h5", mpp=0.5003)
        assert read_bags(tmp_path).array.tiling.mpp == 0.5
        assert read_bags(tmp_path)[::-1].array.tiling.mpp == 0.5003

    def test_slides_of_one_patient_keep_their_own_side(self, tmp_path):
        trident(tmp_path / "a.h5")
        np.save(tmp_path / "b.npy", TILES[:2])
        trident(tmp_path / "c.h5", level0=20)
        bag = read_bags(tmp_path, lambda name: "P")["P"]
        assert_array_equal(bag.tile_sides, [512] * 4 + [np.nan] * 2 + [256] * 4)
        assert bag.tiling == Tiling("uni_v1", 256, 0.5)

    def test_levels_of_clam_do_not_mix(self, tmp_path):
        clam(tmp_path / "a.h5")
        clam(tmp_path / "b.h5", level=1, downsample=(4.0, 4.0))
        clam(tmp_path / "c.h5", level=1, downsample=(4.003, 4.001))  # sides of levels are rounded
        with pytest.raises(
            ValueError, match=r"1 file with downsample 1 of level 0: '[^']*a\.h5'; 2 files with downsample 4"
        ):
            read_bags(tmp_path)
        of_unknown_tiles = write(tmp_path / "d.h5")
        bags = read_bags([tmp_path / "b.h5", tmp_path / "c.h5", of_unknown_tiles])
        assert bags.array.tiling == Tiling(tile_size=256, downsample=4.0)
        stored = pack_bags(bags, tmp_path / "store")
        with pytest.raises(ValueError, match=r"3 bags with downsample 4 of level 0: .*; 1 bag with downsample 1"):
            pd.concat([stored, read_bags([tmp_path / "a.h5"])])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_bags(tmp_path, tiling=Tiling(tile_size=256, mpp=0.5))  # scanned at 20x and 80x

    def test_sides_that_no_resolution_explains_are_told(self, tmp_path):
        for name, side in {"a": 256, "b": 512, "c": 513}.items():
            write(tmp_path / f"{name}.h5", coords={"patch_size": 256, "patch_size_level0": side})
        with pytest.warns(UserWarning, match=r"1 with 256: '[^']*a\.h5'; 2 with 512: '[^']*b\.h5'") as caught:
            read_bags(tmp_path, return_report=True)
        assert caught[0].filename == __file__

    def test_one_file_is_told_what_it_is_as_many_are(self, tmp_path):
        path, tiling = clam(tmp_path / "a.h5"), Tiling("uni", 256, 0.5)
        assert Bag.from_file(path, tiling=tiling).tiling == read_bags([path], tiling=tiling)["a"].tiling == tiling
        assert Bag.from_file(path, tiling=Tiling()).tiling == Tiling()
        with pytest.raises(TypeError, match="tiling must be a Tiling or None, got a str"):
            Bag.from_file(path, tiling="uni")

    def test_columns_do_not_mix_either(self, tmp_path):
        one = read_bags([stamp(tmp_path / "a.h5"), stamp(tmp_path / "b.h5")])
        other = read_bags([stamp(tmp_path / "c.h5", extractor="conch")])
        message = r"2 bags with feature extractor 'mahmood-uni': 0, 1; 1 bag with feature extractor 'conch': 2"
        with pytest.raises(ValueError, match=message):
            pd.concat([one, other])
        with pytest.raises(ValueError, match="one feature extractor"):
            one.iloc[0] = other.iloc[0]
        with pytest.raises(ValueError, match="one feature extractor"):
            BagArray([one["a"], other["c"]])
        assert one.array.take([1, 0, -1], allow_fill=True).tiling == one["a"].tiling
        assert pd.concat([one, one]).array.tiling == one["a"].tiling
        assert BagArray([None]).tiling == Tiling()


class TestMemory:
    def test_it_survives_pickling_maps_and_transformers(self, tmp_path):
        bags = read_bags([trident(tmp_path / "a.h5"), trident(tmp_path / "b.h5", level0=20)])
        in_memory = Bag(TILES, tiling=bags["a"].tiling)
        scaled = BagTransformer(StandardScaler()).fit(bags).transform(bags).iloc[:, 0]
        for bag in [*bags, *scaled, in_memory, in_memory.map(np.sqrt), bags["a"].map(np.sqrt)]:
            assert pickle.loads(pickle.dumps(bag)).tiling == Tiling("uni_v1", 256, 0.5)
        assert [bag.tile_sides[0] for bag in scaled] == [512, 256]

    @pytest.mark.parametrize("patient", ["slide", lambda name: "P"])
    def test_it_survives_a_store(self, tmp_path, patient):
        folder = tmp_path / "features"
        trident(folder / "a.h5")
        np.save(folder / "b.npy", TILES[:2])
        trident(folder / "c.h5", level0=20)
        bags = read_bags(folder, patient)
        pack_bags(bags, tmp_path / "store")
        stored = open_bags(tmp_path / "store", verify=True)
        assert stored.array.tiling == Tiling("uni_v1", 256, 0.5)
        for name, bag in bags.items():
            if bag.tile_sides is None:
                assert stored[name].tile_sides is None
            else:
                assert_array_equal(stored[name].tile_sides, bag.tile_sides)

    def test_a_store_that_knows_nothing_is_as_before(self, tmp_path):
        pack_bags(pd.Series({"A": TILES}, dtype="bag"), tmp_path / "store")
        assert "tiling" not in json.loads((tmp_path / "store" / "store.json").read_text())
        assert not (tmp_path / "store" / "tile_sides.npy").exists()
        (bag,) = open_bags(tmp_path / "store")
        assert (bag.tiling, bag.tile_sides) == (Tiling(), None)

    @pytest.mark.parametrize("damage", ["crc", "values", "length"])
    def test_a_damaged_store_is_refused(self, tmp_path, damage):
        pack_bags(read_bags([trident(tmp_path / "a.h5")]), tmp_path / "store")
        path = tmp_path / "store" / "tile_sides.npy"
        if damage == "crc":
            path.write_bytes(path.read_bytes()[:-1] + b"\1")
        else:
            np.save(path, [-1.0] if damage == "values" else [1.0, 2.0])
            manifest = json.loads((tmp_path / "store" / "store.json").read_text())
            del manifest["crc32"]
            data = path.read_bytes()
            manifest["files"]["tile_sides"] = {"bytes": len(data), "crc32": crc32(data)}
            manifest["crc32"] = crc32(json.dumps(manifest, sort_keys=True).encode())
            (tmp_path / "store" / "store.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"store' cannot be used: tile_sides\.npy"):
            open_bags(tmp_path / "store")


Y = np.array([(True, 1.0), (True, 2.0), (False, 3.0)], dtype=[("event", bool), ("time", float)])


@pytest.fixture
def cohort(tmp_path):
    """Make patients from files in a folder of their own."""

    def make(name, make_file, **how):
        for patient in "ABC":
            make_file(tmp_path / name / f"{patient}.h5", **how)
        return join_modalities({"wsi": read_bags(tmp_path / name)})

    return make


def network():
    return FusionSurvivalAnalysis([("wsi", AttentionMIL(hidden_dim=4))], n_estimators=1, max_epochs=1, random_state=0)


class TestPredict:
    def test_tiles_of_another_extractor_or_size_are_refused(self, cohort, tmp_path):
        X = cohort("uni", stamp)
        model = network().fit(X, Y)
        save_model(model, tmp_path / "model.zip")
        expected = model.predict(X)
        for one in (model, load_model(tmp_path / "model.zip"), pickle.loads(pickle.dumps(model))):
            assert_array_equal(one.predict(X), expected)
            for name, how, theirs, ours in [
                ("conch", {"extractor": "conch"}, "feature extractor 'conch'", "feature extractor 'mahmood-uni'"),
                ("large", {"um": 512.0}, "tile width 512 um", "tile width 256 um"),
            ]:
                X_other = cohort(name, stamp, **how)
                for method in (one.predict, one.tile_attention, one.predict_survival_function, one.transform):
                    with pytest.raises(
                        ValueError, match=f"'wsi' have another {theirs} in 3 of 3.*'A', 'B' and 1 more.*{ours}"
                    ):
                        method(X_other)
                X_told = join_modalities({"wsi": read_bags(tmp_path / name, tiling=model.modalities_[0].tiling)})
                assert_array_equal(one.predict(X_told), expected)

    def test_tiles_of_another_level_are_refused(self, cohort, tmp_path):
        model = network().fit(cohort("fine", clam), Y)
        save_model(model, tmp_path / "model.zip")
        for one in (model, load_model(tmp_path / "model.zip")):
            with pytest.raises(
                ValueError, match=r"another downsample 4 of level 0 in 3 of 3 .* to downsample 1 of level 0"
            ):
                one.predict(cohort("coarse", clam, level=1, downsample=(4.0, 4.0)))

    def test_bags_and_models_that_do_not_know_are_accepted(self, cohort, tmp_path):
        known, unknown = cohort("known", stamp), cohort("unknown", write, feature_name="feats")
        assert_array_equal(network().fit(known, Y).predict(unknown), network().fit(unknown, Y).predict(known))
        save_model(network().fit(unknown, Y), tmp_path / "model.zip")
        assert load_model(tmp_path / "model.zip").predict(known).shape == (3,)

    def test_a_mixture_that_came_about_elsewhere_names_the_patient(self, cohort):
        model = network().fit(cohort("uni", stamp), Y)
        X = cohort("unknown", write, feature_name="feats")
        X.loc["B", "wsi__tiles"] = Bag(TILES, tiling=Tiling("conch"))
        with pytest.raises(ValueError, match="in 1 of 3 bags, for example of patient 'B'"):
            model.predict(X)

    @pytest.mark.parametrize("transformer", [BagPooling(["mean"]), BagTransformer(StandardScaler())])
    def test_transformers_refuse_them_too(self, cohort, tmp_path, transformer):
        X, other = cohort("uni", stamp), cohort("conch", stamp, extractor="conch")
        transformer.fit(X)
        save_model(transformer, tmp_path / "transformer.zip")
        for one in (transformer, load_model(tmp_path / "transformer.zip")):
            with pytest.raises(ValueError, match="column 'wsi__tiles' have another feature extractor 'conch'"):
                one.transform(other)
            assert len(one.transform(cohort("unknown", write, feature_name="feats"))) == 3
        del transformer._tilings  # as an earlier release saved it
        assert len(transformer.transform(other)) == 3

    def test_edited_models_are_refused_by_name(self, cohort, tmp_path):
        save_model(network().fit(cohort("uni", stamp), Y), tmp_path / "model.zip")
        with ZipFile(tmp_path / "model.zip") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for old, new, message in [
            (rb'"tile_size": 224', b'"tile_size": -1', "tile_size must be"),
            (rb'"extractor": "mahmood-uni"', b'"extractor": 7', "extractor must be"),
            (
                rb'"tiling": \{[^{}]*\{[^{}]*\}\s*\}',
                b'"tiling": [1]',
                r"parameters.json describes the tiles of 'wsi' by \[1\]",
            ),
        ]:
            edited, n_places = re.subn(old, new, members["parameters.json"])
            assert n_places == 1
            with ZipFile(tmp_path / "edited.zip", "w") as archive:
                for name, data in (members | {"parameters.json": edited}).items():
                    archive.writestr(name, data)
            with pytest.raises(ValueError, match=f"edited.zip' cannot be loaded: {message}"):
                load_model(tmp_path / "edited.zip")


def test_our_own_files_tell_all_of_it(tmp_path):
    """`extract_features` writes what `read_bags` reads."""
    from sksurv_mmf.slides._feature_file import write_features

    path = Path(tmp_path, "a.h5")
    attributes = {
        "patch_size": 128,
        "patch_size_level0": 256,
        "target_magnification": 20.0,
        "level0_mpp": 0.25,
        "mpp": 0.5,
    }
    write_features(path, COORDS, [TILES], attributes, {"encoder": "Net 1", "transform": None}, {}, False)
    bag = Bag.from_file(path)
    assert bag.tiling == Tiling("Net 1", 128, 0.5)
    assert bag.tile_sides.tolist() == [256.0] * 4


def test_names_of_extractors_are_compared_without_case():
    assert disagreement([Tiling(extractor="UNI"), Tiling(extractor="uni")], ["a", "b"], "file") is None
    assert difference(Tiling(extractor="UNI"), Tiling(extractor="uni")) is None
    assert disagreement([Tiling(extractor="UNI"), Tiling(extractor="conch")], ["a", "b"], "file")
