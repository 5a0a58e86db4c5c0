"""What the pages of the napari door promise, tried."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "napari.md"


def test_the_example_for_notebooks_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not PAGE.is_file():
        pytest.skip("the pages aren't in this copy")
    (code,) = (
        text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "upscale_layer" in text
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebook.py").write_text(code, encoding="utf-8")
    names = runpy.run_path("notebook.py")
    result, (part, properties, _) = names["result"], names["part"]
    assert (result.data.shape, result.name) == ((3, 128, 128), "nuclei [x2]")
    np.testing.assert_allclose(result.scale, (0.5, 0.08, 0.08))
    assert part.shape == (1, 80, 256)
    assert properties["metadata"]["esc"]["model"] == "esc-nano-x4"
    assert [tuple(data.shape) for data, _, _ in names["both"]] == [(3, 96, 96)] * 2
    assert (tmp_path / "both.ome.zarr").is_dir()


def test_every_picture_is_there() -> None:
    if not PAGE.is_file():
        pytest.skip("the pages aren't in this copy")
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE.read_text("utf-8"))
    assert len(pictures) > 4
    assert all((PAGE.parent / picture).is_file() for picture in pictures)
