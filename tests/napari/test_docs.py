"""What the pages of the napari door promise, tried."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ..docs.pages import blocks
from ..docs.reader import Reader

PAGE = Path(__file__).parents[2] / "docs" / "napari.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not PAGE.is_file():
        pytest.skip("the pages aren't in this copy")
    monkeypatch.chdir(tmp_path)
    reader = Reader(lambda *words: "")
    for block in blocks("docs/napari.md"):
        if block.language == "python":
            reader.python(block)
    assert not reader.failures, "\n\n".join(reader.failures)
    names = reader.names
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
