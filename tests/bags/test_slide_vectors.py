"""Vectors of whole slides in the layouts of slide encoders: whose they are, which are refused, and the way out."""

import numpy as np
import pandas as pd
import pytest
import torch

from sksurv_mmf import join_modalities, read_bags, read_slide_vectors

h5py = pytest.importorskip("h5py")

A, B = "TCGA-05-4244", "TCGA-05-4245"
SLIDES = [f"{A}-01Z-00-DX1", f"{B}-01Z-00-DX1"]
VECTORS = {slide: np.arange(3, dtype=np.float32) + 10 * i for i, slide in enumerate(SLIDES)}


def write_trident(folder, encoder="titan", vectors=VECTORS, tiles="20x_512px_0px_overlap"):
    """Files as TRIDENT writes them: one vector, and the places of all tiles that it was made of."""
    folder = folder / tiles / f"slide_features_{encoder}"
    folder.mkdir(parents=True)
    for slide, vector in vectors.items():
        with h5py.File(folder / f"{slide}.h5", "w") as file:
            file["features"], file["coords"] = vector, np.zeros((7, 2), dtype=int)
            file["features"].attrs.update(name=slide, savetodir=str(folder))
            file["coords"].attrs.update(patch_size=512, target_magnification=20)
    return folder


def write_stamp(folder, encoder="titan"):
    """Files as STAMP writes them."""
    folder.mkdir()
    for slide, vector in VECTORS.items():
        with h5py.File(folder / f"{slide}.h5", "w") as file:
            file["feats"] = vector
            file.attrs.update(version="2.3.0", encoder=encoder, precision="torch.float32", feat_type="slide")
    return folder


def write_older_stamp(path, names=SLIDES):
    """One file for a cohort, as older releases of STAMP write it."""
    with h5py.File(path, "w") as file:
        for name, vector in zip(names, VECTORS.values()):
            file[name] = vector
        file.attrs.update(version="2.1.0", encoder="titan", precision="torch.float32")
    return path


def write_plain(folder, suffix, shape):
    folder.mkdir()
    for slide, vector in VECTORS.items():
        if suffix == "npy":
            np.save(folder / f"{slide}.npy", vector.reshape(shape))
        else:
            torch.save(torch.tensor(vector).reshape(shape), folder / f"{slide}.pt")
    return folder


def expected(name):
    return pd.DataFrame(list(VECTORS.values()), [A, B], [f"{name}_{i}" for i in range(3)], dtype=np.float32)


