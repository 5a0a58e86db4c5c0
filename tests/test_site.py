"""What `make docs` goes by: where links of the pages lead to in the site, and which links of a built site lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from .metadata import REPOSITORY, ROOT


def script(path: str) -> ModuleType:
    spec = spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def turned() -> Callable[[str, str], str]:
    """Return what makes of a link in a file the one in the site."""
    repository = script("docs/_ext/repository.py")

    def turn(file: str, link: str) -> str:
        pages = repository.shown_files()
        match = repository.LINK.search(f"[text]({link})")
        return link if match is None else str(repository.site_link(match[1], match[2] or "", ROOT / file, pages))

    return turn


@pytest.mark.parametrize(
    ("file", "link", "site"),
    [
        ("docs/exactness.md", "large.md", "/large.md"),
        ("docs/start/server.md", "../large.md#cloud-storage", "/large.md#cloud-storage"),
        ("docs/exactness.md", "../benchmarks/README.md#how-much-memory", "/benchmarks/index.md#how-much-memory"),
        ("benchmarks/README.md", "speed.md", "/benchmarks/speed.md"),
        ("CHANGELOG.md", "docs/models.md#nothing-invented", "/models.md#nothing-invented"),
        ("docs/training.md", "../esc_plugin/train/recipe.py", f"{REPOSITORY}/blob/main/esc_plugin/train/recipe.py"),
        ("docs/training.md", "../esc_plugin/train/recipes", f"{REPOSITORY}/tree/main/esc_plugin/train/recipes"),
        ("docs/try.md", "images/try.png", "/images/try.png"),
        ("docs/try.md", "#limits", "#limits"),
        ("docs/try.md", "https://example.org/a.md#b", "https://example.org/a.md#b"),
        ("docs/try.md", "nowhere.md#there", "nowhere.md#there"),
    ],
)
def test_links_of_the_repository_in_the_site(turned: Callable[[str, str], str], file: str, link: str, site: str) -> None:
    assert turned(file, link) == site


def test_links_to_nowhere_are_seen(tmp_path: Path) -> None:
    links = ["other.html", "other.html#here", "folder/", "#top", "picture%201.png", "https://example.org/x", "mailto:a@b.c"]
    wrong = ["another.html", "other.html#there", "empty/", "#bottom", "picture2.png"]
    for name in ("folder", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder" / "index.html").write_text("<p>", encoding="utf-8")
    (tmp_path / "picture 1.png").touch()
    (tmp_path / "other.html").write_text('<a name="here">', encoding="utf-8")
    body = "".join(f'<a href="{link}"></a>' for link in [*links, *wrong])
    (tmp_path / "page.html").write_text(f'<h1 id="top"></h1><img src="lost.svg">{body}', encoding="utf-8")
    found = script("docs/check_links.py").broken(tmp_path)
    assert found == [f"page.html: {link}" for link in ["lost.svg", *wrong]]
