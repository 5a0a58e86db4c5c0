"""How Sphinx makes the site of docs/: ``make docs``. It asks nothing of the internet."""

import sys
from pathlib import Path

from esc_plugin import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ESC plugin"
author = copyright = "The ESC plugin developers"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "repository",
    "before_after",
]
exclude_patterns = ["_build"]
highlight_language = "none"  # of blocks that don't say
nitpicky = True
# In docstrings, a name in single backticks is a link if it is one of ours; else it is a parameter or a value.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", r".*"), ("py:(class|exc|func|meth|data)", r"(?!esc_plugin\.).*")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say them in words, with shapes and units
autodoc_default_options = {"members": True}
autoclass_content = "class"
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = "ESC plugin"
html_logo = html_favicon = "images/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/esc-plugin/esc-plugin/",
    "source_branch": "main",
    "source_directory": "docs/",
    "light_css_variables": {"color-brand-primary": "#8a4b00", "color-brand-content": "#8a4b00"},
    "dark_css_variables": {"color-brand-primary": "#f2a541", "color-brand-content": "#f2a541"},
}
# Prompts aren't copied, nor what a line says of itself at its end.
copybutton_exclude = ".linenos, .gp, .go"
