"""Means from samples: what they are of, what they are worth, and who shares them."""

from __future__ import annotations

import functools
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import EscError, ImageError, Upscaler
from esc_plugin.arrays.planes import TensorImage
from esc_plugin.engine import Run, choose_cells, walk_together
from esc_plugin.engine.cells import EDGE
from esc_plugin.network.grid import Region
from esc_plugin.network.program import mean_of
from esc_plugin.survey import Survey

from .small import random_upscaler
from .test_engine import CPU, plan_of

RANDOM = random_upscaler()
ALL = 10**9
SIDES = st.integers(1, 500)


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Noise of which there is more on the right."""
    values = np.random.default_rng(seed).random(shape) ** np.linspace(8, 0.5, shape[1])[:, None]
    return (values * 255).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


def textured(*shape: int) -> np.ndarray:
    return noise(*shape, 1)[..., 0]


def means(survey: Survey) -> list[np.ndarray]:
    return [run.means for plane in survey.planes for run in (*plane.colours, *plane.alpha)]


def distance(first: Survey, second: Survey) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(means(first), means(second), strict=True))


# ------------------------------------------------------------------ cells


@given(SIDES, SIDES, st.integers(1, 10**6))
def test_cells_are_different_small_and_lie_inside(height: int, width: int, pixels: int) -> None:
    cells = choose_cells((height, width), pixels)
    assert len(set(cells)) == len(cells) > 0
    if 4 * EDGE**2 <= pixels <= height * width:
        assert abs(sum(c.height * c.width for c in cells) - pixels) < 1.5 * EDGE**2
    whole = Region(0, 0, height, width)
    assert all(whole.holds(c) and 0 < c.height <= EDGE and 0 < c.width <= EDGE for c in cells)
    seen = np.zeros((height, width), int)
    for cell in cells:
        seen[cell.slices] += 1
    assert seen.max(initial=0) <= 1
    assert cells == choose_cells((height, width), pixels)


@given(SIDES, SIDES)
def test_all_cells_are_the_whole(height: int, width: int) -> None:
    assert sum(c.height * c.width for c in choose_cells((height, width), ALL)) == height * width


@given(st.integers(1, 8))
def test_cells_are_spread_over_all_quarters(half: int) -> None:
    side = 2 * half * EDGE
    quarters = {(c.top < side // 2, c.left < side // 2) for c in choose_cells((side, side), 4 * EDGE**2)}
    assert len(quarters) == 4


# ------------------------------------------------------------------ means


@pytest.mark.parametrize("cell", [Region(0, 0, 64, 64), Region(70, 30, 134, 94), Region(137, 139, 201, 203)])
def test_a_sample_has_no_borders_of_its_own(cell: Region) -> None:
    network, image = RANDOM.network(), torch.rand(1, 3, 201, 203)
    geometry = network.geometry(201, 203)
    program, pixels = network.program(geometry).for_survey(features=False), cell.height * cell.width

    def run(wanted: Region | None) -> Run:
        return Run(
            program, geometry, plan_of(10**7), TensorImage(image), None, CPU, torch.float32, wanted=wanted, counted=cell
        )

    found, sums = walk_together([run(cell)], pixels)
    walk = run(None).walk()  # of the whole image, and only counted in the cell
    total, expected = next(walk), []
    while total is not None:
        expected.append(mean_of(total, pixels))
        try:
            total = walk.send(expected[-1])
        except StopIteration:
            break
    assert len(found) == program.means == len(sums)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (textured(150, 170), {}),
        (noise(150, 170, 3), {"scale": 3.5}),
        (noise(130, 70, 4), {}),
        (noise(130, 70, 2, dtype="float32"), {"nan": "keep"}),
        (np.stack([textured(90, 100), textured(90, 100) // 2]), {"axes": "CYX"}),
        (textured(40, 50), {}),
        (textured(90, 80), {"scale": 0.5}),
        (textured(90, 80), {"scale": 0.5, "passes": 2}),
        (textured(90, 80), {"scale": 2.2}),
    ],
    ids=["gray", "twice", "alpha", "floating", "channels", "small", "filtered", "cleaned", "stretched"],
)
def test_samples_of_everything_are_exact(image: np.ndarray, options: dict[str, Any]) -> None:
    exact, sampled = RANDOM.survey(image, **options), RANDOM.survey(image, pixels=ALL, **options)
    assert all(np.array_equal(a, b) for a, b in zip(means(sampled), means(exact), strict=True))
    assert sampled.digest == exact.digest
    assert (sampled.method, exact.method, sampled.difference) == ("sampled", "exact", 0)


def test_a_network_for_any_scale_and_a_folding_one_are_sampled_too() -> None:
    image = textured(150, 170)
    for head in ("lte", "classic"):
        upscaler = random_upscaler(2, head)
        options = {"size": (200, 391)} if head == "lte" else {}
        exact, sampled = (upscaler.survey(image, pixels=n, **options) for n in (None, ALL))
        assert distance(exact, sampled) == 0


@pytest.mark.parametrize("options", [{"scale": 3}, {"scale": 1, "passes": 2}, {"scale": 2.2, "passes": 1}])
def test_all_cells_together_find_the_exact_means(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    image = noise(200, 210, 3)
    exact = RANDOM.survey(image, **options)
    monkeypatch.setattr("esc_plugin.sampling.choose_cells", lambda size, pixels: choose_cells(size, ALL))
    sampled = RANDOM.survey(image, **options, pixels=4 * EDGE**2)
    assert sampled.sampling.samples == 16
    assert distance(sampled, exact) == 0
    assert sampled.difference == 0


def test_surveys_of_the_same_samples_are_the_same() -> None:
    image = noise(300, 310, 3)
    first, again = (RANDOM.survey(image, pixels=5 * EDGE**2, scale=3) for _ in range(2))
    assert first.to_json() == again.to_json()
    assert first.sampling.samples == 5


def test_more_samples_are_nearer_and_know_it() -> None:
    image = textured(512, 512)
    exact, few, many = (RANDOM.survey(image, pixels=n) for n in (None, 4 * EDGE**2, 32 * EDGE**2))
    assert distance(many, exact) < distance(few, exact)
    assert many.sampling.difference < few.sampling.difference
    assert many.sampling.psnr > few.sampling.psnr


@functools.cache
def patchy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose parts differ, and its exact result."""
    chance = np.random.default_rng(seed)
    image = (chance.random((320, 320)) * np.kron(chance.random((10, 10)), np.ones((32, 32)))).astype(np.float32)
    return image, RANDOM(image, intensity=(0, 1))


