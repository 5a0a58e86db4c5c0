"""A region of the result of any call is that rectangle of the whole result, and only what it needs is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import Upscaler
from esc_plugin.arrays.layout import DTYPES, layout_of
from esc_plugin.engine import parts_that_fit
from esc_plugin.weights.model import read_model

from .golden import Golden, golden_cases
from .small import nearest_upscaler, random_upscaler

NEAREST, RANDOM, LTE, SHORT = nearest_upscaler(), random_upscaler(), random_upscaler(4, "lte"), random_upscaler()
SHORT.precision = "bfloat16"

#: By how much a network's own rounding may differ where a region is smaller than what one convolution takes at once.
ROUNDING = {"f": 1e-4, "i": 1, "u": 1, "b": 0}


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[int, int]:
    start = draw(st.integers(0, length - 1) | st.just(0))
    return start, draw(st.integers(start + 1, length) | st.just(length) | st.just(start + 1))


def region_of(whole: np.ndarray, axes: str, draw: st.DataObject) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = (draw.draw(spans(whole.shape[axes.index(a)])) for a in "YX")
    return rows, columns


def cut(whole: np.ndarray, axes: str, region: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    places = {"Y": slice(*region[0]), "X": slice(*region[1])}
    return whole[tuple(places.get(a, slice(None)) for a in axes)]


def check(upscaler: Upscaler, image: np.ndarray, axes: str, draw: st.DataObject, exact: bool, **options: Any) -> None:
    """Compare two regions with the whole, made without a survey and made with one."""
    survey = upscaler.survey(image, axes=axes, **options)
    whole = upscaler(image, axes=axes, **options)
    np.testing.assert_array_equal(upscaler(image, axes=axes, survey=survey, **options), whole)
    for _ in range(2):
        region = region_of(whole, axes, draw)
        found = upscaler(image, axes=axes, region=region, survey=survey, **options)
        assert found.dtype == whole.dtype
        assert_equal(found, cut(whole, axes, region), exact, spread_of(whole))


def spread_of(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)].astype(float)
    return float(finite.max() - finite.min()) if finite.size else 0.0


def assert_equal(found: np.ndarray, expected: np.ndarray, exact: bool, spread: float) -> None:
    if exact:
        np.testing.assert_array_equal(found, expected)
        return
    kind = found.dtype.kind
    step = float(np.finfo(found.dtype).eps) if kind == "f" else 0
    tolerance = ROUNDING[kind] * (max(spread, 1e-30) if kind == "f" else 1)
    if kind == "b":  # a value in the middle may fall on either side
        assert (found != expected).mean() <= 0.02
    else:
        np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=step, atol=tolerance)


def noise(shape: tuple[int, ...], dtype: Any, seed: int) -> np.ndarray:
    """Return values that each dtype can hold, some of them far above the others."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 100, shape)
    if np.dtype(dtype) == bool:
        return (values % 2).astype(bool)
    hot = rng.random(shape) < 0.03
    return np.where(hot, 120, values).astype(dtype) * np.dtype(dtype).type(1 if np.dtype(dtype).itemsize == 1 else 4)


@st.composite
def stacks(draw: st.DrawFn, dtypes: Any = DTYPES, samples: str = "1234") -> tuple[np.ndarray, str]:
    """Draw an image of any axes and dtype; where it has transparency, some planes are opaque and some aren't."""
    letters = draw(st.lists(st.sampled_from("TZC"), unique=True, max_size=2))
    letters += ["Y", "X", *draw(st.sampled_from(["", "S"]))]
    axes = "".join(draw(st.permutations(letters)))
    sides = st.integers(1, 40) | st.just(1)
    shape = tuple(draw(sides if a in "YX" else st.sampled_from([int(n) for n in samples]) if a == "S" else st.integers(1, 2))
                  for a in axes)  # fmt: skip
    image = noise(shape, draw(st.sampled_from(dtypes)), draw(st.integers(0, 99)))
    layout = layout_of(image, axes)
    for index in layout.planes():
        if layout.alpha:
            alpha = layout.plane(image, index)[..., -1]
            top = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
            shares = np.random.default_rng(draw(st.integers(0, 99))).random(alpha.shape)
            alpha[...] = top if draw(st.booleans()) else (shares * top).astype(image.dtype)
    return image, axes


#: 2.2 is stretched by the filter, and the others aren't.
SCALES = st.sampled_from([2, 4, 3.3, 2.2, 0.5, 1])
PASSES = st.sampled_from([None, None, 1, 2])
INTENSITIES = st.sampled_from(["auto", "range", "minmax", "percentile:5,95", (10, 80)])


