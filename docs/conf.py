"""Sphinx: the manual, built by `make docs` without a network."""

import sys
from pathlib import Path

import snn_plasticity_gym

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "SNN Plasticity Gym"
author = "The SNN Plasticity Gym developers"
copyright = "the SNN Plasticity Gym developers, MIT licence"
version = release = snn_plasticity_gym.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "house_docstrings",
    "environment_pages",
    "rule_pages",
    "reference_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["extensions"]
nitpicky = False  # types of other projects have no pages here: nothing is fetched
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name, and code elsewhere

myst_enable_extensions = ["deflist", "fieldlist", "dollarmath"]
myst_heading_anchors = 4  # as on GitHub

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_custom_sections = [("Options", "params_style")]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"SNN Plasticity Gym {version}"
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sphinx = False
