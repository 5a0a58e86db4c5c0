"""Check that every link inside of a built site leads to a page and to an anchor: ``check_links.py docs/_build/site``."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page points at, and what can be pointed at in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors = {""}
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's links and its anchor."""
        self.targets += [value for name, value in attrs if name in ("href", "src") and value]
        self.anchors.update(value for name, value in attrs if name in ("id", "name") and value)


def broken(site: Path) -> list[str]:
    """Return the links that lead nowhere, with the pages they stand on."""
    pages = {file.resolve(): Page(file) for file in sorted(site.resolve().rglob("*.html"))}
    return [
        f"{file.relative_to(site.resolve())}: {target}"
        for file, page in pages.items()
        for target in dict.fromkeys(page.targets)
        if not leads_somewhere(target, file, pages)
    ]


def leads_somewhere(target: str, file: Path, pages: dict[Path, Page]) -> bool:
    """Tell whether a target of a page is outside of the site, or exists."""
    url = urlsplit(target)
    if url.scheme or url.netloc:
        return True
    path = (file.parent / unquote(url.path)).resolve() if url.path else file
    path = path / "index.html" if path.is_dir() else path
    return path.is_file() and (path not in pages or unquote(url.fragment) in pages[path].anchors)


if __name__ == "__main__":
    if found := broken(Path(sys.argv[1])):
        sys.exit("\n".join(["These links lead nowhere:", *found]))