@pytest.mark.parametrize("samples", [4, 15])
def test_the_expected_difference_is_about_the_real_one(samples: int) -> None:
    """On the average over images: of one, the samples may be better or worse than they could know."""
    expected, real = [], []
    for seed in range(8):
        image, exact = patchy(seed)
        survey = RANDOM.survey(image, intensity=(0, 1), pixels=samples * EDGE**2)
        difference = RANDOM(image, intensity=(0, 1), survey=survey) - exact
        expected.append(survey.difference**2)
        real.append(float(np.mean(difference**2)))
    assert 1 / 3 < np.sqrt(np.mean(real) / np.mean(expected)) < 3


def test_the_difference_is_told_in_levels_of_the_image() -> None:
    survey = RANDOM.survey(textured(200, 200), pixels=4 * EDGE**2, intensity=(10, 60))
    assert survey.difference == pytest.approx(50 * survey.sampling.difference)
    assert survey.sampling.psnr == pytest.approx(-20 * np.log10(survey.sampling.difference))


def test_the_file_keeps_how_a_survey_was_sampled() -> None:
    survey = RANDOM.survey(textured(200, 200), pixels=4 * EDGE**2)
    again = Survey.from_json(survey.to_json())
    assert again.sampling == survey.sampling
    assert again.method == "sampled"
    assert distance(again, survey) == 0


