"""Figures that can be compared with published ones."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from esc_plugin import cli
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.errors import EscError, ImageError
from esc_plugin.measure.evaluate import evaluate, load_lpips, score
from esc_plugin.measure.scores import decibels, luma, mean, psnr, ssim, write_rows, write_scores

from .small import nearest_upscaler

RNG = np.random.default_rng(0)


def open_rgb(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image if image.mode == "L" else image.convert("RGB"))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reductions_are_matlabs_bit_for_bit(shared, scale: int) -> None:
    folder = shared / "data" / "set5"
    for path in sorted((folder / "HR").glob("*.png")):
        image = open_rgb(path)
        size = (image.shape[0] // scale, image.shape[1] // scale)
        image = image[: size[0] * scale, : size[1] * scale]
        expected = open_rgb(folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png")
        assert np.array_equal(imresize(image, size), expected)


@pytest.mark.parametrize(
    ("name", "scale", "published"),
    [
        ("set5", 2, 33.66),
        ("set5", 3, 30.39),
        ("set5", 4, 28.42),
        ("set14", 2, 30.24),
        ("set14", 3, 27.55),
        ("set14", 4, 26.00),
    ],
)
def test_bicubic_has_its_published_figures(shared, name: str, scale: int, published: float) -> None:
    values = []
    for path in sorted((shared / "data" / name / "HR").glob("*.png")):
        image = open_rgb(path)
        size = (image.shape[0] // scale, image.shape[1] // scale)
        image = image[: size[0] * scale, : size[1] * scale]
        bicubic = imresize(imresize(image, size), image.shape[:2])
        values.append(score(path.stem, bicubic, bicubic, image, scale).psnr_y)
    assert np.mean(values) == pytest.approx(published, abs=0.02)


def test_psnr_by_its_definition() -> None:
    a, b = (RNG.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2))
    assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))
    assert psnr(a, a) == float("inf")


def test_ssim_by_its_definition() -> None:
    """Wang et al. 2004, equation 13, straight from its sums."""
    a, b = (RNG.integers(0, 256, (24, 19)).astype(np.float64) for _ in range(2))
    axis = np.arange(11) - 5
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(24 - 10):
        for x in range(19 - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            cov = (window * p * q).sum() - mp * mq
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-6)


def test_luma_is_that_of_video() -> None:
    corners = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert luma(corners) == pytest.approx(np.array([[16, 235]]), abs=0.1)
    gray = RNG.integers(0, 256, (3, 4), np.uint8)
    assert np.array_equal(luma(gray), gray)


def test_a_folder_is_scored_and_written(tmp_path: Path) -> None:
    high = tmp_path / "high"
    high.mkdir()
    for i in range(2):
        smooth = np.kron(RNG.integers(0, 256, (5, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(smooth[:-1]).save(high / f"{i}.png")
    scores = evaluate(nearest_upscaler(), high)
    assert [s.image for s in scores] == ["0", "1"]
    assert all(s.psnr_y > 20 for s in scores)
    write_scores(tmp_path / "figures.json", scores)
    rows = json.loads((tmp_path / "figures.json").read_text())
    assert rows[-1]["psnr_y"] == pytest.approx(mean(scores).psnr_y)
    write_scores(tmp_path / "figures.csv", scores)
    assert (tmp_path / "figures.csv").read_text().startswith("image,psnr_y")


def test_results_of_ours_are_no_reductions(tmp_path: Path) -> None:
    """An upscaled a.png has the name that the field gives to the reduction of a.png."""
    image = Image.fromarray(RNG.integers(0, 256, (20, 20, 3), np.uint8))
    image.save(tmp_path / "a.png")
    upscaler = nearest_upscaler()
    Batch(upscaler).upscale_file(Job(tmp_path / "a.png", tmp_path / "a_x2.png"))
    assert [s.image for s in evaluate(upscaler, tmp_path)] == ["a"]
    low = tmp_path / "low"
    low.mkdir()
    (tmp_path / "a_x2.png").rename(low / "a_x2.png")
    image.resize((10, 10)).save(low / "ax2.png")
    assert [s.image for s in evaluate(upscaler, tmp_path, low)] == ["a"]


def test_means_and_tables_of_any_figures(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Line:
        image: str
        length: float | None
        width: float | None = None

    scores = [Line("a", 1.23456), Line("b", None), Line("c", 2)]
    assert mean(scores) == Line("mean", (1.23456 + 2) / 2)
    write_scores(tmp_path / "lines.csv", scores, digits=2)
    assert (tmp_path / "lines.csv").read_text().split() == ["image,length", "a,1.23", "b,", "c,2", "mean,1.62"]


@pytest.mark.parametrize(("error", "expected"), [(0, np.inf), (1, 0), (1e-2, 20), (np.inf, -np.inf), (np.nan, np.nan)])
def test_decibels_of_any_error(error: float, expected: float) -> None:
    assert decibels(error) == pytest.approx(expected, nan_ok=True)
    assert decibels(error * 255**2, 255) == pytest.approx(expected, nan_ok=True)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    high, low = tmp_path / "high", tmp_path / "low"
    high.mkdir()
    low.mkdir()
    with pytest.raises(ImageError, match="no images"):
        evaluate(nearest_upscaler(), high)
    Image.new("RGB", (20, 20)).save(high / "a.png")
    Image.new("RGB", (9, 10)).save(low / "b.png")
    with pytest.raises(ImageError, match=r"no reduction of 'a\.png'"):
        evaluate(nearest_upscaler(), high, low)
    Image.new("RGB", (9, 10)).save(low / "ax2.png")
    with pytest.raises(ImageError, match=r"is \(10, 9\), not \(10, 10\)"):
        evaluate(nearest_upscaler(), high, low)
    with pytest.raises(ImageError, match=r"\.csv or \.json"):
        write_rows(tmp_path / "figures.txt", [])


def stub_lpips(monkeypatch: pytest.MonkeyPatch, problem: Exception | None = None) -> None:
    """Put a package in the place of lpips whose distance is the mean absolute difference, of what it is given."""

    class LPIPS(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            assert net == "alex"
            if problem:
                raise problem

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            for image in (a, b):
                assert image.shape[:2] == (1, 3)
                assert -1 <= image.min() < -0.5 < 0.5 < image.max() <= 1
            return (a - b).abs().mean().view(1, 1, 1, 1)

    module = ModuleType("lpips")
    module.LPIPS = LPIPS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr("esc_plugin.measure.evaluate.find_spec", lambda name: name)


def test_lpips_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub_lpips(monkeypatch)
    distance = load_lpips()
    assert distance is not None
    a, b = (RNG.integers(0, 256, (44, 40, 3), np.uint8) for _ in range(2))
    found = score("a", a, b, b, 2, distance)
    inside = np.abs(a.astype(float) - b)[2:-2, 2:-2] / 127.5
    assert found.lpips == pytest.approx(inside.mean(), rel=1e-4)
    assert found.bicubic_lpips == 0
    gray = score("gray", a[..., 0], b[..., 0], b[..., 0], 2, distance)
    assert gray.lpips == pytest.approx(inside[..., 0].mean(), rel=1e-4)
    small = score("small", a[:20], b[:20], b[:20], 2, distance)
    assert small.lpips is None
    assert mean([found, gray, small]).lpips == pytest.approx((found.lpips + gray.lpips) / 2)
    write_scores(tmp_path / "figures.csv", [found, small])
    header, *rows = (tmp_path / "figures.csv").read_text().splitlines()
    assert header.endswith("lpips,bicubic_lpips")
    assert rows[1].endswith(",,")
    write_scores(tmp_path / "none.csv", [small])
    assert "lpips" not in (tmp_path / "none.csv").read_text()


def test_without_lpips_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.measure.evaluate.find_spec", lambda name: None)
    assert load_lpips() is None


@pytest.mark.parametrize("problem", [None, OSError("no route\nto host")])
def test_the_command_shows_lpips_or_says_why_not(
    problem: Exception | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_lpips(monkeypatch, problem)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("esc_plugin.cli.evaluate.open_model", lambda name, **_: nearest_upscaler().model)
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(sys, "argv", ["esc-sr", "evaluate", "esc-nano-x2", str(tmp_path), "--device", "cpu"])
    with pytest.raises(SystemExit) as done:
        cli.main()
    out, err = capsys.readouterr()
    assert not done.value.code, err
    assert ("bicubic LPIPS" in out) is (problem is None)
    assert ("no route to host" in err.replace("\n", " ")) is (problem is not None)
    assert "LPIPS" in out + err


def test_a_broken_lpips_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_lpips(monkeypatch, RuntimeError("operator torchvision::nms\ndoes not exist"))
    with pytest.raises(EscError, match=r"^LPIPS is left out, .*operator torchvision::nms does not exist\.$"):
        load_lpips()
