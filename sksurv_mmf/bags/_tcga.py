"""Barcodes of TCGA: whose slide it is, of which tissue, and how the slide was made."""

import re
from dataclasses import dataclass

# Project, tissue source site and participant; then, where they are given, sample type with vial, portion, and slide.
# What only begins so, such as the "11" of "TCGA-05-4244-11th", is none of these.
_BARCODE = re.compile(
    r"""(?P<patient>TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?![A-Z0-9])
        (?: (?: -(?P<sample_type>\d{2})[A-Z]? (?: -\d{2}[A-Z]? )? )?
            (?: -(?P<slide_kind>TS|MS|BS|DX)[A-Z0-9]{0,2} )?
            (?![A-Z0-9]) )?""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)

SAMPLE_TYPES = {
    "01": "primary solid tumor",
    "02": "recurrent solid tumor",
    "03": "primary blood-derived cancer, peripheral blood",
    "04": "recurrent blood-derived cancer, bone marrow",
    "05": "additional new primary",
    "06": "metastatic",
    "07": "additional metastatic",
    "08": "human tumor original cells",
    "09": "primary blood-derived cancer, bone marrow",
    "10": "blood-derived normal",
    "11": "solid tissue normal",
    "12": "buccal cell normal",
    "13": "EBV-immortalized normal",
    "14": "bone marrow normal",
    "20": "control analyte",
    "40": "recurrent blood-derived cancer, peripheral blood",
    "50": "cell line",
    "60": "primary xenograft tissue",
    "61": "cell-line-derived xenograft tissue",
}
"""The code table of the Genomic Data Commons; 10 to 19 are normal tissue."""
FIRST_OF_NORMAL = "1"
"""First digit of the sample types of normal tissue."""

DIAGNOSTIC = "DX"
FROZEN = ("TS", "MS", "BS")
"""Slide kinds: fixed in formalin for the diagnosis; or frozen, cut from the top, middle or bottom of a portion."""


@dataclass(frozen=True, slots=True)
class Barcode:
    """What a barcode says.

    Attributes
    ----------
    patient : str
        The first twelve characters.
    sample_type : str or None
        Two digits, see `SAMPLE_TYPES`.
    slide_kind : str or None
        "DX", "TS", "MS" or "BS".
    """

    patient: str
    sample_type: str | None
    slide_kind: str | None

    @property
    def tissue_source_site(self):
        """Code of the hospital that gave the tissue, the second part."""
        return self.patient.split("-")[1]


def read_barcode(name):
    """Read the barcode at the start of a name, in capitals or not; None if there is none."""
    found = _BARCODE.match(name)
    if found is None:
        return None
    kind = found["slide_kind"]
    return Barcode(found["patient"].upper(), found["sample_type"], kind and kind.upper())
