"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
#: Also the card that goes to the Hub with a model, and the help of the ComfyUI nodes.
PLACES = ("*.md", "docs/**/*.md", "benchmarks/*.md", "example_workflows/*.md", "web/docs/*.md", "esc_plugin/catalog/*.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for place in PLACES
    for path in sorted(ROOT.glob(place))
    if "_build" not in path.parts
}
#: In front of a block that can't be run where tests run: it says why, and the block is checked without running it.
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)
MARKDOWN = MarkdownIt("commonmark")


@dataclass(frozen=True)
class Block:
    """A block of code: where it stands, what it is written in, and why it isn't run, if it isn't."""

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str | None = None) -> Iterator[Block]:
    """Return the blocks of a page in their order; indented ones have no language."""
    before = None
    for token in MARKDOWN.parse(PAGES[page].read_text(encoding="utf-8") if text is None else text):
        if token.type in ("fence", "code_block") and token.map:
            yield Block(page, token.map[0] + 1, token.info.strip(), token.content, _reason(before))
        before = token


def inline_code(page: str) -> list[str]:
    """Return what stands between backticks in the sentences of a page."""
    tokens = MARKDOWN.parse(PAGES[page].read_text(encoding="utf-8"))
    parts = [child for token in tokens for child in token.children or () if child.type == "code_inline"]
    return [" ".join(part.content.split()) for part in parts]


def _reason(before: Token | None) -> str:
    found = NOT_RUN.search(before.content) if before and before.type == "html_block" else None
    return " ".join(found[1].split()) if found else ""
