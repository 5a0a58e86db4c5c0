"""Results that fill a box: the middle of the whole result, wherever it goes, and in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from esc_plugin import ImageError
from esc_plugin.arrays.framing import Framing
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.files import read_picture, read_provenance

from .small import random_upscaler

RANDOM = random_upscaler()
#: From 20 x 30 the whole grows 2.2 times, to 44 x 66.
BOX = Framing(width=50, height=44, mode="fill")


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("colours", [(), (3,), (4,)])
def test_it_is_the_middle_of_the_whole(tmp_path: Path, suffix: str, colours: tuple[int, ...]) -> None:
    Image.fromarray(noise(20, 30, *colours)).save(tmp_path / "a.png")
    result = Batch(RANDOM, BOX).upscale_file(Job(tmp_path / "a.png", tmp_path / f"out{suffix}"))
    whole = Batch(RANDOM, Framing(height=44)).upscale_file(Job(tmp_path / "a.png", tmp_path / "whole.png"))
    np.testing.assert_array_equal(result.pixels, whole.pixels[:, 8:58])
    written = read_picture(tmp_path / f"out{suffix}").pixels
    np.testing.assert_array_equal(written[..., :3] if suffix == ".webp" and not colours else written, _as(written, result))
    record = read_provenance(tmp_path / f"out{suffix}")
    assert record["region"] == [[0, 44], [8, 58]]
    assert record["steps"] == "1 pass x2, then Lanczos x1.1"


def _as(written: np.ndarray, result: Any) -> np.ndarray:
    """Return a result's pixels as a format holds them: WebP has no gray."""
    return result.pixels if written.ndim == result.pixels.ndim else np.stack([result.pixels] * written.shape[-1], -1)


def test_a_calibrated_part_lies_where_it_lies_in_the_image(tmp_path: Path) -> None:
    image = noise(2, 20, 30, dtype=np.uint16)
    tags = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    plane = {"PositionX": [10.0] * 2, "PositionY": [20.0] * 2, "PositionXUnit": ["µm"] * 2, "PositionYUnit": ["µm"] * 2}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata=tags | {"Plane": plane})
    Batch(RANDOM, BOX).upscale_file(Job(tmp_path / "a.ome.tif", tmp_path / "out.ome.tif"))
    region = Batch(RANDOM, Framing(height=44), region=((0, 44), (8, 58)))
    region.upscale_file(Job(tmp_path / "a.ome.tif", tmp_path / "region.ome.tif"))
    found, wanted = (read_picture(tmp_path / f"{name}.ome.tif") for name in ("out", "region"))
    assert found.pixels.shape == (2, 44, 50)
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    assert found.ome is not None
    assert wanted.ome is not None
    assert found.ome.axes == wanted.ome.axes
    assert found.ome.axes.scale[-1] == pytest.approx(0.5 / 2.2)
    assert found.ome.axes.translate[-2:] == pytest.approx((20, 10 + 8 * 0.5 / 2.2))


def test_a_portrait_gets_the_box_turned(tmp_path: Path) -> None:
    for name, shape in (("wide", (45, 80)), ("high", (80, 60))):
        Image.fromarray(noise(*shape)).save(tmp_path / f"{name}.png")
        batch = Batch(RANDOM, Framing(preset="HD", mode="fill"), options={"passes": 0})
        batch.upscale_file(Job(tmp_path / f"{name}.png", tmp_path / "out" / f"{name}.png"))
    assert [read_picture(tmp_path / "out" / f"{name}.png").size for name in ("wide", "high")] == [(720, 1280), (1280, 720)]


def test_a_survey_serves_it(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
    survey = RANDOM.survey(read_picture(tmp_path / "a.png").pixels, size=(44, 66))
    job = Job(tmp_path / "a.png", tmp_path / "out.png")
    known = Batch(RANDOM, BOX, survey=survey, overwrite=True).upscale_file(job).pixels
    np.testing.assert_array_equal(known, Batch(RANDOM, BOX, overwrite=True).upscale_file(job).pixels)


def test_what_a_format_can_not_hold_is_the_part(tmp_path: Path) -> None:
    """WebP has at most 16383 pixels a side, which only the whole would have more of."""
    Image.fromarray(noise(4, 300)).save(tmp_path / "a.png")
    framing, job = Framing(width=100, height=256, mode="fill"), Job(tmp_path / "a.png", tmp_path / "out.webp")
    assert framing.frame(4, 300, 2).enlarged == (256, 19200)
    Batch(RANDOM, framing, options={"passes": 0}).upscale_file(job)
    assert read_picture(tmp_path / "out.webp").size == (256, 100)


def test_a_region_of_it_is_a_contradiction() -> None:
    with pytest.raises(ImageError, match="a region of the result or one that fills a box, not both"):
        Batch(RANDOM, BOX, region=((0, 1), (0, 1)))
