"""What the documentation lists is what the code has."""

from __future__ import annotations

import ast
import re

import pytest

from esc_plugin.files.formats import FORMATS

from .pages import ROOT
from .reference import MARKS, PAGE, renewed, table

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages aren't in this copy")
#: What `huggingface_hub`, `requests` and Python read for us.
OF_OTHERS = {"HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HTTPS_PROXY", "NO_PROXY", "TMPDIR"}
NAME = re.compile(r"[A-Z]+_[A-Z_]*|RANK")


def test_the_reference_is_that_of_the_commands() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert renewed(text) == text, "the command line has changed: run python -m tests.docs.reference"


def test_what_is_written_by_hand_stays() -> None:
    text = f"above\n{MARKS[0]}\nold\n{MARKS[1]}\nbelow\n"
    new = renewed(text)
    assert new.startswith(f"above\n{MARKS[0]}\n\n| command |")
    assert new.endswith(f"{MARKS[1]}\nbelow\n")
    assert renewed(new) == new


def test_the_reference_knows_every_kind_of_parameter() -> None:
    lines = renewed(PAGE.read_text(encoding="utf-8")).splitlines()
    for line in (
        "| `-r, --recursive` | Folders inside folders too. |  |",
        "| `--open / --no-open` | Open the page in the browser. | --open |",
        "| `--size HEIGHT WIDTH` | Only for images of this size; by default any. |  |",
        "esc-sr convert [OPTIONS] IN.pth OUT.safetensors",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("| `--fit WxH\\|4K` |")]
    assert list(table("nothing", [])) == []


def variables_of_the_code() -> set[str]:
    """Return what is called like a variable of the environment in files that look into it."""
    found = set()
    for path in (path for package in ("esc_plugin", "napari_esc", "nodes") for path in (ROOT / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"environ\b|\buser_folder\(", text):
            texts = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and NAME.fullmatch(text)}
    return found


def test_every_variable_of_the_environment_is_told() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Environment variables")[2]
    assert set(re.findall(r"`([A-Z]+_[A-Z_]*[A-Z]|RANK|TMPDIR)\b", section)) == variables_of_the_code() | OF_OTHERS


def test_every_format_of_files_is_told() -> None:
    text = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \|", text.partition("\n| format |")[2].partition("\n\n")[0], re.MULTILINE)
    told = {name.strip().lower() for row in rows for name in row.split(",")} - {"zarr"}  # which is read as OME-Zarr is
    assert told == {form.name.lower() for form in FORMATS}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_modules_that_pages_name_are_there(page: str) -> None:
    """Paths between backticks, as far as they are whole."""
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:esc_plugin|nodes|napari_esc|tests|benchmarks|docs)/[\w/.-]+)`", text))
    missing = {path for path in paths if not (ROOT / path).exists() and "NAME" not in path}
    assert missing == set()
