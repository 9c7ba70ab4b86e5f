"""How Sphinx builds the site: `make docs`."""

import tomllib
from pathlib import Path

import napts

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "napts"
author = "The authors of napts"
project_copyright = author
release = version = napts.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    # What other packages define; their inventories would have to be fetched.
    ("py:.*", r"(torch|numpy|pandas|matplotlib|collections|contextlib|pathlib|typing)\..*"),
    # Types in signatures and raised errors that are internal; that names in roles exist is a test.
    ("py:.*", r"napts(\.\w+){2,}"),
    ("py:class", "Cluster|ConfigDict|Plan|Path"),
    ("py:exc", "CaptureAgainError|NoRun|PluginError|RunBusy|SlurmUnavailable|SubmissionBusy"),
    ("py:exc", "DamagedRun|DataMissing|NewerSchema|RecordError"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"napts {release}"
# The one place that knows the site's address: [project.urls] of pyproject.toml.
html_baseurl = _PROJECT.get("urls", {}).get("Documentation", "")
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
