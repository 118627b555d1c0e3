"""What was compared, and with which software."""

import platform
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from ..pages._parts import Section, Table, Text
from ._study import without_addresses

PACKAGES = ("sksurv_mmf", "scikit-survival", "scikit-learn", "torch", "skorch", "numpy", "pandas")


def models_section(study):
    """The models with their parameters, their fits, and the software."""
    comparison = study.comparison
    fits = comparison.fits.groupby("model", sort=False)
    table = pd.DataFrame({"median seconds per fit": fits["seconds"].median(), "fits": fits.size()})
    table["failed fits"] = fits["error"].apply(lambda errors: int((errors != "").sum()))
    if comparison.reference is not None:
        table["reference"] = ["yes" if name == comparison.reference else "" for name in table.index]
    parts = [Table(table, "Models and their fits.", 1)]
    if comparison.design is None:
        parts.append(Text("Parameters of the models are not known to this report.", "note"))
    else:
        parts.append(Text("Models as code. Parameters that are not named have their defaults."))
        codes = comparison.design.models.items()
        parts += [Section(name, [Text(without_addresses(code), "code")]) for name, code in codes]
    versions = pd.DataFrame({"version": software()}).rename_axis("software")
    return Section("Models", [*parts, Section("Software", [Table(versions, "Software.")])])


def software():
    """Versions of what the numbers depend on."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not known"
    return found