LAYOUTS = {
    "trident": (write_trident, "titan"),
    "stamp": (lambda path: write_stamp(path / "titan-slide"), "titan"),
    "older stamp": (lambda path: write_older_stamp(path / "titan-slide-.h5"), "titan"),
    "npy": (lambda path: write_plain(path / "npy", "npy", -1), "vector"),
    "npy with an axis of one": (lambda path: write_plain(path / "npy", "npy", (1, -1)), "vector"),
    "pt": (lambda path: write_plain(path / "pt", "pt", (1, -1)), "vector"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_patient_gets_the_vector_of_the_slide(tmp_path, layout):
    write, name = LAYOUTS[layout]
    table = read_slide_vectors(write(tmp_path))
    pd.testing.assert_frame_equal(table, expected(name), check_names=False, check_index_type=False)
    assert table.index.name == "patient"
    X = join_modalities({"slide": table})
    assert X.loc[B, f"slide__{name}_0"] == 10


def test_what_code_of_encoders_returns_is_read_by_the_name_of_the_vector(tmp_path):
    for slide, vector in VECTORS.items():
        vector = torch.tensor(vector).half()[np.newaxis]
        torch.save({"image_embedding": vector, "image_latents": torch.zeros(1, 5, 3)}, tmp_path / f"{slide}.pt")
    table = read_slide_vectors(tmp_path, features_key="image_embedding", encoder="prism")
    pd.testing.assert_frame_equal(table, expected("prism"), check_names=False, check_index_type=False)
    with pytest.raises(ValueError, match=r"'image_embedding', 'image_latents'\]; say which one with features_key"):
        read_slide_vectors(tmp_path)


def test_several_slides_of_a_patient_are_refused_or_averaged_and_counted(tmp_path):
    second = f"{B}-01Z-00-DX2"
    folder = write_trident(tmp_path, vectors=VECTORS | {second: np.array([20.0, 31, 42], dtype=np.float32)})
    with pytest.raises(ValueError, match=rf"1 patients have several slides, such as '{B}' with .*Pass several='mean'"):
        read_slide_vectors(folder)
    table, report = read_slide_vectors(folder, several="mean", return_report=True)
    np.testing.assert_array_equal(table.loc[B], [15, 21, 27])
    np.testing.assert_array_equal(table.loc[A], VECTORS[SLIDES[0]])
    assert (report["patient"] == B).sum() == 2
    assert set(report["encoder"]) == {"titan"}
    first = read_slide_vectors(folder, slides=lambda name: name.endswith("DX1"))
    np.testing.assert_array_equal(first.loc[B], VECTORS[SLIDES[1]])


def test_vectors_of_patients_are_theirs(tmp_path):
    table = read_slide_vectors(write_older_stamp(tmp_path / "cohort.h5", names=["P1", "P2"]))
    assert table.index.tolist() == ["P1", "P2"]
    table = read_slide_vectors(
        write_older_stamp(tmp_path / "slides.h5", names=["s1", "s2"]), {"s1": "Ann", "s2": "Bea"}
    )
    assert table.loc["Bea", "titan_0"] == 10


def test_vectors_of_several_encoders_or_sizes_of_tiles_do_not_mix(tmp_path):
    one = write_trident(tmp_path, "titan", {SLIDES[0]: np.ones(3)})
    two = write_trident(tmp_path, "prism", {SLIDES[1]: np.ones(3)})
    files = [*one.iterdir(), *two.iterdir()]
    with pytest.raises(ValueError, match=r"must be of one encoder .*'titan'.*'prism'"):
        read_slide_vectors(files)
    assert read_slide_vectors(files, encoder="mixture").shape == (2, 3)
    other = write_trident(tmp_path, "titan", {SLIDES[1]: np.ones(3)}, tiles="10x_512px_0px_overlap")
    with h5py.File(next(other.iterdir()), "a") as file:
        file["coords"].attrs["target_magnification"] = 10
    with pytest.raises(ValueError, match="of tiles of one size"):
        read_slide_vectors([*one.iterdir(), *other.iterdir()])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_name_the_file(tmp_path, bad):
    folder = write_trident(tmp_path, vectors=VECTORS | {SLIDES[1]: np.array([1, bad, 3])})
    with pytest.raises(ValueError, match=rf"{SLIDES[1]}.h5' has 1 of 3 values that are NaN or infinite"):
        read_slide_vectors(folder)


def test_features_of_tiles_are_no_vectors_and_the_other_way_round(tmp_path):
    folder = write_trident(tmp_path)
    with pytest.raises(ValueError, match="vector of a whole slide, read it with read_slide_vectors"):
        read_bags(folder)
    with pytest.raises(ValueError, match="each, pass the path of this file to read_slide_vectors"):
        read_bags([write_older_stamp(tmp_path / "cohort.h5")])
    for slide in SLIDES:
        np.save(tmp_path / f"{slide}.npy", np.ones((1, 768)))
    with pytest.warns(UserWarning, match="All 2 files have a single row"):
        read_bags(tmp_path, format="npy")
    np.save(tmp_path / "tiles.npy", np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"got shape \(5, 3\). Features of tiles are read with read_bags"):
        read_slide_vectors([tmp_path / "tiles.npy"])


def test_files_are_not_trusted(tmp_path):
    torch.save({"vector": torch.ones(3), "code": ValueError("run")}, tmp_path / "slide.pt")
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        read_slide_vectors([tmp_path / "slide.pt"])
    with h5py.File(tmp_path / "cohort.h5", "w") as file:
        file["P1"] = np.ones(3)
        file["P2"] = h5py.ExternalLink("elsewhere.h5", "/x")
    with pytest.raises(ValueError, match="'P2' is a link, which is not followed"):
        read_slide_vectors(tmp_path / "cohort.h5")
    (tmp_path / "vectors.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"and no \.h5 file"):
        read_slide_vectors(tmp_path / "vectors.pkl")
