"""What every model gains on every kind of images: the manifest that is edited, and the tables that are made of it."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from esc_plugin.catalog.gains import Gain
from esc_plugin.errors import EscError

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kinds.py"
if not SCRIPT.is_file():
    pytest.skip("the benchmarks aren't in this copy", allow_module_level=True)

NEW = (
    Gain("clean photo", 14, "photos of Set14", "bicubic", 2.0),
    Gain("fluorescence", 36, 'images: "nuclei", {dim}', "binned 2 x 2, 1000 photons", -0.5),
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kinds", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kinds(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, which changes copies of the manifest and the page."""
    for name in ("MANIFEST", "PAGE"):
        copy = tmp_path / getattr(script, name).name
        copy.write_text(getattr(script, name).read_text(encoding="utf-8"), encoding="utf-8")
        monkeypatch.setattr(script, name, copy)
    return script


def test_the_tables_say_what_the_manifest_says(script: ModuleType) -> None:
    """``python benchmarks/kinds.py`` without arguments makes them anew."""
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.with_tables(page, script.bundled()) == page


def test_gains_are_replaced_and_nothing_else(kinds: ModuleType) -> None:
    text, before = kinds.MANIFEST.read_text(encoding="utf-8"), kinds.models_in(kinds.MANIFEST)
    names = [entry.name for entry in before]
    for name in (names[0], *[entry.name for entry in before if not entry.gains][:1], names[-1]):
        changed = kinds.with_gains(text, {name: NEW})
        kinds.checked(changed, [replace(entry, gains=NEW) if entry.name == name else entry for entry in before])
        assert kinds.with_gains(changed, {name: NEW}) == changed
        gone = [line for line in text.splitlines() if line not in changed.splitlines()]
        assert all(line.startswith(("    gains:", "      - {purpose")) for line in gone)
    with pytest.raises(EscError, match="nothing was changed"):
        kinds.checked(text, [replace(before[0], gains=NEW), *before[1:]])


def test_other_kinds_keep_what_was_measured(kinds: ModuleType) -> None:
    entry = next(entry for entry in kinds.bundled() if entry.gains)
    entry = replace(entry, gains=(*NEW, Gain("brightfield", 2, "images", "binned 2 x 2", 1.0)))
    other = Gain("fluorescence", 3, "cells", "binned 2 x 2", 0.1)
    (after,) = kinds.updated([entry], {entry.name: [other]})
    assert after.gains == (NEW[0], other, entry.gains[2])
    assert kinds.updated([entry], {}) == [entry]


def test_the_best_of_a_row_is_bold_if_it_gains(kinds: ModuleType) -> None:
    one, two = (replace(entry, scale=2, name=name) for entry, name in zip(kinds.bundled()[:2], "ab", strict=True))
    lost = replace(NEW[1], db=-0.2)
    head, _, *rows = kinds.tables(
        [replace(one, gains=NEW), replace(two, gains=(replace(NEW[0], db=1.5), lost))]
    ).splitlines()
    assert head == "| kind | images | x2, reduced by | a | b |"
    assert [row.split(" | ")[3:] for row in rows[:2]] == [["**+2.00**", "+1.50 |"], ["-0.50", "-0.20 |"]]


def test_a_page_without_its_markers_is_left_alone(kinds: ModuleType) -> None:
    with pytest.raises(EscError, match="lacks the lines"):
        kinds.with_tables("# A page", kinds.bundled())


def test_one_command_measures_and_writes(
    kinds: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("photos", (4, 4, 3)), ("cells", (4, 4, 1))):
        (tmp_path / name).mkdir()
        for i in range(2):
            coarse = Image.fromarray(rng.integers(0, 256, shape, np.uint8).squeeze())
            coarse.resize((40, 40), Image.Resampling.BICUBIC).save(tmp_path / name / f"{i}.png")
    one = next(entry for entry in kinds.bundled() if entry.scale == 2)
    places = ["--photos", "small photos", str(tmp_path / "photos"), "--fluorescence", "cells"]
    places += [str(tmp_path / "cells" / f"{i}.png") for i in range(2)]
    monkeypatch.setattr(sys, "argv", ["kinds.py", *places, "--models", one.name])
    kinds.main()
    printed = capsys.readouterr().out.splitlines()[2:]
    found = next(entry for entry in kinds.models_in(kinds.MANIFEST) if entry.name == one.name)
    made = [gain for gain in found.gains if gain.purpose != "brightfield"]
    assert [(gain.purpose, gain.on, gain.reduction) for gain in made] == [
        ("clean photo", "2 small photos", "bicubic"),
        *(
            ("real photo", "2 small photos", told)
            for told in ("noise of 5 levels", "noise of 15 levels", "JPEG 70", "JPEG 40")
        ),
        *(("fluorescence", "2 cells", f"binned 2 x 2, {n} photons") for n in ("100", "1000", "10,000")),
        ("fluorescence", "2 cells", "binned 2 x 2"),
    ]
    assert [float(row.split(" | ")[5]) for row in printed] == [gain.db for gain in made]
    assert "2 small photos | noise of 15 levels |" in kinds.PAGE.read_text(encoding="utf-8")
