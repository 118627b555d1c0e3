"""Configuration of the documentation."""

import os
import sys
from pathlib import Path

import sksurv_mmf

sys.path.insert(0, str(Path(__file__).parent))
from inventories import write_inventories

project = "sksurv_mmf"
author = "The sksurv_mmf developers"
copyright = "The sksurv_mmf developers"
version = release = sksurv_mmf.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
toc_object_entries_show_parents = "hide"
autosummary_generate = True
# Without a network the links to other projects come from inventories made of what is installed.
inventories = write_inventories(Path(__file__).parent / "_build" / "inventories")
is_online = bool(os.environ.get("SKSURV_MMF_DOCS_ONLINE"))
intersphinx_mapping = {
    name: (address, (None, str(path)) if is_online else (str(path),)) for name, address, path in inventories
}
# Without the slides, the page of the example that reads them is made from its text alone.
has_slides = (Path(os.environ.get("SKSURV_MMF_DATA", "")) / "slides").is_dir()
# Examples run in processes of joblib, in which dask can start workers by no other way.
os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "fork"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # Scripts with a command line of their own are no pages.
    "ignore_pattern": r"(^|/)(demo|one_model_on_several_processes)\.py$",
    "filename_pattern": "/plot_" if has_slides else "/plot_(?!04)",
    "remove_config_comments": True,
    "image_srcset": ["2x"],
    "parallel": 2,
    "capture_repr": (),  # what is not printed is not meant to be read
    "reference_url": {"sksurv_mmf": None},
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
}
# Every class has a page with its methods; numpydoc's own list would link to pages that do not exist.
numpydoc_show_class_members = False
# scikit-learn adds these methods, and their text links into scikit-learn's own documentation.
autodoc_default_options = {"members": True, "exclude-members": "set_fit_request, set_split_request"}

html_theme = "pydata_sphinx_theme"
html_title = "sksurv_mmf"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
# Pages without pages below them need no list of these.
html_sidebars = {"*": [], "api": ["sidebar-nav-bs"]}
html_theme_options = {
    "footer_end": [],
    "footer_start": ["copyright"],
    "header_links_before_dropdown": 4,
    "logo": {"text": "sksurv_mmf"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
