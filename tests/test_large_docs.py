"""What docs/large.md says can be done as it says it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import typer

from esc_plugin import Upscaler
from esc_plugin.cli import app

TEXT = (Path(__file__).parents[1] / "docs" / "large.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask isn't installed")
    launcher: Any = ModuleType("dask_jobqueue")
    launcher.SLURMCluster = MagicMock()  # of a machine with Slurm
    monkeypatch.setitem(sys.modules, "dask_jobqueue", launcher)
    image = np.random.default_rng(0).integers(0, 4000, (110, 90)).astype(np.uint16)
    names: dict[str, Any] = {"image": image}
    for block in blocks("python"):
        (tmp_path / "block.py").write_text(block, encoding="utf-8")
        names |= runpy.run_path(str(tmp_path / "block.py"), names)
    np.testing.assert_array_equal(names["corner"], Upscaler("esc-nano-x2")(image)[100:200, 50:150])
    launcher.SLURMCluster.return_value.adapt.assert_called_once_with(maximum=64)


@pytest.mark.parametrize("line", re.findall(r"(?:esc-sr|esc_plugin\.cli) ((?:upscale|survey) [^\n`]*)", TEXT))
def test_commands_have_these_options(line: str) -> None:
    name, *words = line.split("  #")[0].split()
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