@given(stacks(), st.data())
@settings(max_examples=15)
def test_a_region_of_any_array(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    """With a network whose arithmetic is exact, all that is around it must be equal to the bit."""
    image, axes = stack
    options = {"scale": draw.draw(SCALES), "intensity": draw.draw(INTENSITIES)}
    options |= {"alpha": draw.draw(st.sampled_from(["network", "lanczos"])), "linear_light": draw.draw(st.booleans())}
    options |= {"passes": draw.draw(PASSES)}
    check(NEAREST, image, axes, draw, True, **options)


@given(stacks(), st.data())
@settings(max_examples=15)
def test_a_region_of_any_array_with_a_network_that_mixes_pixels(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    image, axes = stack
    options = {"scale": draw.draw(SCALES), "alpha": draw.draw(st.sampled_from(["network", "lanczos"]))}
    options |= {"passes": draw.draw(PASSES)}
    exact = image.dtype.kind != "b" and options["scale"] in (0.5, 1) and options["passes"] is None
    check(RANDOM, image, axes, draw, exact, **options)


@given(stacks(["float16", "float32", "float64"], "13"), st.data())
@settings(max_examples=15)
def test_what_is_not_finite_in_a_region(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    """The value that stands in belongs to the whole, also where a region, or its plane, holds nothing else."""
    image, axes = stack
    rng = np.random.default_rng(draw.draw(st.integers(0, 99)))
    share = draw.draw(st.sampled_from([0.02, 0.5, 1]))
    image[rng.random(image.shape) < share] = draw.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    upscaler = draw.draw(st.sampled_from([NEAREST, RANDOM]))
    intensity = draw.draw(st.sampled_from(["auto", "minmax", (10, 80)]))
    options = {"scale": draw.draw(st.sampled_from([2, 4, 3.3, 0.5])), "intensity": intensity}
    check(upscaler, image, axes, draw, upscaler is NEAREST, nan="keep", **options)


@given(stacks([name for name in DTYPES if name != "bool"], "13"), st.data())
@settings(max_examples=15)
def test_consistency_in_a_region(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    image, axes = stack
    upscaler, scale = draw.draw(st.sampled_from([NEAREST, RANDOM])), draw.draw(st.sampled_from([1, 2, 3, 4]))
    check(upscaler, image, axes, draw, upscaler is NEAREST, scale=scale, consistency=True)
    if image.dtype.kind == "f":
        return
    layout = layout_of(image, axes)
    rows, columns = (draw.draw(spans(n)) for n in (layout.height, layout.width))
    region = tuple((scale * start, scale * stop) for start, stop in (rows, columns))
    found = upscaler(image, axes=axes, scale=scale, consistency=True, region=region)
    there = layout_of(found, axes)
    for index in layout.planes():
        expected = layout.plane(image, index)[slice(*rows), slice(*columns)]
        blocks = there.plane(found, index).reshape(expected.shape[0], scale, expected.shape[1], scale, -1)
        sums = blocks.sum((1, 3), dtype=np.int64).reshape(expected.shape)
        np.testing.assert_array_equal(sums, expected.astype(np.int64) * scale**2)


@given(stacks(["uint8", "uint16", "float32"]), st.data())
@settings(max_examples=15)
def test_a_region_of_any_scale(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    image, axes = stack
    check(LTE, image, axes, draw, False, scale=draw.draw(st.floats(0.3, 7)), passes=draw.draw(st.sampled_from([None, 1])))


@given(stacks(["uint8", "float32"]), st.data())
@settings(max_examples=15)
def test_a_region_in_a_short_precision(stack: tuple[np.ndarray, str], draw: st.DataObject) -> None:
    image, axes = stack
    assert {run.precision for plane in SHORT.survey(image, axes=axes).planes for run in plane.colours} == {"bfloat16"}
    whole = SHORT(image, axes=axes, scale=4)
    region = region_of(whole, axes, draw)
    found = SHORT(image, axes=axes, scale=4, region=region).astype(float)
    assert np.abs(found - cut(whole, axes, region)).max() <= 0.03 * max(spread_of(whole), 1)


@pytest.mark.parametrize("target", [(150, 130), (300, 90), (20, 200), (512, 512)])
def test_parts_that_are_rendered_one_after_the_other(target: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """When maps of all of a region don't fit into memory, whatever comes after the network: more runs, a filter."""
    monkeypatch.setattr("esc_plugin.engine.parts.LEAST_PART", 16)
    image = noise((90, 110, 3), "uint16", 0)
    survey = RANDOM.survey(image, size=target)
    region = (5, target[0] - 3), (7, target[1])
    whole = cut(RANDOM(image, size=target), "YXS", region)
    limit = RANDOM.plan(8, 8).device_bytes + 6 * 2**20
    low = RANDOM.with_memory_limit(limit)
    parts: list[Any] = []

    def counted(*arguments: Any) -> Any:
        for part in parts_that_fit(*arguments):
            parts.append(part)
            yield part

    monkeypatch.setattr("esc_plugin.runner.parts_that_fit", counted)
    found = low(image, size=target, region=region, survey=survey)
    assert len(parts) > 2
    assert not any(plan.disk_bytes for _, plan in parts)
    assert_equal(found, whole, False, 0)


FAMILIES = ["dysample_x2", "dysample_x4", "unshuffle", "rib", "lte", "fp", "flashbias", "pa_up"]


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_a_region_of_every_family(shared: Any, case: Golden) -> None:
    if not any(name in case.name for name in FAMILIES):
        pytest.skip("the engine's own tests have them all")
    upscaler = Upscaler(read_model(case.path, window_size=case.window_size), device="cpu", precision="float32")
    scale = upscaler.model.scale

    @settings(max_examples=2)
    @given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.data())
    def check_case(size: tuple[int, int], draw: st.DataObject) -> None:
        image = np.random.default_rng(0).random((*size, 3), np.float32)
        wished = draw.draw(st.sampled_from([scale, scale**2 if scale == 2 else scale, scale * 0.8 + 1]))
        seen: list[float] = []
        survey = upscaler.survey(image, scale=wished)
        whole = upscaler(image, scale=wished)
        region = region_of(whole, "YX", draw)
        found = upscaler(
            image, scale=wished, region=region, survey=survey, progress=lambda done, total: seen.append(done / total)
        )
        assert_equal(found, cut(whole, "YX", region), False, spread_of(whole))
        assert seen == sorted(seen)
        assert seen[-1] == 1

    check_case()
