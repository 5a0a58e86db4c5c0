"""Images that are looked at again and again, and parts of them compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esc_plugin import Upscaler
from esc_plugin.arrays.consistency import Part, difference
from esc_plugin.arrays.layout import layout_of
from esc_plugin.arrays.sizes import enlarged_span
from esc_plugin.session import loaded, work
from esc_plugin.session.recent import Recent
from esc_plugin.session.task import Settings, Task, letters_of
from esc_plugin.session.views import identity, survey_record, survey_text
from esc_plugin.survey import Sampling


@pytest.mark.parametrize("target", [(60, 80), (45, 64), (31, 41)])
def test_the_difference_of_a_part_is_that_part_of_the_difference(target: tuple[int, int]) -> None:
    """Whatever the factor: where it isn't whole, pixels of both grids overlap otherwise at each place."""
    chance = np.random.default_rng(0)
    image, upscaled = (chance.integers(0, 4000, size).astype(np.uint16) for size in ((30, 40), target))
    whole, _ = difference(
        image, upscaled, part=Part((0, 30), (0, 40), (30, 40), target)
    )  # other factors down and across, too
    for rows, columns in (((0, 30), (0, 40)), ((3, 17), (5, 40)), ((29, 30), (7, 8))):
        spans = [enlarged_span(*part, n, t) for part, n, t in zip((rows, columns), (30, 40), target, strict=True)]
        cut, under = np.s_[slice(*rows), slice(*columns)], tuple(slice(*span) for span in spans)
        part, agreement = difference(image[cut], upscaled[under], part=Part(rows, columns, (30, 40), target))
        np.testing.assert_allclose(part, whole[cut], atol=1e-3)
        assert agreement.bias == pytest.approx(-float(whole[cut].mean()), abs=1e-3)


@pytest.mark.parametrize("change", [lambda a: a.__setitem__((1, 7, 9), 5), lambda a: a.sort(1), lambda a: a.dtype])
def test_an_image_in_memory_is_told_from_itself_after_any_change(change: Any) -> None:
    image = np.random.default_rng(0).integers(6, 90, (2, 20, 30)).astype(np.uint16)
    layout = layout_of(image, "ZYX")
    before, same = identity(image, layout), image.copy()
    change(image)
    assert (identity(image, layout) == before) == np.array_equal(image, same)
    assert identity(np.asfortranarray(same), layout) == before


def test_parts_of_a_file_are_told_from_each_other(tmp_path: Path) -> None:
    """NumPy gives each view of a memory map the name and the offset of the whole: channels would share their levels."""
    pytest.importorskip("dask", reason="arrays that aren't in memory need it")
    np.arange(2 * 20 * 30, dtype=np.uint16).tofile(tmp_path / "both")
    both = np.memmap(tmp_path / "both", np.uint16, "r", shape=(20, 2, 30))
    first, second = both[:, 0], both[:, 1]
    layout = layout_of(first, "YX")
    assert identity(first, layout) != identity(second, layout)
    assert identity(first, layout) == identity(both[:, 0], layout)
    assert identity(first[:, ::-1], layout) != identity(first, layout)


def test_only_the_latest_results_are_kept() -> None:
    recent, made = Recent(kept=2), []
    for key in "ababcbca":
        recent.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "a"]
    assert (recent.get("b"), recent.get("c"), recent.get("a")) == (None, "c", "a")


def test_a_sampled_survey_says_so_in_units_of_the_image() -> None:
    exact = Upscaler("esc-nano-x2", device="cpu").survey(np.zeros((16, 16), np.uint16), intensity=(100, 600))
    sampled = replace(exact, sampling=Sampling(4, 16384, 0.002))
    assert survey_record(exact) == {"method": "exact", "digest": exact.digest}
    assert survey_text(survey_record(exact)) == ""
    told = {"method": "sampled", "digest": sampled.digest, "samples": 4, "pixels": 16384, "difference": 1.0}
    assert survey_record(sampled) == told
    assert survey_text(told) == "from 4 samples: differs from the exact result by about 1"


@pytest.mark.parametrize("pixels", [1, 300, 5000, 10**9])
def test_the_central_part_is_inside_and_about_that_large(pixels: int) -> None:
    region = (slice(2, 3), slice(10, 110), slice(20, 220))
    task = Task([np.zeros((4, 300, 300), np.uint8)], "AYX", region, Settings("any", (2.0, 2.0)))
    part = task.central(pixels).region
    assert part[0] == region[0]
    height, width = (side.stop - side.start for side in part[1:])
    for inner, outer in zip(part[1:], region[1:], strict=True):
        assert outer.start <= inner.start < inner.stop <= outer.stop
        assert abs((inner.start - outer.start) - (outer.stop - inner.stop)) <= 1  # in the middle
    assert height * width <= max(2 * pixels, 16 * 16)  # an edge isn't shrunk below 16


@pytest.mark.parametrize(
    ("labels", "ndim", "rgb", "letters"),
    [
        (("t", "z", "y", "x"), 4, False, "TZYX"),
        (("Time", "Channel", "Z", "Y", "X"), 5, False, "TCZYX"),
        (("c", "c", "y", "x"), 4, False, "CZYX"),
        (("depth", "position", "y", "x"), 4, False, "ZAYX"),
        (("axis -3", "axis -2", "axis -1"), 3, False, "ZYX"),
        ((), 4, True, "AZYXS"),
    ],
)
def test_axes_are_what_their_labels_say(labels: tuple[str, ...], ndim: int, rgb: bool, letters: str) -> None:
    assert letters_of(labels, ndim, rgb) == letters


def test_what_a_download_takes_is_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates learn from runs: the time until a model is there must not count as the network's."""
    clock, load = [0.0], loaded.load_on_device

    def slowly(*args: Any, **options: Any) -> loaded.LoadedModel:
        clock[0] += 1000
        return load(*args, **options)

    monkeypatch.setattr(loaded, "load_on_device", slowly)
    monkeypatch.setattr(work.time, "perf_counter", lambda: clock[0])
    image = np.zeros((20, 20), np.uint16)
    task = Task([image], "YX", (slice(0, 20), slice(0, 20)), Settings("esc-nano-x2", (2.0, 2.0), device="cpu"))
    assert work.run(task).seconds == 0
    assert clock[0] == 1000
