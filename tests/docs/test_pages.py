"""Every block of code on every page: commands and Python are run, manifests and recipes are read.

A page has a folder of its own with small files under the names that the documentation uses (`files.py`), and one namespace
of Python. What can't be run says why: in front of the block, ``<!-- not run: REASON -->``, or in the tables of `commands.py`
and `reader.py`. Such a block is checked as far as that goes without running it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from esc_plugin.export.export import export
from esc_plugin.inspection import study
from esc_plugin.train.finetune import finetune
from esc_plugin.train.wish import Wish

from .. import commands as command_line
from ..hub_server import HubServer
from ..test_hub import point_to
from .commands import options, words_wrong_in
from .files import make_files
from .pages import PAGES, ROOT, blocks, inline_code
from .reader import Reader

#: What can stand behind ``` in front of a block. One that isn't run here is run by another test, or is no program.
LANGUAGES = {"python", "sh", "yaml", "text", "bibtex", "js", "kotlin"}
#: What sentences name of other programs: pip, and ours that measure.
OPTIONS_OF_OTHERS = {"--index-url"} | {
    option
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/images/*.py")]
    for option in re.findall(r'"(--[a-z-]+)"', script.read_text(encoding="utf-8"))
}
BUNDLED = "esc_plugin/catalog/bundled/esc-nano-x2.safetensors"
WITH_CODE = [page for page in PAGES if any(True for _ in blocks(page))]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


@pytest.fixture
def reader(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Reader]:
    """Return a reader with files and a Hub with one model, who has never used any of this before."""
    folder = tmp_path / "folder"
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("esc_plugin.train.finetune.finetune", partial(two_iterations, finetune))
    monkeypatch.setattr("esc_plugin.train.wish.Outcome.problem", "")  # of so few, of images of noise
    monkeypatch.setitem(export.__kwdefaults__, "check_it", False)  # which has tests of its own
    monkeypatch.setitem(study.__kwdefaults__, "steps", 2)  # of an attribution that shall be exact
    with HubServer() as hub:
        point_to(hub.url, monkeypatch, tmp_path)
        hub.repo("org/repo", {"model.safetensors": (ROOT / BUNDLED).read_bytes()})
        hub.repos["org/repo"].refs["v1.0"] = hub.repos["org/repo"].refs["main"]
        yield Reader(command_line.inside_the_test(monkeypatch, capsys))


def two_iterations(run: Callable[..., Any], images: Any, wish: Wish, *rest: Any, **options: Any) -> Any:
    return run(images, replace(wish, iterations=2), *rest, **options)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE)
def test_what_a_page_says_works(page: str, reader: Reader) -> None:
    for block in blocks(page):
        reader.read(block)
    assert not reader.failures, "\n\n".join(reader.failures)


@pytest.mark.parametrize("page", WITH_CODE)
def test_blocks_say_what_they_are(page: str) -> None:
    """Directives of the site, such as ``{toctree}``, are no code."""
    languages = {block.place: block.language for block in blocks(page) if not block.language.startswith("{")}
    assert {place: name for place, name in languages.items() if name not in LANGUAGES} == {}


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))  # which tells what was, too
def test_sentences_name_commands_and_options_that_are_there(page: str) -> None:
    wrong = []
    for code in inline_code(page):
        if code.startswith("esc-sr "):
            wrong += words_wrong_in(code)
        elif found := re.match(r"--[a-z][\w-]*", code):
            wrong += {found[0]} - options() - OPTIONS_OF_OTHERS
    assert wrong == []
