"""What a region reads, what a survey refuses, and what calls with one go through beside pixels."""

from __future__ import annotations

import json
import logging
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esc_plugin import Cancelled, EscError, ImageError, Model, Upscaler
from esc_plugin.arrays.digest import SAMPLE
from esc_plugin.arrays.levels import Levels
from esc_plugin.network import ESC
from esc_plugin.network.grid import Region
from esc_plugin.survey import Survey, digest_of, image_digest

from .small import nearest_upscaler, random_upscaler, small_config

NEAREST, RANDOM = nearest_upscaler(), random_upscaler()
REGION = (13, 44), (30, 61)


def noise(shape: tuple[int, ...], dtype: Any = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def part(whole: np.ndarray, region: Any = REGION) -> np.ndarray:
    """Of (..., Y, X)."""
    return whole[..., slice(*region[0]), slice(*region[1])]


class Computed:
    """An image (..., Y, X) that computes its pixels when it is asked for them, and remembers what it was asked for."""

    def __init__(self, shape: tuple[int, ...], values: Any, dtype: Any = np.uint16) -> None:
        self.shape, self.dtype, self.values, self.asked = shape, np.dtype(dtype), values, []

    def __getitem__(self, index: Any) -> np.ndarray:
        assert len(index) == len(self.shape)
        rows, columns = (range(*i.indices(n)) for i, n in zip(index[-2:], self.shape[-2:], strict=True))
        self.asked.append((index[:-2], Region(rows.start, columns.start, rows.stop, columns.stop)))
        return self.values(*index[:-2], np.array(rows)[:, None], np.array(columns)).astype(self.dtype)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the whole array was read")


def stack_of(kind: str) -> tuple[np.ndarray, str]:
    """Return an image whose regions depend on facts of the whole."""
    if kind == "gray":
        return noise((3, 120, 130)), "ZYX"
    if kind == "NaN":
        image = noise((3, 120, 130), np.float32)
        image[:, ::7, ::5] = np.nan
        return image, "ZYX"
    image = noise((4, 120, 130), np.uint8)
    image[3] = 255
    if kind == "transparent":
        image[3, 100:] = 50
    return image, "SYX"


@pytest.mark.parametrize("options", [{}, {"scale": 3.3}, {"scale": 0.5}, {"consistency": True}, {"alpha": "lanczos"}])
@pytest.mark.parametrize("kind", ["gray", "NaN", "opaque", "transparent"])
def test_only_what_a_region_needs_is_read_and_once(kind: str, options: dict[str, Any]) -> None:
    image, axes = stack_of(kind)
    if kind == "transparent" and "consistency" in options:
        pytest.skip("it isn't defined there")
    options = options | {"nan": "keep" if kind == "NaN" else "error"}
    source = Computed(image.shape, lambda z, y, x: image[z, y, x], image.dtype)
    survey = RANDOM.survey(image, axes=axes, **options)
    found = RANDOM(source, axes=axes, region=REGION, survey=survey, **options)
    np.testing.assert_allclose(found.astype(float), part(RANDOM(image, axes=axes, **options)), atol=1)
    stack = RANDOM.stack(survey.request, survey.levels_of(image.dtype), Region(13, 30, 44, 61))
    planes = [(slice(None),)] if axes == "SYX" else [(z,) for z in range(3)]
    # Before, some pixels tell whether it is the image of the survey.
    assert [asked for asked in source.asked if asked[1].height > SAMPLE] == [(plane, stack.reads) for plane in planes]


def test_a_region_of_an_image_that_no_machine_holds() -> None:
    def values(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (y * 7 + x * 13) % 251 + (y // 16 + x // 16) % 5 * 100

    side, small = 100_000, values(np.arange(200)[:, None], np.arange(210))
    large = Computed((side, side), values)
    survey = RANDOM.survey(small.astype(np.uint16), scale=4, intensity=(0, 700))
    request = replace(survey.request, shape=(side, side), target=(4 * side, 4 * side))
    survey = replace(survey, request=request, image=image_digest(large, request.layout))
    region = (333_333, 333_400), (123_456, 123_500)
    tracemalloc.start()
    found = RANDOM(large, scale=4, intensity=(0, 700), region=region, survey=survey)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23
    # Windows lie on multiples of 8 of what each of two runs sees, and values repeat.
    top, left = 333_333 // 4 - 60, 123_456 // 4 - 60
    top, left = top // 16 * 16, left // 16 * 16
    near = values(np.arange(top, top + 160)[:, None], np.arange(left, left + 160)).astype(np.uint16)
    there = replace(survey, request=replace(request, shape=(160, 160), target=(640, 640)))
    there = replace(there, image=image_digest(near, there.request.layout))
    moved = tuple((a - 4 * start, b - 4 * start) for (a, b), start in zip(region, (top, left), strict=True))
    expected = RANDOM(near, scale=4, intensity=(0, 700), survey=there)
    np.testing.assert_allclose(found.astype(int), part(expected, moved), atol=1)
    assert len(np.unique(found)) > 50


def test_a_region_fills_what_it_is_given() -> None:
    image = noise((2, 50, 60))
    whole = RANDOM(image)
    for out in (np.zeros((2, 31, 31), np.uint16), np.zeros((2, 31, 31), ">u2")):
        assert RANDOM(image, region=REGION, out=out) is out
        np.testing.assert_allclose(out.astype(int), part(whole), atol=1)


def test_dask_and_zarr(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask.array", reason="dask isn't installed")
    zarr = pytest.importorskip("zarr", reason="zarr isn't installed")
    image = noise((2, 50, 60))
    lazy = dask.from_array(image, chunks=(1, 20, 20))
    stored = zarr.create_array(tmp_path / "in", shape=image.shape, chunks=(1, 20, 20), dtype="uint16")
    stored[:] = image
    survey, expected = RANDOM.survey(image), RANDOM(image, region=REGION)
    for source in (lazy, stored):
        assert RANDOM.survey(source).digest == survey.digest
        np.testing.assert_array_equal(RANDOM(source, region=REGION, survey=survey), expected)
    out = zarr.create_array(tmp_path / "out", shape=expected.shape, chunks=(1, 20, 20), dtype="uint16")
    RANDOM(stored, region=REGION, survey=survey, out=out)
    np.testing.assert_array_equal(out[:], expected)


@pytest.mark.parametrize("scale", [2, 3.3, 0.5])
def test_it_can_be_cancelled_anywhere(scale: float) -> None:
    image = noise((3, 50, 60))
    survey, region = RANDOM.survey(image, scale=scale), ((0, 20), (3, 25))
    for work in (
        lambda cancel: RANDOM(image, scale=scale, region=region, survey=survey, cancel=cancel),
        lambda cancel: RANDOM(image, scale=scale, region=region, cancel=cancel),
        lambda cancel: RANDOM(image, scale=scale, survey=survey, cancel=cancel),
        lambda cancel: RANDOM.survey(image, scale=scale, cancel=cancel),
    ):
        calls = [0]

        def count(calls: list[int] = calls) -> bool:
            calls[0] += 1
            return False

        work(count)
        assert calls[0] >= 3  # once a plane at least
        for when in (1, calls[0]):
            left = iter([False] * (when - 1) + [True])
            with pytest.raises(Cancelled):
                work(lambda left=left: next(left))


@pytest.mark.parametrize("scale", [2, 3.3, 0.5, 1])
@pytest.mark.parametrize("alpha", ["network", "lanczos"])
def test_progress_rises_to_the_end(scale: float, alpha: str) -> None:
    image = noise((2, 20, 30, 4), np.uint8)
    survey = RANDOM.survey(image, scale=scale, alpha=alpha)
    for known, region in ((None, None), (survey, ((2, 8), (3, 9))), (None, ((2, 8), (3, 9)))):
        seen: list[float] = []
        options = {"scale": scale, "alpha": alpha, "survey": known, "region": region}
        RANDOM(image, progress=lambda done, total, seen=seen: seen.append(done / total), **options)
        assert seen == sorted(seen)
        assert seen[-1] == 1


OPTIONS = [
    {},
    {"scale": 3.3, "intensity": [(0, 90)]},
    {"intensity": "percentile:1,99", "nan": "keep"},
    {"size": (30, 90), "linear_light": True},
    {"consistency": True, "bits": 8},
    {"scale": np.float32(2.5), "intensity": np.array([0, 80]), "linear_light": np.True_},
    {"size": (np.int64(30), 40.0), "bits": np.int32(8), "intensity": [Levels(3, 3, np.dtype("uint16"))]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_survey_travels_as_text(options: dict[str, Any], tmp_path: Path) -> None:
    image = noise((2, 20, 23))
    survey = RANDOM.survey(image, **options)
    again = Survey.from_json(survey.to_json())
    assert again.digest == survey.digest
    assert again.to_json() == survey.to_json()
    assert again.request == survey.request
    assert (again.method, again.environment, again.sampling) == ("exact", survey.environment, None)
    survey.save(tmp_path / "survey.json")
    loaded = Survey.load(tmp_path / "survey.json")
    np.testing.assert_array_equal(RANDOM(image, survey=loaded, **options), RANDOM(image, **options))


def test_a_survey_of_transparency_travels_too() -> None:
    image = noise((2, 20, 23, 4), np.uint8)
    image[0, ..., 3] = 255
    again = Survey.from_json(RANDOM.survey(image).to_json())
    assert [plane.opaque for plane in again.planes] == [True, False]
    np.testing.assert_array_equal(RANDOM(image, survey=again), RANDOM(image))


def test_what_the_pixels_depend_on_changes_the_digest() -> None:
    image = noise((20, 23))
    survey = RANDOM.survey(image)
    plane = survey.planes[0]
    others = [
        replace(survey, sha256="0" * 64),
        replace(survey, levels=((0.0, 1.0),)),
        replace(survey, planes=(replace(plane, stand_in=0.25),)),
        replace(survey, planes=(replace(plane, colours=(replace(plane.colours[0], means=plane.colours[0].means + 1),)),)),
        RANDOM.survey(image, consistency=True),
        RANDOM.survey(noise((20, 23), seed=1), intensity=survey.levels),
    ]
    assert len({survey.digest, *(other.digest for other in others)}) == 7
    assert replace(survey, environment=replace(survey.environment, torch="9")).digest == survey.digest


IMAGE = noise((20, 23))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (IMAGE, {"scale": 3}, r"serves target=\(40, 46\), not target=\(60, 69\)"),
        (IMAGE, {"intensity": "minmax"}, "serves intensity='auto', not intensity='minmax'"),
        (IMAGE, {"nan": "keep"}, "nan='keep'"),
        (IMAGE, {"alpha": "lanczos"}, "alpha='lanczos'"),
        (IMAGE, {"linear_light": True}, "linear_light=True"),
        (IMAGE, {"consistency": True}, "consistency=True"),
        (IMAGE, {"bits": 8}, "bits=8"),
        (IMAGE, {"axes": "XY", "size": (40, 46)}, "axes='XY'"),
        (IMAGE.astype(np.int16), {}, "dtype='int16'"),
        (IMAGE[:-1], {"size": (40, 46)}, r"shape=\(19, 23\)"),
        (IMAGE + np.uint16(1), {}, "another image"),
    ],
)
def test_a_survey_of_something_else_is_refused(image: np.ndarray, options: dict[str, Any], message: str) -> None:
    survey = RANDOM.survey(IMAGE)
    with pytest.raises(ImageError, match=message) as caught:
        RANDOM(image, survey=survey, progress=lambda *_: pytest.fail("it worked"), **options)
    assert "\n" not in str(caught.value)


def test_a_survey_of_another_model_is_refused() -> None:
    """Also where a model comes from no file, so that it has no hash."""
    with pytest.raises(ImageError, match=r"'nearest'.*not 'random'"):
        RANDOM(IMAGE, survey=NEAREST.survey(IMAGE))
    named = [replace(upscaler.model, sha256=digit * 64) for upscaler, digit in ((NEAREST, "a"), (RANDOM, "b"))]
    one, other = (Upscaler(model, device="cpu") for model in named)
    with pytest.raises(ImageError, match="'nearest' of sha256 'aaaaaaaa', not 'random' of 'bbbbbbbb'"):
        other(IMAGE, survey=one.survey(IMAGE))


def test_what_is_no_survey_is_refused() -> None:
    for wrong in ({}, "survey.json", 3):
        with pytest.raises(ImageError, match="survey must be"):
            RANDOM(IMAGE, survey=wrong)


def damaged() -> dict[str, str]:
    survey = RANDOM.survey(IMAGE)
    content = json.loads(survey.to_json())
    plane, run = content["planes"][0], content["planes"][0]["colours"][0]

    def with_run(**changes: Any) -> dict[str, Any]:
        return content | {"planes": [plane | {"colours": [run | changes]}]}

    texts = {
        "empty": "",
        "cut": survey.to_json()[:-40],
        "list": "[]",
        "number": "3",
        "deep": "[" * 100_000,
        "other": json.dumps({"format": "esc survey", "version": 2}),
        "newline": json.dumps({"format": "a\nb", "version": 1}),
    }
    changed = {
        "no levels": content | {"levels": []},
        "levels of nothing": content | {"levels": [[float("nan"), 1]]},
        "swapped levels": content | {"levels": [[5, 1]]},
        "an infinite level": content | {"levels": [[0, float("inf")]]},
        "a huge level": content | {"levels": [[0, 10**400]]},
        "an infinite size": content | {"request": content["request"] | {"shape": [float("inf"), 3]}},
        "another option": content | {"request": content["request"] | {"colour": 3}},
        "no planes": content | {"planes": []},
        "planes": content | {"planes": [plane, plane]},
        "plane": content | {"planes": [3]},
        "no runs": content | {"planes": [plane | {"colours": []}]},
        "stand in": content | {"planes": [plane | {"stand_in": float("nan")}]},
        "precision": with_run(precision="load"),
        "precision too": with_run(precision="int8"),
        "letters": with_run(float32="!!"),
        "no numbers": with_run(float32="AADAfw==" + run["float32"][8:]),  # NaN
        "too few": with_run(float32=run["float32"][:8]),
        "no shape": with_run(shape=[]),
        "shape": with_run(shape=[-1]),
        "turned": with_run(shape=run["shape"][::-1]),
        "environment": content | {"environment": {"torch": 1}},
        "sampling": content | {"sampling": 3, "method": "sampled"},
    }
    texts["not what was hashed"] = json.dumps(with_run(float32="AAAA" + run["float32"][4:]))
    return texts | {name: json.dumps(value | {"digest": digest_of(value)}) for name, value in changed.items()}


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_survey_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text = damaged()[name]
    (tmp_path / "damaged.json").write_text(text)
    for read in (Survey.from_json, lambda _: Survey.load(tmp_path / "damaged.json")):
        with pytest.raises(ImageError) as caught:
            RANDOM(IMAGE, survey=read(text), progress=lambda *_: pytest.fail("it worked"))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""])
def test_a_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "survey.json"
    if content is not None:
        path.write_bytes(content)
    for wrong in (path, tmp_path, f"{path}\0"):
        with pytest.raises(ImageError, match=r"^[^\n]*$"):
            Survey.load(wrong)


def loud_upscaler() -> Upscaler:
    torch.manual_seed(0)
    network = ESC(small_config()).eval().requires_grad_(False)
    network.proj.weight.mul_(1e6)  # features beyond 65504, the largest float16
    return Upscaler(Model(network, network.config, "loud", "test", ""), device="cpu", precision="float16")


def test_a_survey_says_which_precision_did_not_overflow(caplog: pytest.LogCaptureFixture) -> None:
    upscaler = loud_upscaler()
    with caplog.at_level(logging.WARNING):
        survey = upscaler.survey(IMAGE)
    assert survey.planes[0].colours[0].precision == "float32"
    assert len(caplog.records) == 1
    whole = Upscaler(upscaler.model, device="cpu", precision="float32")(IMAGE)
    region = (3, 30), (7, 40)
    np.testing.assert_allclose(loud_upscaler()(IMAGE, region=region, survey=survey).astype(int), part(whole, region), atol=1)
    short = replace(survey.planes[0], colours=(replace(survey.planes[0].colours[0], precision="float16"),))
    with pytest.raises(EscError, match="make the survey in float32"):
        loud_upscaler()(IMAGE, survey=replace(survey, planes=(short,)))


def test_an_upscaler_travels_to_other_processes() -> None:
    survey = RANDOM.survey(IMAGE)
    region = (3, 30), (7, 40)
    there = pickle.loads(pickle.dumps(RANDOM))
    np.testing.assert_array_equal(
        there(IMAGE, region=region, survey=pickle.loads(pickle.dumps(survey))), RANDOM(IMAGE, region=region, survey=survey)
    )
    assert there.survey(IMAGE).digest == survey.digest


def test_what_a_survey_calls_its_model_is_one_line() -> None:
    upscaler, image = random_upscaler(), np.zeros((20, 20), np.uint8)
    survey = replace(upscaler.survey(image), model="a\nb", sha256="\n\n")
    with pytest.raises(ImageError, match="the survey was made with the model") as error:
        upscaler(image, survey=survey)
    assert "\n" not in str(error.value)


def test_threads_share_an_upscaler() -> None:
    image, upscaler = noise((90, 100)), random_upscaler()
    survey = RANDOM.survey(image)
    regions = [((top, top + 40), (left, left + 50)) for top in (0, 60, 140) for left in (0, 77, 150)]
    expected = [RANDOM(image, region=region, survey=survey) for region in regions]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda region: upscaler(image, region=region, survey=survey), regions))
        surveys = list(pool.map(lambda _: upscaler.survey(image).digest, range(4)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(surveys) == {survey.digest}


WRONG_REGIONS = [
    3,
    "ab",
    (),
    ((0, 4),),
    ((0, 4), (0, 4), (0, 4)),
    (0, 4, 0, 4),
    ((0.0, 4), (0, 4)),
    ((0, 4), (0, 4.5)),
    ((0, None), (0, 4)),
    ((False, True), (0, 4)),
    (slice(0, 4), slice(0, 4)),
    ((0, 0), (0, 4)),
    ((4, 3), (0, 4)),
    ((-1, 3), (0, 4)),
    ((0, 4), (0, 47)),
    ((0, 41), (0, 4)),
    ((40, 41), (0, 4)),
]


@pytest.mark.parametrize("region", WRONG_REGIONS)
def test_a_region_that_cannot_be(region: Any) -> None:
    with pytest.raises(ImageError, match="region") as caught:
        RANDOM(IMAGE, region=region, progress=lambda *_: pytest.fail("it worked"))
    assert repr(region) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": np.zeros((40, 46), np.uint16)}, r"out must be \(4, 5\) uint16"),
        ({"out": np.zeros((4, 5), np.uint8)}, "not .* uint8"),
        ({"alpha": "none"}, "'none'"),
        ({"consistency": True, "scale": 1.5}, "whole factor"),
        ({"nan": "zero"}, "'zero'"),
        ({"intensity": "best"}, "'best'"),
        ({"alpha": np.zeros(2)}, "alpha must be"),
        ({"linear_light": np.zeros(2)}, "linear_light must be True or False"),
        ({"consistency": "no"}, "consistency must be True or False, not 'no'"),
        ({"strength": 10**5000}, "strength must be"),
        ({"size": np.array(3)}, "size must be"),
    ],
)
def test_nothing_is_done_before_an_error(options: dict[str, Any], message: str) -> None:
    """Also no survey is made, which takes as long as the whole."""
    with pytest.raises(ImageError, match=message):
        RANDOM(IMAGE, region=((1, 5), (1, 6)), progress=lambda *_: pytest.fail("it worked"), **options)


