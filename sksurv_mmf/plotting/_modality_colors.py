"""The colour of a modality, the same in every figure."""

from collections.abc import Mapping
from zlib import crc32

from ..utils._optional import import_optional

# What modalities are commonly called, in lower case and without separators, the most common name first.
KNOWN = {
    "#0072B2": ["wsi", "slide", "slides", "tiles", "image", "images", "histology", "pathology", "he"],
    "#E69F00": ["rna", "mrna", "rnaseq", "expression", "geneexpression", "genes", "transcriptome", "transcriptomics"],
    "#009E73": ["clinical", "clinic", "demographics"],
    "#D55E00": ["mutations", "mutation", "mut", "snv", "dna"],
    "#CC79A7": ["cnv", "cna", "copynumber", "copynumbers"],
    "#56B4E9": ["methylation", "dnamethylation", "meth"],
    "#DDCC77": ["protein", "proteins", "proteomics", "rppa"],
    "#332288": ["mif", "mihc", "ihc", "immunofluorescence"],
}
SPARE = ["#661100", "#86D7A1", "#1C2B33", "#8A4A6B", "#0094FF", "#6B6B2F"]
# Neighbours in this list are far from each other in lightness.
GREYS = [f"#{shade:02X}{shade:02X}{shade:02X}" for shade in ((96 + 87 * i) % 230 for i in range(230))]


def modality_colors(names, color=None):
    """Colours of modalities by their names, those that every figure of this package uses.

    Use it for figures of your own that stand beside them.

    Parameters
    ----------
    names : iterable of str
        Names of the modalities of one figure. Their order does not matter.
    color : matplotlib color, list or dict of matplotlib colors, default=None
        What to use instead: one colour for all, one for each in the order of `names`, or a dict by name, in which case
        and separators do not count unless it has the very name. Modalities that a dict lacks keep the colours of this
        function, but none that the dict has; names of the dict that the figure lacks do no harm, so that one dict
        serves all figures of a paper.

    Returns
    -------
    colors : dict of str to matplotlib color
        The colour of each modality, in the order of `names`.

    Raises
    ------
    TypeError
        If `names` is a single str, which would be read as its letters.
    ValueError
        If `color` is neither a colour nor as many as there are modalities.

    Notes
    -----
    Case and separators of a name do not count: ``RNA-seq`` is ``rnaseq``.

    1. Common names have fixed colours: wsi, slide, tiles, image, histology and the like are blue; rna, mrna, genes and
       expression orange; clinical green; mutations vermillion; cnv pink; methylation light blue; protein sand; mif and
       ihc indigo. Of two names of one kind in a figure, the more common one, as wsi is beside tiles, has this colour,
       and the other one counts as unknown.
    2. An unknown name has one of six further colours, chosen by a checksum of the name. Where two names of a figure
       choose the same one, the first in the alphabet has it, and the other one takes the next that is free.
    3. Beyond six unknown names, colours of common names that the figure lacks are used, and then shades of grey.

    The colours of a figure differ, and a common name has the same colour in every figure; an unknown one, too,
    as long as no other unknown name beside it chooses the same. The fourteen colours, of which five are Okabe and Ito's
    and three Tol's, can be told apart with red or green deficiency.

    Examples
    --------
    >>> from sksurv_mmf.plotting import modality_colors
    >>> modality_colors(["rna", "wsi"])
    {'rna': '#E69F00', 'wsi': '#0072B2'}
    >>> modality_colors(["rna", "wsi"], {"wsi": "black"})
    {'rna': '#E69F00', 'wsi': 'black'}
    """
    if isinstance(names, str):
        raise TypeError(f"names must be a list of names, got the str {names!r}. Pass [{names!r}].")
    names = list(dict.fromkeys(names))
    given, taken = _given(names, color)
    found = _choose([name for name in names if name not in given], {_hex(one) for one in taken})
    return {name: given[name] if name in given else found[name] for name in names}


def _given(names, color):
    """The user's colours by name, and all that no other modality may have."""
    if color is None or isinstance(color, Mapping):
        color = color or {}
        by_plain = {_plain(name): one for name, one in reversed(color.items())}
        every = {name: color.get(name, by_plain.get(_plain(name))) for name in names}
        return {name: one for name, one in every.items() if one is not None}, list(color.values())
    if import_optional("matplotlib.colors", "plot", "Drawing").is_color_like(color):
        return dict.fromkeys(names, color), [color]
    if isinstance(color, str) or not hasattr(color, "__len__") or len(color) < len(names):
        raise ValueError(
            f"color must be a list of {len(names)} colors, a dict of colors by name or one color, got {color!r}."
        )
    given = dict(zip(names, color))
    return given, list(given.values())


def _hex(color):
    return import_optional("matplotlib.colors", "plot", "Drawing").to_hex(color).upper()


def _choose(names, taken):
    """A colour of its own for each name."""
    found = {}
    rest = sorted(names, key=lambda name: (_plain(name), str(name)))
    for color, kind in KNOWN.items():
        of_kind = sorted((name for name in rest if _plain(name) in kind), key=lambda name: kind.index(_plain(name)))
        if of_kind and color not in taken:
            found[of_kind[0]] = color
            rest.remove(of_kind[0])
    for name in rest:
        used = {*taken, *found.values()}
        start = crc32(_plain(name).encode()) % len(SPARE)
        candidates = [*SPARE[start:], *SPARE[:start], *KNOWN, *GREYS]
        found[name] = next((color for color in candidates if color not in used), GREYS[0])
    return found


def _plain(name):
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())
