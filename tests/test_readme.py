"""README on pages other than the repository's, and what it promises of the packages to install."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from .metadata import REPOSITORY, ROOT, project

HOME = f"{REPOSITORY}/blob/main/"
RAW = "https://raw.githubusercontent.com/esc-plugin/esc-plugin/main/"
#: Markdown in one line or by reference, and HTML.
TARGET = re.compile(r"""\]\(([^)\s]+)[^)]*\)|^\[[^]]+\]:\s*(\S+)|(?:src|href|srcset)=["']([^"']+)""", re.MULTILINE)
#: Extras that are parts of others, or for people who work on this package.
UNTOLD = {"files", "test", "dev", "docs"}


def targets(text: str) -> list[str]:
    """Return where the links and pictures of a page lead."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return ["".join(found) for found in TARGET.findall(prose)]


def test_on_a_package_page_all_links_and_pictures_lead_somewhere() -> None:
    """As PyPI gets it; a registry of ComfyUI shows the repository's."""
    command = [sys.executable, "-m", "hatch_fancy_pypi_readme"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout
    links = targets(text)
    assert len(links) == len(targets((ROOT / "README.md").read_text(encoding="utf-8"))) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    ours = [link.partition("#")[0] for link in links if "esc-plugin/esc-plugin" in link]
    assert [link for link in ours if not (ROOT / link.removeprefix(HOME).removeprefix(RAW)).exists()] == []
    assert [link for link in ours if link.endswith((".png", ".svg", ".webp")) != link.startswith(RAW)] == []


@pytest.mark.parametrize("text", ["[a](b.md)", "![a](b.png)", '<img src="b.png">', "[a]: b.md", '<a href="b.md">a</a>'])
def test_every_manner_of_linking_is_seen(text: str) -> None:
    assert targets(text) in (["b.md"], ["b.png"])


def test_every_extra_is_told() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What to install")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == set(project()["optional-dependencies"]) - UNTOLD


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_takes_torch_from_another_place(target: str) -> None:
    """The lines that it would run: torch from there, with what is built for it, and nothing else."""
    command = ["make", "--dry-run", "--always-make", target, "TORCH_INDEX=https://example.org/cpu"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    installs = [line for line in lines if "pip install" in line]
    there = [line for line in installs if line.endswith(" --index-url https://example.org/cpu")]
    assert there == [line for line in installs if re.search(r"\btorch(vision)?==", line)] != []
