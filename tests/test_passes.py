"""How often a network runs: as seldom as the stated limit lets it, or as often as is asked for."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from esc_plugin import ImageError, Upscaler
from esc_plugin.arrays.passes import LARGEST_STRETCH, described, pass_sizes
from esc_plugin.arrays.sizes import Size
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.files import read_provenance
from esc_plugin.measure.duration import work
from esc_plugin.provenance import facts_of
from esc_plugin.survey import Survey, digest_of

from .small import random_upscaler

RANDOM, LTE, SAME = random_upscaler(), random_upscaler(4, "lte"), random_upscaler(1)
SIZES = st.tuples(st.integers(1, 500), st.integers(1, 500))
STATED = {"intensity": (0, 1)}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def lanczos(values: np.ndarray, target: Size) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(target[::-1], Image.Resampling.LANCZOS))


def runs(upscaler: Upscaler, image: np.ndarray, **options: Any) -> int:
    """Return how often the network really ran, by the means that were found."""
    return len(upscaler.survey(image, **options).planes[0].colours)


@given(SIZES, st.tuples(st.floats(0.1, 64), st.floats(0.1, 64)), st.integers(2, 8))
def test_a_network_runs_no_more_often_than_it_must(size: Size, factors: tuple[float, float], scale: int) -> None:
    target = max(round(size[0] * factors[0]), 1), max(round(size[1] * factors[1]), 1)
    made = pass_sizes(size, target, scale)
    grows = target[0] > size[0] or target[1] > size[1]
    assert (len(made) > 1) == grows
    assert made == [(size[0] * scale**i, size[1] * scale**i) for i in range(len(made))]
    if grows:
        near = [all(t <= ceil(n * LARGEST_STRETCH) for n, t in zip(each, target, strict=True)) for each in made[1:]]
        assert near == [False] * (len(near) - 1) + [True]


@pytest.mark.parametrize(
    ("upscaler", "options", "count"),
    [
        (RANDOM, {"scale": 2.08}, 1),  # used to be 2, which take four times as long
        (RANDOM, {"scale": 4}, 2),
        (RANDOM, {"scale": 1.2}, 1),
        (RANDOM, {"scale": 1}, 0),
        (RANDOM, {"scale": 1, "passes": 1}, 1),
        (RANDOM, {"scale": 0.5, "passes": 1}, 1),
        (RANDOM, {"scale": 2.08, "passes": 2}, 2),
        (RANDOM, {"scale": 4, "passes": 0}, 0),
        (RANDOM, {"scale": 8, "passes": 1}, 1),
        (LTE, {"scale": 7}, 1),
        (LTE, {"scale": 0.5}, 0),
        (LTE, {"scale": 0.5, "passes": 1}, 1),
        (SAME, {"scale": 1}, 1),
        (SAME, {"scale": 0.5}, 1),
        (SAME, {"scale": 3}, 1),
        (SAME, {"passes": 2}, 2),
    ],
)
def test_a_network_runs_as_often_as_is_said(upscaler: Upscaler, options: dict[str, Any], count: int) -> None:
    image = noise(12, 17)
    assert upscaler.request(image, **options).passes == count
    assert runs(upscaler, image, **options) == count
    assert upscaler(image, **options).shape == upscaler.request(image, **options).target


@pytest.mark.parametrize("factor", [0.6, 1, 2.2, 3.5])
def test_a_filter_brings_what_one_pass_made_to_the_size(factor: float) -> None:
    image = noise(30, 41)
    target = round(30 * factor), round(41 * factor)
    found = RANDOM(image, size=target, passes=1, **STATED)
    np.testing.assert_allclose(found, lanczos(RANDOM(image, **STATED), target), atol=1e-5)


def test_a_network_for_any_scale_cleans_at_its_own_scale() -> None:
    image = noise(20, 31)
    found = LTE(image, scale=1, passes=1, **STATED)
    np.testing.assert_allclose(found, lanczos(LTE(image, scale=4, **STATED), (20, 31)), atol=1e-5)
    np.testing.assert_array_equal(LTE(image, scale=3, passes=1), LTE(image, scale=3))


@pytest.mark.parametrize(
    ("upscaler", "passes", "most"),
    [(RANDOM, 7, 6), (RANDOM, -1, 6), (RANDOM, 1.0, 6), (RANDOM, True, 6), (RANDOM, "1", 6), (LTE, 2, 1), (SAME, 7, 6)],
)
def test_passes_that_can_not_be(upscaler: Upscaler, passes: Any, most: int) -> None:
    with pytest.raises(ImageError, match=f"passes must be a whole number from 0 to {most} for this model, not {passes!r}"):
        upscaler.request(noise(4, 4), passes=passes)


def test_time_is_that_of_the_passes() -> None:
    assert work(RANDOM, (50, 50), (104, 104)) == work(RANDOM, (50, 50), (100, 100))
    assert work(RANDOM, (50, 50), (104, 104), passes=2) == 5 * work(RANDOM, (50, 50), (100, 100))
    assert work(RANDOM, (50, 50), (50, 50)) == 0
    assert work(RANDOM, (50, 50), (50, 50), passes=1) == work(RANDOM, (50, 50), (100, 100))


@pytest.mark.parametrize(
    ("target", "scale", "passes", "any_scale", "said"),
    [
        ((200, 400), 2, None, False, "1 pass x2"),
        ((208, 416), 2, None, False, "1 pass x2, then Lanczos x1.04"),
        ((270, 540), 2, None, False, "2 passes x2, then Lanczos x0.675"),
        ((100, 200), 2, 1, False, "1 pass x2, then Lanczos x0.5"),
        ((100, 100), 2, 1, False, "1 pass x2, then Lanczos x0.25 by x0.5 (across by down)"),
        ((50, 100), 2, None, False, "0 passes, then Lanczos x0.5"),
        ((100, 200), 2, None, False, "0 passes"),
        ((270, 540), 4, None, True, "1 pass x2.7"),
        ((50, 100), 4, 1, True, "1 pass x4, then Lanczos x0.125"),
        ((100, 200), 1, None, False, "1 pass x1"),
        ((101, 201), 2, None, False, "1 pass x2, then Lanczos x0.505"),
    ],
)
def test_it_is_said_in_words(target: Size, scale: int, passes: int | None, any_scale: bool, said: str) -> None:
    assert described((100, 200), target, scale, passes, any_scale) == said


def test_a_file_says_what_was_done(tmp_path: Path) -> None:
    Image.fromarray((noise(20, 25) * 255).astype(np.uint8)).save(tmp_path / "a.png")
    Batch(RANDOM, options={"passes": 2}).upscale_file(Job(tmp_path / "a.png", tmp_path / "b.png"))
    record = read_provenance(tmp_path / "b.png")
    assert (record["passes"], record["steps"]) == (2, "2 passes x2, then Lanczos x0.5")
    assert facts_of(record)["Steps"] == record["steps"]


# ------------------------------------------------------------------ surveys


def test_a_survey_is_of_so_many_passes() -> None:
    image = noise(20, 25)
    found = RANDOM.survey(image, scale=2.08)
    np.testing.assert_array_equal(RANDOM(image, scale=2.08, passes=1, survey=found), RANDOM(image, scale=2.08))
    with pytest.raises(ImageError, match=r"serves passes=1, not passes=2"):
        RANDOM(image, scale=2.08, passes=2, survey=found)


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_a_survey_of_an_earlier_version_is_read(passes: int) -> None:
    """In it the passes are counted."""
    image = noise(20, 25)
    found = RANDOM.survey(image, scale=2.08, passes=passes)
    content = json.loads(found.to_json())
    del content["request"]["passes"]
    content["digest"] = digest_of(content)
    again = Survey.from_json(json.dumps(content))
    assert again.request == found.request
    np.testing.assert_array_equal(
        RANDOM(image, scale=2.08, passes=passes, survey=again), RANDOM(image, scale=2.08, passes=passes)
    )
