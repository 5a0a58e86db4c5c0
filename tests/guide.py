"""The code of CONTRIBUTING.md, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def module_of_the_guide(section: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import the first Python block of a section as a module of that name, with the relative imports that it has there."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"### {section}\n")[2].partition("\n### ")[0]
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(dedent(text.partition("```python\n")[2].partition("```")[0].rstrip(" ")), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where annotations are looked up
    spec.loader.exec_module(module)
    return module
