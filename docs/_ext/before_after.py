"""A paragraph of two pictures, the first one's text beginning with "Before", becomes one with a slider between them.

Where the slider isn't loaded, they stand side by side.
"""

from docutils import nodes
from sphinx.application import Sphinx

#: A version whose bytes are known.
SLIDER = "https://cdn.jsdelivr.net/npm/img-comparison-slider@8.0.7/dist/index.js"
SHA384 = "sha384-FCXElAg99YO+h+5Ky3gZ9cVwc8wyg6sq3jn79ugH0u5jh0NR5cvr0hGP+tzpjI+A"


def mark(app: Sphinx, doctree: nodes.document) -> None:
    """Mark the paragraphs."""
    for paragraph in doctree.findall(nodes.paragraph):
        images = [child for child in paragraph if isinstance(child, nodes.image)]
        if len(images) == 2 and images[0].get("alt", "").startswith("Before"):
            paragraph["classes"].append("before-after")


def load(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Load the slider on pages that have one."""
    if doctree and any("before-after" in paragraph["classes"] for paragraph in doctree.findall(nodes.paragraph)):
        app.add_js_file(SLIDER, integrity=SHA384, crossorigin="anonymous", defer="defer")
        app.add_js_file("before-after.js", defer="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("doctree-read", mark)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
