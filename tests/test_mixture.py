"""Two models as one: whole images, regions, surveys and lazy arrays, beside each model on its own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import EscError, ImageError, Model, Upscaler
from esc_plugin import mixture as module
from esc_plugin.batch.record import record_of_result
from esc_plugin.cluster.exact import Group, run_exact
from esc_plugin.enlarge import Between
from esc_plugin.measure.duration import measure_rate, seconds_for, work
from esc_plugin.mixture import Mixture
from esc_plugin.network import ESC
from esc_plugin.network.grid import Region
from esc_plugin.survey import Survey

from .groups import in_threads
from .small import random_upscaler, small_config


def other_upscaler(scale: int, seed: int = 7, name: str = "other", **options: Any) -> Upscaler:
    torch.manual_seed(seed)
    config = replace(small_config(scale), conv_blocks=2)
    return Upscaler(Model(ESC(config).eval(), config, name, "test", ""), device="cpu", **options)


FIRST, SECOND = random_upscaler(2), other_upscaler(4)
MIXED = Mixture(FIRST, SECOND, 0.3)


def image_of(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape)
    return values.astype(dtype) if dtype.startswith("f") else (values * 60000).astype(dtype)


@settings(max_examples=20)
@given(
    st.integers(9, 30),
    st.integers(9, 30),
    st.booleans(),
    st.sampled_from(["float32", "float64", "uint16"]),
    st.sampled_from([2, 3, 4, 0.5]),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_mixture_is_the_mixture_of_both(
    height: int, width: int, colour: bool, dtype: str, scale: float, share: float, linear: bool
) -> None:
    image = image_of((height, width, 3) if colour else (height, width), dtype)
    options: dict[str, Any] = {"scale": scale, "linear_light": linear, "intensity": (-60000, 120000)}
    if dtype.startswith("f"):
        options["intensity"] = (-1, 2)
    found = Mixture(FIRST, SECOND, share)(image, **options).astype(float)
    one, other = (upscaler(image, **options).astype(float) for upscaler in (FIRST, SECOND))
    inside = (
        np.ones(found.shape, bool)
        if dtype.startswith("f")
        else (np.minimum(one, other) > 0) & (np.maximum(one, other) < 65535)
    )
    np.testing.assert_allclose(
        found[inside], ((1 - share) * one + share * other)[inside], atol=1e-5 if dtype.startswith("f") else 1.01
    )


@pytest.mark.parametrize("share", [0, 1])
def test_at_the_ends_it_is_one_of_them_to_the_bit(share: float) -> None:
    image = image_of((20, 21, 3))
    np.testing.assert_array_equal(Mixture(FIRST, SECOND, share)(image, scale=4), (FIRST, SECOND)[share](image, scale=4))


@pytest.mark.parametrize("kind", ["gray", "rgba", "nan", "consistency", "blend"])
@pytest.mark.parametrize("scale", [2, 2.6, 0.7])
def test_regions_are_those_of_the_whole(kind: str, scale: float) -> None:
    image = image_of((60, 50, 4) if kind == "rgba" else (60, 50))
    options: dict[str, Any] = {"scale": scale}
    if kind == "nan":
        image[::7, ::5] = np.nan
        options["nan"] = "keep"
    if kind == "consistency" and scale == 2:
        options["consistency"] = True
    survey = Survey.from_json(MIXED.survey(image, **options).to_json())
    if kind == "blend":
        options |= {"strength": 0.6, "mask": image_of((30, 25))}
    whole = MIXED(image, **options)
    for rows, columns in (((0, 5), (0, 6)), ((11, 30), (20, 34)), ((0, whole.shape[0]), (33, 35))):
        found = MIXED(image, region=(rows, columns), survey=survey, **options)
        np.testing.assert_array_equal(found, whole[slice(*rows), slice(*columns)])
    np.testing.assert_array_equal(MIXED(image, region=((1, 9), (2, 8)), **options), whole[1:9, 2:8])


def test_shared_means_lazy_arrays_and_travel() -> None:
    da = pytest.importorskip("dask.array")
    film = image_of((3, 50, 60), "uint16")
    options: dict[str, Any] = {"axes": "TYX", "shared": "T"}
    whole, survey = MIXED(film, **options), MIXED.survey(film, **options)
    np.testing.assert_array_equal(MIXED(film, survey=survey, **options), whole)
    for source in (film, da.from_array(film, chunks=(1, 20, 20))):
        found = MIXED.lazy(source, survey=survey, chunks=32, **options)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).compute(scheduler="synchronous"), whole)


def test_exact_processes_mix_and_blend_too() -> None:
    image, mask = image_of((70, 60), "uint16"), image_of((35, 30))
    options: dict[str, Any] = {"scale": 2, "strength": 0.5}
    request, out = MIXED.request(image, **options), np.zeros((140, 120), np.uint16)

    def write(_: Any, region: Region, values: np.ndarray) -> None:
        out[region.slices] = values

    def work(group: Group) -> Survey:
        own = Mixture(Upscaler(FIRST.model, device="cpu"), Upscaler(SECOND.model, device="cpu"), 0.3)
        return run_exact(own, image, request, group, write=write, mask=mask)

    found = in_threads(3, work)
    np.testing.assert_array_equal(out, MIXED(image, mask=mask, **options))
    assert [survey.request.strength for survey in found] == [0.5] * 3
    np.testing.assert_array_equal(MIXED(image, survey=found[0], mask=mask, **options), out)


def test_a_survey_serves_any_share_of_the_pair_and_no_other() -> None:
    image = image_of((40, 30))
    survey = MIXED.survey(image)
    again = Mixture(FIRST, SECOND, 0.9)
    np.testing.assert_array_equal(again(image, survey=survey), again(image))
    for wrong in (FIRST, SECOND, Mixture(SECOND, FIRST, 0.3), Mixture(FIRST, other_upscaler(4, seed=8), 0.3)):
        with pytest.raises(ImageError, match="the survey was made with"):
            wrong(image, survey=survey)
    damaged = replace(survey, planes=(replace(survey.planes[0], colours=survey.planes[0].colours[:1]),))
    with pytest.raises(ImageError, match="lacks means"):
        MIXED(image, survey=damaged)


def test_a_survey_can_be_sampled() -> None:
    image = image_of((400, 300))
    survey = MIXED.survey(image, pixels=4 * 64**2)
    assert survey.sampling is not None
    assert survey.sampling.samples >= 4
    found, exact = MIXED(image, survey=survey), MIXED(image)
    # Noise is alike everywhere, so few samples tell much.
    assert np.sqrt(np.square(found - exact).mean()) < max(5 * survey.difference, 1e-4)


def test_memory_limits_hold_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of((64, 64, 3))
    wanted, made = MIXED(image), []

    class Watched(Between):
        def __post_init__(self) -> None:
            super().__post_init__()
            made.append(self.host_bytes)

    monkeypatch.setattr(module, "Between", Watched)
    limited = MIXED.with_memory_limit(2**28)
    np.testing.assert_array_equal(limited(image), wanted)
    assert made == [12 * 128 * 128]
    kept = limited.need(64, 64).caller_bytes
    assert kept == made[0]  # plans count it
    monkeypatch.setattr(Between, "fits", staticmethod(lambda *_: False))
    np.testing.assert_array_equal(limited(image), wanted)
    assert (made[1], limited.need(64, 64).caller_bytes) == (0, 0)  # in a file


def test_it_says_what_it_is() -> None:
    image = image_of((20, 20))
    assert MIXED.model.name == "0.7 random + 0.3 other"
    assert Mixture(MIXED, FIRST, 0.5).model.name == "0.5 (0.7 random + 0.3 other) + 0.5 random"
    assert Mixture(FIRST, SECOND, 0.2).recipe != MIXED.recipe
    record = record_of_result(MIXED, image, (40, 40), MIXED.levels(image), {})
    assert (record["model"], record["source"], record["precision"]) == (MIXED.model.name, "test + test", "float32")
    with pytest.raises(EscError, match="no network of its own"):
        MIXED.run(torch.zeros(1, 3, 8, 8))


def test_the_folders_of_both_files_stay_private(tmp_path: Path) -> None:
    models = [replace(upscaler.model, source=str(tmp_path / f"{upscaler.model.name}.pth")) for upscaler in (FIRST, SECOND)]
    mixed = Mixture(*(Upscaler(model, device="cpu") for model in models))
    image = image_of((20, 20))
    assert record_of_result(mixed, image, (40, 40), mixed.levels(image), {})["source"] == "random.pth + other.pth"


def test_what_is_set_for_a_mixture_is_not_set_for_its_parts() -> None:
    first, second = other_upscaler(2, precision="float32"), other_upscaler(4, memory_limit=2**30)
    mixed = Mixture(first, second)
    assert (mixed.second.precision, mixed.second.memory_limit) == ("float32", None)
    mixed.memory_limit, mixed.precision = 2**28, "bfloat16"
    assert {part.memory_limit for part in mixed.parts} == {2**28}
    assert (first.precision, first.memory_limit, second.precision, second.memory_limit) == ("float32", None, "auto", 2**30)
    assert mixed.second.network() is second.network()


def test_passes_that_are_asked_for_are_those_of_both() -> None:
    image = image_of((30, 20))
    usual, twice = MIXED.request(image, scale=4), MIXED.request(image, scale=4, passes=1)
    assert [len(MIXED.runs(request)) for request in (usual, twice)] == [3, 2]
    found = MIXED(image, scale=4, passes=1)
    wanted = 0.7 * FIRST(image, scale=4, passes=1) + 0.3 * SECOND(image, scale=4, passes=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    survey = MIXED.survey(image, scale=4, passes=1)
    assert Survey.from_json(survey.to_json()).request == survey.request
    part = MIXED(image, scale=4, passes=1, region=((20, 60), (8, 30)), survey=survey)
    np.testing.assert_array_equal(part, found[20:60, 8:30])
    assert MIXED.steps(usual) == {"passes": 2, "steps": "2 passes x2; 1 pass x4"}
    with pytest.raises(ImageError, match="passes must be"):
        MIXED(image, scale=4, passes=5)


def test_three_can_be_mixed() -> None:
    image, third = image_of((20, 22)), other_upscaler(2, seed=9)
    found = Mixture(Mixture(FIRST, SECOND, 0.5), third, 0.25)(image, scale=3)
    wanted = 0.375 * FIRST(image, scale=3) + 0.375 * SECOND(image, scale=3) + 0.25 * third(image, scale=3)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_its_time_is_that_of_both() -> None:
    assert work(MIXED, (20, 20), (40, 40)) == work(FIRST, (20, 20), (40, 40)) + work(SECOND, (20, 20), (40, 40))
    assert measure_rate(MIXED) > 0
    assert seconds_for(MIXED, (20, 20), (40, 40)) > 0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", None])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(ImageError, match="share must be a number from 0 to 1"):
        Mixture(FIRST, SECOND, share)
