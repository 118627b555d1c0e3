"""Configuration of the documentation."""

import os
from pathlib import Path

import sksurv_mmf

project = "sksurv_mmf"
author = "The sksurv_mmf developers"
copyright = "The sksurv_mmf developers"
version = release = sksurv_mmf.__version__

extensions = [
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
autosummary_generate = True
# Without the slides, the page of the example that reads them is made from its text alone.
has_slides = (Path(os.environ.get("SKSURV_MMF_DATA", "")) / "slides").is_dir()
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_" if has_slides else "/plot_(?!04)",
    "remove_config_comments": True,
}
# Every class has a page with its methods; numpydoc's own list would link to pages that do not exist.
numpydoc_show_class_members = False
# scikit-learn adds this method, and its text links into scikit-learn's own documentation.
autodoc_default_options = {"members": True, "exclude-members": "set_fit_request"}

html_theme = "alabaster"
html_theme_options = {"description": "Multimodal survival analysis", "page_width": "1100px"}