@pytest.mark.parametrize("intensity", ["auto", "minmax", "percentile"])
def test_a_plane_larger_than_the_memory_is_looked_at_in_pieces(intensity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its levels, for what stands in for NaN, and for whether it is opaque; a piece is read once a look."""
    image = noise((4, 120, 130), np.float32) / 100
    image[:3, 5:9, 7:80], image[3] = np.nan, 1
    options = {"axes": "SYX", "intensity": intensity, "nan": "keep"}
    expected = RANDOM.survey(image, **options)
    for name in ("esc_plugin.arrays.rows.LARGEST_READ", "esc_plugin.arrays.stack.LARGEST_READ"):
        monkeypatch.setattr(name, 2 * 50 * 4 * 130 * 4)
    for name in ("esc_plugin.arrays.planes.BAND_VALUES", "esc_plugin.arrays.statistics.BAND_VALUES"):
        monkeypatch.setattr(name, 7 * 130)
    source = Computed(image.shape, lambda s, y, x: image[s, y, x], np.float32)
    assert RANDOM.survey(source, **options).digest == expected.digest
    looks = [region.height for _, region in source.asked]
    looks = looks[: looks.index(120)]  # then the network begins, which takes it at once
    assert max(looks) < 70
    assert sum(looks) <= 120 * 5


def test_planes_are_looked_at_one_after_the_other() -> None:
    """A stack with transparency may be larger than the memory."""
    image = np.ones((40, 300, 300, 2), np.float32) / 2
    tracemalloc.start()
    source = Slices(image)
    RANDOM.stack(RANDOM.request(source, axes="TYXS"), [Levels(0, 1, np.dtype("float32"))]).check(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes / 4


class Slices:
    """An array that hands out copies."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.data[index].copy()
