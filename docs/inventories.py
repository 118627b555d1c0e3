"""Inventories of other projects, so that the site links to them although it is built without a network.

Sphinx would download them. Here they are made of the public names of what is installed, and of where each project puts
the page of a name. With ``SKSURV_MMF_DOCS_ONLINE=1`` the projects' own inventories come first.
"""

import inspect
import zlib
from importlib import import_module

SKLEARN = (
    "calibration compose decomposition dummy ensemble exceptions feature_selection impute inspection linear_model "
    "metrics model_selection pipeline preprocessing svm tree"
)
SKSURV = "compare ensemble functions linear_model meta metrics nonparametric preprocessing svm tree util"

# Of each project: address, page of a name, modules whose names have pages.
SITES = {
    "sklearn": (
        "https://scikit-learn.org/stable/",
        "modules/generated/{}.html",
        [f"sklearn.{module}" for module in SKLEARN.split()],
    ),
    "sksurv": (
        "https://scikit-survival.readthedocs.io/en/stable/",
        "api/generated/{}.html",
        [f"sksurv.{module}" for module in SKSURV.split()],
    ),
    "pandas": ("https://pandas.pydata.org/docs/", "reference/api/{}.html", ["pandas"]),
    "torch": ("https://docs.pytorch.org/docs/stable/", "generated/{}.html", ["torch.nn", "torch.optim"]),
}


def write_inventories(folder):
    """Write one inventory per project, and return its name, its address and the file of each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for project, (address, page, modules) in SITES.items():
        lines = [line for module in modules for line in entries(module, page)]
        path = folder / f"{project}.inv"
        header = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n# Compressed with zlib.\n"
        path.write_bytes(header.encode() + zlib.compress("\n".join(lines).encode()))
        written.append((project, address, path))
    return written


def entries(module, page):
    """Yield a line for each class and function of a module that is defined in or below it: name, role, page, text."""
    for name, thing in inspect.getmembers(import_module(module)):
        is_class = inspect.isclass(thing)
        is_own = getattr(thing, "__module__", "").startswith(module)
        if not name.startswith("_") and is_own and (is_class or inspect.isfunction(thing)):
            role = "py:class" if is_class else "py:function"
            yield f"{module}.{name} {role} 1 {page.format(f'{module}.{name}')}#$ -"
