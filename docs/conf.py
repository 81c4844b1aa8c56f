"""How Sphinx makes the pages: ``make docs``, strict."""

from __future__ import annotations

from sedna_metrics import __version__

project = "sedna-metrics"
project_copyright = "the authors of sedna-metrics"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
html_theme = "furo"
html_title = f"sedna-metrics {__version__}"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
exclude_patterns = ["_build"]
