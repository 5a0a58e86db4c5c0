"""How much of a result is the network's: strength, masks, and a second model, beside a slow reading of what they mean."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import ImageError, Upscaler
from esc_plugin.arrays import blend
from esc_plugin.arrays.passes import pass_sizes
from esc_plugin.arrays.resample import to_gamma, to_linear
from esc_plugin.network.grid import Region
from esc_plugin.survey import Survey, digest_of

from .small import nearest_upscaler, random_upscaler

NEAREST, RANDOM = nearest_upscaler(), random_upscaler()
DTYPES = ["uint8", "uint16", "int16", "float32", "float64"]
Size = tuple[int, int]


def lanczos(values: np.ndarray, target: Size) -> np.ndarray:
    """Resize (Y, X, ...) in float64, as Pillow does: one pixel after the other, with the weights of each from scratch."""
    for axis, length in enumerate(target):
        values = np.moveaxis(values, axis, 0)
        factor = len(values) / length
        wide, lines = max(factor, 1), []
        for i in range(length):
            distance = (np.arange(len(values)) + 0.5 - (i + 0.5) * factor) / wide
            weights = np.where(abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
            lines.append(np.tensordot(weights / weights.sum(), values, 1))
        values = np.moveaxis(np.array(lines), 0, axis)
    return values


def of_network(upscaler: Upscaler, unit: np.ndarray, target: Size) -> np.ndarray:
    """Upscale (Y, X) or (Y, X, 3) in 0..1 as float64 values that nothing was done to."""
    colours = np.repeat(unit[..., None], 3, 2) if unit.ndim == 2 else unit
    made = torch.from_numpy(colours.astype(np.float32)).permute(2, 0, 1)[None]
    for _ in pass_sizes(unit.shape[:2], target, upscaler.model.scale)[1:]:
        made = upscaler.run(made)
    made = lanczos(made[0].permute(1, 2, 0).numpy().astype(float), target)
    return made.mean(2) if unit.ndim == 2 else made


def weights(strength: float, mask: np.ndarray | None, target: Size) -> Any:
    return strength if mask is None else strength * lanczos(mask.astype(float), target).clip(0, 1)


def oracle(upscaler: Upscaler, unit: np.ndarray, target: Size, strength: float, mask: np.ndarray | None) -> np.ndarray:
    """Upscale, resize, mix."""
    weight = weights(strength, mask, target)
    weight = weight[..., None] if unit.ndim == 3 and mask is not None else weight
    return weight * of_network(upscaler, unit, target) + (1 - weight) * lanczos(unit, target)


def image_of(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape)
    return values.astype(dtype) if dtype.startswith("f") else (values * 200).astype(dtype)


def mask_of(shape: Size, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@settings(max_examples=40)
@given(
    st.integers(9, 30),
    st.integers(9, 30),
    st.booleans(),
    st.sampled_from(DTYPES),
    st.sampled_from([0.5, 1, 2, 2.6]),
    st.floats(0, 1),
    st.sampled_from([None, 0.4, 1.0, 2.0, 5.0]),
    st.integers(0, 99),
)
def test_the_mixture_is_what_it_says(
    height: int, width: int, colour: bool, dtype: str, scale: float, strength: float, masked: float | None, seed: int
) -> None:
    image = image_of((height, width, 3) if colour else (height, width), dtype, seed)
    mask = None if masked is None else mask_of((max(round(height * masked), 1), max(round(width * masked), 1)), seed)
    high = 1.0 if dtype.startswith("f") else 200.0
    found = RANDOM(image, scale=scale, intensity=(0, high), strength=strength, mask=mask)
    if scale <= 1:
        wanted = lanczos(image / high, found.shape[:2])
    else:
        wanted = oracle(RANDOM, image / high, found.shape[:2], strength, mask)
    if not dtype.startswith("f"):
        limits = np.iinfo(dtype)
        wanted = (wanted * high).clip(limits.min, limits.max) / high
    tolerance = 1e-4 if dtype.startswith("f") else 0.51
    np.testing.assert_allclose(found.astype(float), wanted * high, rtol=0, atol=tolerance)


@pytest.mark.parametrize("alpha", ["network", "lanczos"])
def test_transparency_is_mixed_too(alpha: str) -> None:
    image, mask = image_of((20, 22, 4), "float32", 1), mask_of((20, 22))
    image[..., 3] = image[..., 3] / 2 + 0.5
    found = RANDOM(image, alpha=alpha, intensity="range", strength=0.7, mask=mask)
    target = found.shape[:2]
    opacity = image[..., 3].astype(float)
    seen = oracle(RANDOM, opacity, target, 0.7 if alpha == "network" else 0, mask).clip(0, 1)
    colours = oracle(RANDOM, image[..., :3] * opacity[..., None], target, 0.7, mask) / seen[..., None]
    colours = np.where(seen[..., None] < 1, colours.clip(0, 1), colours)
    np.testing.assert_allclose(found[..., 3], seen, atol=1e-4)
    np.testing.assert_allclose(found[..., :3], colours, atol=1e-3)


def test_the_original_is_filtered_in_linear_light_if_asked_for() -> None:
    image = image_of((16, 18), "float32", 2)
    found = NEAREST(image, intensity="range", strength=0.25, linear_light=True)
    interpolated = to_gamma(lanczos(to_linear(image.astype(float)), found.shape))
    np.testing.assert_allclose(found, 0.25 * np.kron(image, np.ones((2, 2))) + 0.75 * interpolated, atol=1e-5)


def test_consistency_is_projected_after_the_mixture() -> None:
    image = image_of((18, 20), "uint16", 3)
    found = RANDOM(image, strength=0.3, consistency=True)
    np.testing.assert_array_equal(found.reshape(18, 2, 20, 2).sum((1, 3)), image.astype(int) * 4)
    assert (found != RANDOM(image, consistency=True)).any()


@pytest.mark.parametrize("strength", [0, 0.5])
def test_what_lies_beyond_the_levels_and_nan_are_as_ever(strength: float) -> None:
    image = np.full((24, 24), 0.5, np.float32)
    image[12, 12], image[3, 4] = 40, np.nan
    found = NEAREST(image, intensity=(0, 1), nan="keep", strength=strength)
    assert np.isnan(found[6:8, 8:10]).all()
    assert np.isnan(found).sum() == 4
    assert found[24:26, 24:26].max() > 20  # hot pixels are enlarged linearly, and count fully


def test_a_strength_of_1_without_a_mask_changes_no_bit_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of((30, 31, 3), "float32", 4)
    before = RANDOM(image)
    monkeypatch.setattr(blend, "resize", None)  # nothing is interpolated
    np.testing.assert_array_equal(RANDOM(image, strength=1), before)
    assert RANDOM.stack(RANDOM.request(image), []).reads == RANDOM.stack(RANDOM.request(image, strength=1.0), []).reads


def test_where_a_mask_is_1_all_is_the_networks_and_where_0_nothing() -> None:
    image, mask = image_of((40, 40), "float32", 5), np.zeros((80, 80), np.uint8)
    mask[:, 40:] = 255
    found = RANDOM(image, mask=mask)
    np.testing.assert_array_equal(found[:, 40:], RANDOM(image)[:, 40:])
    np.testing.assert_array_equal(found[:, :40], RANDOM(image, strength=0)[:, :40])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float64"])
def test_masks_of_any_type_say_the_same(dtype: str) -> None:
    mask = np.arange(400).reshape(20, 20) % 3 == 0
    high = np.iinfo(dtype).max if dtype.startswith("u") else 1
    image = image_of((20, 20), "float32", 6)
    np.testing.assert_array_equal(RANDOM(image, mask=mask), RANDOM(image, mask=mask.astype(dtype) * np.array(high, dtype)))


def test_without_the_network_none_runs() -> None:
    image = image_of((2, 30, 30), "uint8", 7)
    whole = RANDOM(image, axes="TYX", strength=0)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the network ran")

    idle = random_upscaler()
    idle.stream = fail  # type: ignore[method-assign, assignment]
    np.testing.assert_array_equal(idle(image, axes="TYX", strength=0, shared="T"), whole)
    found = idle(image, axes="TYX", strength=0, region=((5, 30), (7, 60)))
    np.testing.assert_array_equal(found, whole[:, 5:30, 7:60])


@settings(max_examples=25)
@given(
    st.sampled_from(["gray", "rgba", "nan", "consistency"]),
    st.sampled_from([2, 2.6, 1.0, 0.7]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.booleans(),
    st.data(),
)
def test_regions_are_those_of_the_whole(kind: str, scale: float, strength: float, masked: bool, draw: st.DataObject) -> None:
    image = image_of((60, 50, 4) if kind == "rgba" else (60, 50), "float32", 8)
    options: dict[str, Any] = {"scale": scale, "strength": strength, "mask": mask_of((90, 75)) if masked else None}
    if kind == "nan":
        image[::7, ::5] = np.nan
        options["nan"] = "keep"
    if kind == "consistency" and scale in (1, 2):
        options["consistency"] = True
    whole = RANDOM(image, **options)
    spans = []
    for length in whole.shape[:2]:
        start = draw.draw(st.integers(0, length - 1))
        spans.append((start, draw.draw(st.integers(start + 1, length))))
    survey = RANDOM.survey(image, **{name: value for name, value in options.items() if name != "mask"})
    found = RANDOM(image, **options, region=tuple(spans), survey=survey)
    np.testing.assert_array_equal(found, whole[slice(*spans[0]), slice(*spans[1])])


def test_bands_are_blended_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = image_of((64, 70, 3), "float32", 9), mask_of((64, 70))
    whole = RANDOM(image, strength=0.6, mask=mask)
    monkeypatch.setattr(blend, "BAND_VALUES", 1000)
    np.testing.assert_array_equal(RANDOM(image, strength=0.6, mask=mask), whole)


@pytest.mark.parametrize("strength", [0, 0.3, 1])
def test_lazy_results_are_blended_too(strength: float) -> None:
    da = pytest.importorskip("dask.array")
    image, mask = image_of((2, 70, 60), "uint16", 10), mask_of((35, 30))
    whole = RANDOM(image, axes="TYX", strength=strength, mask=mask)
    for source in (image, da.from_array(image, chunks=(1, 32, 32))):
        found = RANDOM.lazy(source, axes="TYX", strength=strength, mask=mask, chunks=48)
        np.testing.assert_array_equal(found.compute(scheduler="synchronous"), whole)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).compute(scheduler="synchronous"), whole)


def test_a_survey_serves_any_strength_and_mask() -> None:
    image, mask = image_of((50, 40), "float32", 11), mask_of((50, 40))
    survey = Survey.from_json(RANDOM.survey(image).to_json())
    for strength in (0, 0.2, 1):
        options: dict[str, Any] = {"strength": strength, "mask": mask}
        np.testing.assert_array_equal(RANDOM(image, survey=survey, **options), RANDOM(image, **options))
    other = RANDOM.survey(image, strength=0)
    np.testing.assert_array_equal(RANDOM(image, survey=other), RANDOM(image))


def test_a_survey_of_before_there_was_a_strength_still_serves() -> None:
    image = image_of((30, 30), "uint8", 12)
    content = json.loads(RANDOM.survey(image).to_json())
    assert "strength" not in content["request"]
    content["digest"] = digest_of(content)
    assert Survey.from_json(json.dumps(content)).request.strength == 1
    asked = RANDOM.survey(image, strength=0.5)
    assert Survey.from_json(asked.to_json()).request == replace(asked.request)


def test_only_what_a_region_needs_is_read() -> None:
    image = image_of((400, 300), "uint8", 13)
    stack = RANDOM.stack(RANDOM.request(image, strength=0.0), RANDOM.levels(image), Region(300, 200, 310, 210))
    assert stack.without_network.reads.holds(Region(150, 100, 155, 105))
    assert stack.without_network.reads.height < 20
    assert stack.reads.holds(stack.without_network.reads)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "1", None, True])
def test_a_strength_that_is_none_is_refused(strength: Any) -> None:
    with pytest.raises(ImageError, match="strength must be a number from 0 to 1"):
        NEAREST(image_of((9, 9), "uint8", 0), strength=strength)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.full((20, 30), np.nan), "without NaN"),
        (np.full((20, 30), 255.0), "from 255 to 255"),
        (np.full((20, 30), -0.5), "from -0.5"),
        (np.ones((20, 30), np.int64), "not int64"),
        (np.ones((20, 30, 3)), r"\(20, 30, 3\)"),
        (np.ones((0, 30)), r"\(0, 30\)"),
        (np.ones((30, 20)), "20 x 30, .* 30 x 20"),
        (np.ones((20, 33)), "33 x 20, .* 30 x 20"),
        ("face", "shape"),
        ([[1.0], [1.0, 2.0]], "must be an array"),
    ],
)
@pytest.mark.parametrize("call", ["__call__", "lazy"])
def test_a_mask_that_is_none_is_refused_before_work(mask: Any, told: str, call: str) -> None:
    with pytest.raises(ImageError, match=told):
        getattr(NEAREST, call)(image_of((20, 30), "uint8", 0), mask=mask)


@pytest.mark.parametrize("shape", [(20, 30), (7, 10), (7, 11), (6, 10), (199, 300), (40, 50), (80, 100), (1, 1)])
def test_a_mask_has_the_proportions_of_the_image_or_of_the_result(shape: Size) -> None:
    assert NEAREST(image_of((20, 30), "uint8", 0), size=(40, 50), mask=np.ones(shape)).shape == (40, 50)
