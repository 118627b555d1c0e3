"""Why the identifiers of patients in two tables do not match, and what would make them."""

import re
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd

from ._validation import shorten

SEPARATORS = re.compile(r"[\W_]+")

LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")

TCGA_PATIENT = re.compile(r"TCGA[-.]\w\w[-.]\w{4}(?!\w)", re.IGNORECASE)
"""The part of a barcode that names the patient."""

TCGA_NORMAL = re.compile(rf"{TCGA_PATIENT.pattern}[-.]1\d", re.IGNORECASE)
"""Barcodes of normal tissue, whose sample types are 10 to 19."""

MOST = 5000
"""Identifiers of a large table, such as genes, that are looked at first."""

SPACES = ("without spaces around them", str.strip)

SPELLINGS = [
    ("with upper and lower case alike", str.casefold),
    ("with '.', '_', '-' and spaces alike", partial(SEPARATORS.sub, "-")),
    ("without leading zeros", partial(LEADING_ZEROS.sub, "")),
]
"""Ways to write the same identifier: what undoes them, in words and as a function of a text."""

JOINED = ("without '.', '_', '-' and spaces", partial(SEPARATORS.sub, ""))
"""Leading zeros stay: without separators they may be inside of a number."""

FOLDERS = ("without folders and file endings", partial(re.sub, r"^.*[\\/]|\.[^.\\/]*$", ""))

LETTERS = ("without the letters before the number", partial(re.sub, r"^[^\W\d_]+[\W_]*(?=\d+$)", ""))


def is_row_number(index):
    """Whether an index looks like row numbers, which name nobody: whole numbers without a name."""
    return index.name is None and pd.api.types.is_integer_dtype(index.dtype)


@dataclass(frozen=True)
class Match:
    """A simplification of identifiers and what comes of it.

    Attributes
    ----------
    how : str
        The simplification in words.
    n_common : int
        Number of identifiers that two tables have in common then.
    collisions : list of (str, str)
        Identifiers of one table that would become the same.
    normal : list of str
        Barcodes of TCGA that would match although they are of normal tissue.
    """

    how: str
    n_common: int
    collisions: list
    normal: list = field(default_factory=list)

    def __str__(self):
        said = f"{self.how} {self.n_common} patient{'' if self.n_common == 1 else 's'} would match"
        if self.normal:
            said += f", but {len(self.normal)} identifiers are of normal tissue, which is to be dropped before: "
            said += shorten(self.normal, 2)
        if not self.collisions:
            return said
        pairs = shorten([f"{one} and {two}" for one, two in self.collisions], 2)
        return f"{said}, but some identifiers of one table would become the same: {pairs}"


def better_match(one, two):
    """Find the simplification of identifiers under which two indexes have most in common.

    Parameters
    ----------
    one, two : Index
        Identifiers, none of them twice in an index.

    Returns
    -------
    match : Match or None
        None if no simplification lets more identifiers match than are equal as they are.
    """
    large = max(one, two, key=len)
    if len(large) > 2 * MOST:
        some = large[np.linspace(0, len(large) - 1, MOST).astype(int)]
        if _better_match(some, two if large is one else one) is None:
            return None
    return _better_match(one, two)


def _better_match(one, two):
    n_equal = len(one.intersection(two))
    if n_equal == min(len(one), len(two)):
        return None
    texts = [[_as_text(identifier) for identifier in index] for index in (one, two)]
    cuts = [[SPACES, cut, *SPELLINGS] for cut in _cuts(*texts)]
    candidates = [[SPACES, *SPELLINGS], [SPACES, SPELLINGS[0], JOINED], *cuts]
    steps = max(candidates, key=lambda steps: _count(texts, steps))  # the first, which loses least, of equals
    n_common = _count(texts, steps)
    if n_common <= n_equal:
        return None
    for step in list(steps):
        fewer = [other for other in steps if other is not step]
        if _count(texts, fewer) == n_common:
            steps = fewer
    how = " and ".join(how for how, _ in steps) or "as text"
    normal = [text for text in chain(*texts) if _is_normal(text) and not _is_normal(_simplify(text, steps))]
    return Match(how, n_common, [pair for own in texts for pair in _collisions(own, steps)], normal)


def _as_text(identifier):
    """An identifier as it would be written, 17.0 as 17."""
    if isinstance(identifier, bytes):
        return identifier.decode(errors="replace")
    if isinstance(identifier, float) and identifier.is_integer():
        return str(int(identifier))
    return str(identifier)


def _is_normal(text):
    return TCGA_NORMAL.match(text) is not None


def _simplify(text, steps):
    for _, undo in steps:
        text = undo(text)
    return text


def _count(texts, steps):
    one, two = ({_simplify(text, steps) for text in own} for own in texts)
    return len(one & two)


def _collisions(texts, steps):
    first, pairs = {}, []
    for text in texts:
        earlier = first.setdefault(_simplify(text, steps), text)
        if earlier != text:
            pairs.append((earlier, text))
    return pairs


def _cuts(one, two):
    """Steps that keep a part of the identifier by which patients can still be told apart."""
    texts = [[text.strip() for text in own] for own in (one, two)]
    reversed_texts = [[text[::-1] for text in own] for own in texts]
    cuts = [
        *((f"with the first {k} characters", partial(_first, k)) for k in _word_ends(*texts)),
        *((f"with the last {k} characters", partial(_last, k)) for k in _word_ends(*reversed_texts)),
        ("without what follows the last '-', '_' or '.'", partial(re.sub, r"[-_.][^-_.]*$", "")),
        ("without what precedes the first '-', '_' or '.'", partial(re.sub, r"^[^-_.]*[-_.]", "")),
        FOLDERS,
    ]
    if any(all(text.isdecimal() for text in own) for own in texts):
        cuts.append(LETTERS)  # where both tables have letters, these may name a hospital
    return [cut for cut in cuts if _tells_apart(cut, *texts)]


def _tells_apart(cut, one, two):
    """Whether a cut leaves alone what matches as it is, and merges the samples of a patient, not the patients."""
    _, keep = cut
    # How much of a barcode names the patient is known, so that no other cut is right.
    if TCGA_PATIENT.match(one[0]) and TCGA_PATIENT.match(two[0]):
        return keep(one[0]) == TCGA_PATIENT.match(one[0])[0]
    if any(keep(text) != text for text in {*one} & {*two}):
        return False
    shares = sorted(len({keep(text) for text in own}) / len(own) for own in (one, two))
    # One table may have two samples of a patient on average, but not both.
    return shares[0] >= 0.5 and shares[1] == 1


def _first(k, text):
    return text[:k]


def _last(k, text):
    return text[-k:]


def _word_ends(one, two):
    """Lengths at which all longer texts have a separator, or that all texts of one table have."""
    longest = max([*one, *two], key=len)
    at_separators = {match.start() for match in SEPARATORS.finditer(longest)} - {0}
    texts = [*one, *two]
    ends = {k for k in at_separators if not any(text[k : k + 1].isalnum() for text in texts)}
    lengths = [{len(text) for text in own} for own in (one, two)]
    if all(len(own) == 1 for own in lengths) and lengths[0] != lengths[1]:
        ends.add(min(*lengths[0], *lengths[1]))
    # Of cuts that match equally many, the first is taken: that which keeps most.
    return sorted(ends, reverse=True)
