"""Which slides of a TCGA folder become bags: tissue, preparation, and what is said of mixtures."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf import read_bags
from sksurv_mmf.bags._tcga import read_barcode

TUMOR = ["TCGA-05-4244-01Z-00-DX1.d4ff32cd-1a2b", "TCGA-05-4245-01Z-00-DX1.36ff5403"]
NORMAL = ["TCGA-05-4244-11A-01-TS1.aa", "TCGA-05-4249-10A-01-BS1.bb", "TCGA-05-4249-14A-01-MS1"]
FROZEN = ["TCGA-05-4244-01A-01-TS1", "TCGA-05-4245-01A-01-BSA", "TCGA-05-4245-01B-02-MS10"]
RECURRENT = ["TCGA-05-4244-02A-01Z-DX1", "TCGA-05-4250-06A-00-DX1", "TCGA-05-4250-07A-00-DX1"]


@pytest.fixture
def make(tmp_path):
    """Write one tile for each slide, its number."""

    def make(*names):
        for number, name in enumerate(names):
            np.save(tmp_path / f"{name}.npy", np.full((1, 2), number, dtype=np.float32))
        return tmp_path

    return make


def slides_of(bags):
    return sorted(slide for bag in bags for slide in bag.slides)


@pytest.mark.parametrize(
    ("name", "sample_type", "kind"),
    [
        ("TCGA-05-4244-01Z-00-DX1.d4ff32cd-11AA-4e2f", "01", "DX"),
        ("tcga-05-4244-11a-01-bs1", "11", "BS"),
        ("TCGA-A2-A0T2-01A-01-TSA", "01", "TS"),
        ("TCGA-05-4244-06A-02-MS12_features", "06", "MS"),
        ("TCGA-05-4244-01Z-00-DX1 (2)", "01", "DX"),
        ("TCGA-05-4244-20A", "20", None),
        ("TCGA-05-4244-03", "03", None),
        ("TCGA-05-4244-01A-11D-1234-05", "01", None),
        ("TCGA-05-4244-DX2", None, "DX"),
        ("TCGA-05-4244", None, None),
        ("TCGA-05-4244-11th_of_May", None, None),
        ("TCGA-05-4244-1125-DX1", None, None),
        ("TCGA-05-4244-01A-01-TSUNAMI", "01", None),
        ("TCGA-05-4244-\u0661\u0661A-01-TS1", None, None),
        ("TCGA-05-4244_11A-01-TS1", None, None),
    ],
)
def test_barcodes_are_read(name, sample_type, kind):
    barcode = read_barcode(name)
    assert (barcode.patient, barcode.sample_type, barcode.slide_kind) == (name[:12].upper(), sample_type, kind)


@pytest.mark.parametrize(
    "name", ["C3L-00001-21", "TCGA-05-42445-11A", "xTCGA-05-4244-11A", "TCGA-05", "TCGA-\u0660\u0665-4244-11A"]
)
def test_other_names_have_no_barcode(name):
    assert read_barcode(name) is None


class TestNormalTissue:
    def test_it_is_left_out_with_a_warning(self, make):
        folder = make(*TUMOR, *NORMAL)
        with pytest.warns(UserWarning, match="normal tissue") as caught:
            bags = read_bags(folder)
        assert slides_of(bags) == sorted(TUMOR)
        (warning,) = caught
        message = str(warning.message)
        assert re.search(r"3 slide\(s\) of normal tissue .*'TCGA-05-4244-11A-01-TS1.aa', '[^']*' and 1 more", message)
        assert "slides='all'" in message
        assert "slides='normal'" in message
        assert "1 patient(s) are left without any slide: 'TCGA-05-4249'" in message
        assert warning.filename == __file__

    @pytest.mark.parametrize("slides", ["auto", "tumor"])
    def test_it_is_in_the_report(self, make, slides):
        bags, report = read_bags(make(*TUMOR, *NORMAL), return_report=True, slides=slides)
        assert slides_of(bags) == sorted(TUMOR)
        assert report["status"].to_dict() == dict.fromkeys(TUMOR, "read") | dict.fromkeys(NORMAL, "normal tissue")
        assert report["sample_type"].to_dict() == dict(zip([*TUMOR, *NORMAL], ["01", "01", "11", "10", "14"]))
        assert report["slide_kind"].to_dict() == dict(zip([*TUMOR, *NORMAL], ["DX", "DX", "TS", "BS", "MS"]))
        assert report["patient"].to_dict() == {name: name[:12] for name in [*TUMOR, *NORMAL]}
        assert report["n_tiles"].isna().to_dict() == {name: name in NORMAL for name in [*TUMOR, *NORMAL]}

    def test_small_letters_and_functions_change_nothing(self, make):
        folder = make(*[name.lower() for name in [*TUMOR, *NORMAL]])
        for patient in ("auto", "tcga", "slide", lambda slide: slide[8:12]):
            bags, _ = read_bags(folder, patient, return_report=True)
            assert slides_of(bags) == sorted(name.lower() for name in TUMOR)

    def test_it_can_be_asked_for(self, make):
        folder = make(*TUMOR, *NORMAL)
        assert slides_of(read_bags(folder, slides="all")) == sorted([*TUMOR, *NORMAL])
        only, report = read_bags(folder, slides=lambda name: name[13:15] in ("10", "11", "14"), return_report=True)
        assert slides_of(only) == sorted(NORMAL)
        assert report["status"][TUMOR].tolist() == ["not selected"] * 2
        (folder / f"{NORMAL[1]}.npy").unlink()
        (folder / f"{NORMAL[2]}.npy").unlink()
        with pytest.warns(UserWarning, match=r"^1 patient\(s\) are left without any slide: 'TCGA-05-4245'"):
            assert slides_of(read_bags(folder, slides="normal")) == [NORMAL[0]]

    def test_a_table_that_names_it_decides(self, make):
        names = [*TUMOR, NORMAL[0]]
        folder = make(*names)
        table = {name: name[:12] for name in names}
        paths = pd.Series(table).rename(lambda name: str(folder / f"{name}.npy"))
        for arguments in [(folder, table), (paths,)]:
            assert slides_of(read_bags(*arguments)) == sorted(names)
            bags, _ = read_bags(*arguments, slides="tumor", return_report=True)
            assert slides_of(bags) == sorted(TUMOR)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            bags, _ = read_bags(folder, {NORMAL[0]: "A"}, return_report=True)
            assert slides_of(bags) == [NORMAL[0]]

    def test_nothing_but_normal_tissue_is_an_error_with_the_way_out(self, make):
        with pytest.raises(ValueError, match=r"No slide .*3 normal tissue.*slides='all'"):
            read_bags(make(*NORMAL))

    def test_names_without_barcodes_are_left_alone(self, make):
        names = ["C3L-00001-21", "C3N-11111-11A-01-TS1", "11A-01-TS1", "TCGA-05-4244-11th"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert slides_of(read_bags(make(*names), "slide")) == sorted(names)


class TestMixtures:
    def test_frozen_sections_beside_diagnostic_slides(self, make):
        folder = make(*TUMOR, *FROZEN)
        with pytest.warns(UserWarning, match="several kinds") as caught:
            bags = read_bags(folder)
        (warning,) = caught
        message = str(warning.message)
        assert f"2 slides diagnostic (DX): {TUMOR[0]!r}, {TUMOR[1]!r}" in message
        assert (
            "3 slides frozen (TS, MS, BS): 'TCGA-05-4244-01A-01-TS1', 'TCGA-05-4245-01A-01-BSA' and 1 more" in message
        )
        assert "slides='DX'" in message
        assert warning.filename == __file__
        assert slides_of(bags) == sorted([*TUMOR, *FROZEN])

    def test_recurrences_and_metastases_beside_primary_tumors(self, make):
        with pytest.warns(UserWarning, match="several sample types") as caught:
            read_bags(make(*TUMOR, *RECURRENT))
        (warning,) = caught
        message = str(warning.message)
        for part in (
            "2 slides of sample type 01 (primary",
            "1 slide of sample type 02 (recurrent",
            "06 (metastatic",
            "07 ",
        ):
            assert part in message
        assert "slides=lambda name: name[13:15] == '01'" in message

    def test_the_report_does_not_silence_it(self, make):
        with pytest.warns(UserWarning, match="several kinds"):
            read_bags(make(*TUMOR, *FROZEN), return_report=True)

    @pytest.mark.parametrize("names", [TUMOR, FROZEN, ["a", "TCGA-05-4244", "TCGA-05-4245-01A"], ["TCGA-05-4244-61A"]])
    def test_one_kind_is_no_mixture(self, make, names):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_bags(make(*names), "slide")

    @pytest.mark.parametrize("slides", ["all", lambda name: True, re.compile("TCGA").match])
    def test_who_asks_for_it_is_not_warned(self, make, slides):
        names = [*TUMOR, *FROZEN, *RECURRENT, *NORMAL]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert slides_of(read_bags(make(*names), slides=slides)) == sorted(names)


class TestSelection:
    @pytest.mark.parametrize(
        ("slides", "expected"),
        [
            ("DX", [*TUMOR]),
            ("TS", FROZEN[:1]),
            ("BS", FROZEN[1:2]),
            ("MS", FROZEN[2:]),
            ("frozen", FROZEN),
            (lambda name: "-01-" in name, [*FROZEN[:2], *NORMAL]),
        ],
    )
    def test_slides_are_selected(self, make, slides, expected):
        names = [*TUMOR, *FROZEN, *NORMAL]
        bags, report = read_bags(make(*names, "unnamed"), "slide", slides=slides, return_report=True)
        assert slides_of(bags) == sorted(expected)
        assert set(report["status"][~report.index.isin(expected)]) <= {"not selected", "normal tissue"}

    def test_patients_who_lose_all_slides_are_named(self, make):
        with pytest.warns(UserWarning, match=r"^1 patient\(s\) are left without any slide: 'TCGA-05-4246'"):
            read_bags(make(*TUMOR, "TCGA-05-4246-01A-01-TS1"), slides="DX")

    def test_one_slide_in_two_files_matters_only_if_it_is_taken(self, make):
        folder = make(*TUMOR, NORMAL[0])
        (folder / f"{NORMAL[0]}.h5").touch()
        assert slides_of(read_bags(folder, return_report=True)[0]) == sorted(TUMOR)

    @pytest.mark.parametrize(
        ("slides", "error", "message"),
        [
            ("FFPE", ValueError, "slides must be one of 'auto', 'tumor'.*got 'FFPE'"),
            (None, TypeError, "slides must be a name such as 'DX' or a function.*got a NoneType"),
            (["DX"], TypeError, "got a list"),
            (lambda name: [name], ValueError, r"slides returned \['TCGA-05-4244-01Z"),
            (lambda name: False, ValueError, "2 not selected"),
        ],
    )
    def test_what_selects_nothing_is_said(self, make, slides, error, message):
        with pytest.raises(error, match=message):
            read_bags(make(*TUMOR), slides=slides)