@settings(max_examples=5)
@given(st.data())
def test_a_region_from_samples_is_that_of_the_whole_from_samples(data: st.DataObject) -> None:
    options = data.draw(st.sampled_from([{"scale": 2}, {"scale": 3}, {"scale": 1, "passes": 2}, {"scale": 2.2}]))
    image = textured(180, 190)
    survey = RANDOM.survey(image, **options, pixels=4 * EDGE**2)
    whole = RANDOM(image, **options, survey=survey)
    spans = [sorted(data.draw(st.tuples(st.integers(0, n // 2), st.integers(n // 2 + 1, n)))) for n in whole.shape]
    part = RANDOM(image, **options, survey=survey, region=spans)
    assert np.array_equal(part, whole[slice(*spans[0]), slice(*spans[1])])


@pytest.mark.parametrize("pixels", [True, 1.5, "9000", float("nan"), -1, 0, 1, EDGE**2, 2 * EDGE**2, 4 * EDGE**2 - 1])
def test_what_is_no_number_of_pixels_is_refused(pixels: Any) -> None:
    with pytest.raises(ImageError, match=r"pixels must be .*not"):
        RANDOM.survey(textured(100, 100), pixels=pixels)


def test_samples_are_float32_unless_something_else_was_asked_for() -> None:
    image = textured(150, 150)
    for precision, expected in (("auto", "float32"), ("bfloat16", "bfloat16")):
        upscaler = Upscaler(RANDOM.model, device="cpu", precision=precision)
        survey = upscaler.survey(image, pixels=4 * EDGE**2)
        assert {run.precision for plane in survey.planes for run in plane.colours} == {expected}
        assert upscaler(image, survey=survey).shape == (300, 300)


class Remote:
    """An array that is only read by index, and remembers what was read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.seen = np.zeros(values.shape, bool)

    def __getitem__(self, index: Any) -> np.ndarray:
        self.seen[index] = True
        return self.values[index]


def test_only_the_samples_of_a_large_image_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.arrays.stack.LARGEST_READ", 0)
    image = Remote(textured(900, 900))
    survey = RANDOM.survey(image, pixels=4 * EDGE**2)
    assert 4 * EDGE**2 * 0.8 < image.seen.sum() < 900 * 900 * 0.1
    assert distance(survey, RANDOM.survey(image.values, pixels=4 * EDGE**2)) == 0


def test_progress_of_a_sampled_survey_never_goes_back() -> None:
    told: list[float] = []
    RANDOM.survey(textured(200, 200), scale=3, pixels=4 * EDGE**2, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_cancelled_sampled_survey_stops() -> None:
    asked: list[int] = []
    with pytest.raises(EscError, match="cancelled"):
        RANDOM.survey(textured(200, 200), pixels=4 * EDGE**2, cancel=lambda: len(asked.append(1) or asked) > 5)
    assert len(asked) == 6


# ------------------------------------------------------------------ what doesn't fit

Usage = namedtuple("Usage", "total used free")


def test_samples_that_do_not_fit_are_refused_with_the_number_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(0, 0, 0))
    frugal, image = RANDOM.with_memory_limit(150 * 2**20), textured(1600, 1600)
    with pytest.raises(EscError, match=r"of 600 samples don't fit .* take up to pixels=\d+\.") as refused:
        frugal.survey(image, pixels=600 * EDGE**2)
    pixels = int(str(refused.value).rpartition("=")[2].rstrip("."))
    assert frugal.survey(image, pixels=pixels).sampling.samples == pixels // EDGE**2
    with pytest.raises(EscError, match="don't fit"):
        frugal.survey(image, pixels=pixels + EDGE**2)


def test_an_exact_survey_that_does_not_fit_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(0, 0, 0))
    frugal = RANDOM.with_memory_limit(150 * 2**20)
    for call in (frugal, frugal.survey):
        with pytest.raises(EscError, match=r"TMPDIR to a larger disk.*torchrun \.\.\. esc-sr upscale.*--sampled, pixels="):
            call(textured(1600, 1600))


def test_a_folder_for_temporary_files_that_vanished_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(EscError, match=r"gone': No such file or directory; set TMPDIR\.$"):
        RANDOM.with_memory_limit(150 * 2**20)(textured(1600, 1600))


# ------------------------------------------------------------------ shared means


def film(frames: int = 3, samples: int = 0) -> np.ndarray:
    shape = (50, 60, samples) if samples else (50, 60, 1)
    stack = np.stack([noise(*shape, seed=t) // (t + 1) for t in range(frames)])
    return stack if samples else stack[..., 0]


def test_all_frames_have_the_mean_of_their_means() -> None:
    image = film()
    own, shared = RANDOM.survey(image, axes="TYX", scale=3), RANDOM.survey(image, axes="TYX", scale=3, shared="T")
    for run in range(2):
        expected = np.mean([plane.colours[run].means for plane in own.planes], 0, np.float64).astype(np.float32)
        assert all(np.array_equal(plane.colours[run].means, expected) for plane in shared.planes)
    assert shared.request.shared == "T"


def test_a_call_with_shared_means_surveys_first() -> None:
    image, options = film(), {"axes": "TYX", "shared": "T"}
    survey = RANDOM.survey(image, **options)
    whole = RANDOM(image, **options)
    assert np.array_equal(whole, RANDOM(image, survey=survey, **options))
    assert np.array_equal(whole[:, 10:30, 20:50], RANDOM(image, region=((10, 30), (20, 50)), **options))
    assert not np.array_equal(whole, RANDOM(image, axes="TYX"))


def test_a_still_film_is_not_changed_by_sharing() -> None:
    image = np.stack([textured(50, 60)] * 3)
    assert np.array_equal(RANDOM(image, axes="TYX", shared="T"), RANDOM(image, axes="TYX"))


def test_only_the_named_axes_share() -> None:
    image = film(4).reshape(2, 2, 50, 60)
    survey = RANDOM.survey(image, axes="TCYX", shared="t")
    first, second, third, fourth = (plane.colours[0].means for plane in survey.planes)
    assert np.array_equal(first, third)
    assert np.array_equal(second, fourth)
    assert not np.array_equal(first, second)
    one = RANDOM.survey(image, axes="TCYX", shared="CT")
    assert len({plane.colours[0].means.tobytes() for plane in one.planes}) == 1
    assert one.request == RANDOM.request(image, axes="TCYX", shared="TC")


def test_opacity_stays_each_planes_own() -> None:
    image = film(3, samples=4)
    image[1, ..., 3] = 255
    survey = RANDOM.survey(image, axes="TYXS", shared="T")
    assert [plane.opaque for plane in survey.planes] == [False, True, False]
    assert [len(plane.alpha) for plane in survey.planes] == [1, 0, 1]
    assert np.array_equal(survey.planes[0].alpha[0].means, survey.planes[2].alpha[0].means)
    assert np.array_equal(survey.planes[0].colours[0].means, survey.planes[1].colours[0].means)
    assert (RANDOM(image, axes="TYXS", survey=survey, shared="T")[1, ..., 3] == 255).all()


def test_a_call_must_share_as_its_survey_does() -> None:
    image = film()
    with pytest.raises(ImageError, match=r"serves shared='T', not shared=''"):
        RANDOM(image, axes="TYX", survey=RANDOM.survey(image, axes="TYX", shared="T"))
    with pytest.raises(ImageError, match=r"serves shared='', not shared='T'"):
        RANDOM(image, axes="TYX", shared="T", survey=RANDOM.survey(image, axes="TYX"))


@pytest.mark.parametrize("shared", ["Z", "Y", "X", "S", "TX", 1, ["T"]])
def test_axes_that_cannot_share_are_refused(shared: Any) -> None:
    with pytest.raises(ImageError, match="shared must be axes that count planes, of 'T', not"):
        RANDOM(film(), axes="TYX", shared=shared)


def test_an_image_of_one_plane_has_nothing_to_share() -> None:
    with pytest.raises(ImageError, match="this image has none"):
        RANDOM.survey(textured(50, 60), shared="T", pixels=ALL)


def test_samples_and_shared_means_go_together() -> None:
    image = np.stack([textured(150, 170), textured(150, 170) // 2])
    own = RANDOM.survey(image, axes="TYX", pixels=4 * EDGE**2)
    shared = RANDOM.survey(image, axes="TYX", pixels=4 * EDGE**2, shared="T")
    expected = np.mean([plane.colours[0].means for plane in own.planes], 0, np.float64).astype(np.float32)
    assert all(np.array_equal(plane.colours[0].means, expected) for plane in shared.planes)
