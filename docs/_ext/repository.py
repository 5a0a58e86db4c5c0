"""Pages and links of the repository, in the site: what is no page of the site is a link to the repository.

Markdown files link to their neighbours as GitHub wants it. A page that begins with ``<!-- shows ../FILE.md -->`` stands in
the site for that file; its first paragraph is for readers of the repository, and what follows that comes after the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/esc-plugin/esc-plugin"
SHOWS = re.compile(r"<!-- shows (\S+) -->\n")
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")


def shown_file(page: Path) -> Path:
    """Return the file that a page shows: another one, or itself."""
    match = SHOWS.match(page.read_text(encoding="utf-8"))
    return (page.parent / match[1]).resolve() if match else page


def shown_files() -> dict[Path, Path]:
    """Return the pages that show another file, by that file."""
    found = {shown_file(page): page for page in DOCS.rglob("*.md") if "_build" not in page.parts}
    return {file: page for file, page in found.items() if file != page}


def site_link(target: str, anchor: str, file: Path, pages: dict[Path, Path]) -> str:
    """Return where a link of a file leads to in the site."""
    path = (file.parent / target).resolve()
    if not path.exists():
        return f"{target}{anchor}"  # MyST warns
    path = pages.get(path, path)
    if path.is_relative_to(DOCS):
        return f"/{path.relative_to(DOCS).as_posix()}{anchor}"
    kind = "tree" if path.is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/main/{path.relative_to(ROOT).as_posix()}{anchor}"


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the file in the place of a page that shows it, and turn links."""
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return
    file, pages = shown_file(page), shown_files()
    if file != page:
        source[0] = file.read_text(encoding="utf-8") + "".join(source[0].partition("\n\n")[1:])
        app.env.note_dependency(str(file))
    source[0] = LINK.sub(lambda match: f"]({site_link(match[1], match[2] or '', file, pages)})", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
