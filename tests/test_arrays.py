"""Arrays in, arrays out: dtypes, axes, layouts, intensity, transparency, and any target size."""

from __future__ import annotations

import re
import tracemalloc
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from esc_plugin import Cancelled, EscError, ImageError, Upscaler
from esc_plugin.arrays.layout import DTYPES, layout_of
from esc_plugin.arrays.passes import LARGEST_STRETCH
from esc_plugin.arrays.resample import to_gamma, to_linear

from .small import nearest_upscaler, random_upscaler

NEAREST, RANDOM = nearest_upscaler(), random_upscaler()


def noise(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """Return values that each dtype can hold, and that survive a float32."""
    values = np.random.default_rng(seed).integers(0, 100, shape)
    return (values % 2 if np.dtype(dtype) == bool else values).astype(dtype)


def repeated(image: np.ndarray, axes: str, factor: int = 2) -> np.ndarray:
    return image.repeat(factor, axes.index("Y")).repeat(factor, axes.index("X"))


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    """Draw an image of any dtype and axes, as a view with any strides and byte order."""
    letters = draw(st.lists(st.sampled_from("TZC"), unique=True, max_size=2))
    letters += ["Y", "X", *draw(st.sampled_from(["", "S"]))]
    axes = "".join(draw(st.permutations(letters)))
    sizes = {"Y": (1, 12), "X": (1, 12), "S": (1, 4)}
    shape = tuple(draw(st.integers(*sizes.get(a, (1, 2)))) for a in axes)
    image = noise(shape, draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99)))
    if draw(st.booleans()):
        image = np.flip(np.flip(image).copy())
    if draw(st.booleans()):
        image = np.asfortranarray(image)
    if draw(st.booleans()):
        image = image.astype(image.dtype.newbyteorder())
    image.flags.writeable = False
    return image, axes


@given(stacks())
@settings(max_examples=60)
def test_any_array_comes_back_larger_and_otherwise_the_same(stack: tuple[np.ndarray, str]) -> None:
    image, axes = stack
    before = image.copy()
    if "S" in axes and image.shape[axes.index("S")] in (2, 4):  # opaque, so that the colours are exact too
        top = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
        image = image.copy()
        np.moveaxis(image, axes.index("S"), -1)[..., -1] = top
        before = image.copy()
    out = NEAREST(image, axes=axes, intensity="minmax")
    assert out.dtype == image.dtype
    tolerance = 0 if image.dtype.kind in "iub" else 1e-4
    np.testing.assert_allclose(out.astype(float), repeated(image, axes).astype(float), atol=tolerance)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9, 8), "YX"),
        ((9, 8, 1), "YXS"),
        ((9, 8, 2), "YXS"),
        ((9, 8, 3), "YXS"),
        ((9, 8, 4), "YXS"),
        ((3, 9, 8), "QYX"),
        ((5, 9, 8, 3), "QYXS"),
        ((5, 2, 9, 8), "ZCYX"),
        ((5, 2, 2, 9, 8), "TZCYX"),
    ],
)
def test_axes_are_guessed(shape: tuple[int, ...], axes: str) -> None:
    assert layout_of(np.zeros(shape, np.uint8)).axes == axes


CONSTANTS = [("bool", 1, 0), ("uint8", 100, 1), ("uint16", 30000, 257), ("int32", 2**30, 2**24), ("float32", 0.4, 1 / 255)]


@pytest.mark.parametrize(("dtype", "value", "level"), CONSTANTS)
def test_a_constant_image_stays_constant_within_a_level(dtype: str, value: float, level: float) -> None:
    """Of 256, with a trained network; at the border it sees zeros beside the image, so there only on average."""
    image = np.full((40, 41, 3), value, dtype)
    upscaler = Upscaler("esc-nano-x2", device="cpu")
    wrong = np.abs(upscaler(image, intensity="range").astype(float) - image[0, 0, 0])
    assert wrong[16:-16, 16:-16].max() <= level
    assert wrong.mean() <= level
    if dtype != "uint8":  # no contrast, nothing to invent
        assert (upscaler(image) == image[0, 0, 0]).all()


def test_permuting_channels_in_permutes_them_out() -> None:
    image = noise((3, 10, 12), np.uint16)
    out = RANDOM(image, axes="CYX")
    for order in permutations(range(3)):
        np.testing.assert_array_equal(RANDOM(image[list(order)], axes="CYX"), out[list(order)])


def test_a_slice_of_a_stack_equals_the_slice_alone() -> None:
    stack = noise((2, 3, 9, 11), np.int16)
    out = RANDOM(stack, axes="TCYX", intensity=(0, 99))
    for t, c in np.ndindex(2, 3):
        np.testing.assert_array_equal(RANDOM(stack[t, c], intensity=(0, 99)), out[t, c])


def test_one_map_serves_the_whole_stack() -> None:
    dark, bright = noise((12, 12), np.uint16), noise((12, 12), np.uint16, 1) * 600
    out = RANDOM(np.stack([dark, bright]), axes="TYX", intensity="minmax")
    np.testing.assert_array_equal(out[0], RANDOM(dark, intensity=(0, int(bright.max()))))


def test_the_network_sees_a_dim_camera_as_it_sees_a_bright_one() -> None:
    image = noise((16, 14), np.float64)
    shifted = RANDOM(image * 37 + 1000, intensity="minmax")
    np.testing.assert_allclose(shifted, RANDOM(image, intensity="minmax") * 37 + 1000, atol=0.01)
    twelve_bits = noise((16, 14), np.uint16) * 40
    unit = RANDOM(twelve_bits / np.float32(twelve_bits.max()), intensity=(0, 1))
    np.testing.assert_allclose(RANDOM(twelve_bits, intensity="minmax"), (unit * twelve_bits.max()).clip(0), atol=1)


def test_intensity_says_what_zero_and_one_are() -> None:
    image = noise((10, 10), np.uint16)
    unit = RANDOM(image / 65535, intensity="range") * 65535
    np.testing.assert_allclose(RANDOM(image, intensity="range"), unit.clip(0), atol=0.6)
    np.testing.assert_array_equal(RANDOM(image, intensity="minmax"), RANDOM(image, intensity=(image.min(), image.max())))
    eight = noise((10, 10))
    np.testing.assert_array_equal(RANDOM(eight), RANDOM(eight, intensity=(0, 255)))


def test_wide_integers_keep_their_low_bits() -> None:
    image = (noise((8, 8), np.uint32) + 4_000_000_000).astype(np.uint32)
    np.testing.assert_array_equal(NEAREST(image), repeated(image, "YX"))


def test_values_beyond_a_type_are_clipped() -> None:
    image = np.where(np.indices((12, 12)).sum(0) % 2, 255, 0).astype(np.uint8)
    exact = RANDOM(image.astype(np.float32), intensity=(0, 255))
    assert exact.min() < 0  # else this test shows nothing
    assert exact.max() > 255
    np.testing.assert_array_equal(RANDOM(image), exact.round().clip(0, 255))


class Recorder:
    """An array that knows only its shape, its dtype and how to be indexed, and remembers how it was."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.asked = data, data.shape, data.dtype, []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.asked.append(self.data[index].size)
        return self.data[index].copy()

    def __setitem__(self, index: Any, values: np.ndarray) -> None:
        self.data[index] = values

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the whole array was read")


def test_other_arrays_are_read_and_written_plane_by_plane() -> None:
    image = noise((3, 10, 9, 2), np.uint16)
    source, out = Recorder(image), Recorder(np.zeros((3, 20, 18, 2), np.uint16))
    RANDOM(source, axes="TYXC", out=out)
    np.testing.assert_array_equal(out.data, RANDOM(image, axes="TYXC"))
    assert set(source.asked) == {90}


def test_dask_and_zarr_arrays() -> None:
    dask = pytest.importorskip("dask.array", reason="dask isn't installed")
    zarr = pytest.importorskip("zarr", reason="zarr isn't installed")
    image = noise((3, 10, 9), np.uint16)
    wanted = RANDOM(image)
    np.testing.assert_array_equal(RANDOM(dask.from_array(image, chunks=(1, 5, 5))), wanted)
    stored = zarr.create_array(store={}, shape=image.shape, chunks=(1, 5, 9), dtype="uint16")
    stored[:] = image
    out = zarr.create_array(store={}, shape=wanted.shape, chunks=(1, 20, 18), dtype="uint16")
    assert RANDOM(stored, out=out) is out
    np.testing.assert_array_equal(out[:], wanted)


def test_memory_mapped_files(tmp_path: Path) -> None:
    image = noise((3, 10, 9), ">u2")
    image.tofile(tmp_path / "in")
    source = np.memmap(tmp_path / "in", ">u2", "r", shape=image.shape)
    out = np.memmap(tmp_path / "out", ">u2", "w+", shape=(3, 20, 18))
    RANDOM(source, out=out)
    out.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out", ">u2").reshape(out.shape), RANDOM(image))


def test_no_float_copy_of_the_image_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.engine.plan.CPU_CHUNK_BYTES", 4 * 2**20)
    image = np.zeros((1200, 600, 3), np.uint8)
    out = np.empty((2400, 1200, 3), np.uint8)
    NEAREST(image[:9])  # what is imported at the first call counts as well
    tracemalloc.start()  # NumPy's arrays; torch's are the plan's business
    NEAREST(image, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.size * 4


def test_what_is_not_finite() -> None:
    image = noise((8, 9), np.float32)
    image[2, 3], image[4, 4], image[5, 5] = np.nan, np.inf, -np.inf
    with pytest.raises(ImageError, match="NaN or infinity"):
        NEAREST(image)
    with pytest.raises(ImageError, match="NaN or infinity"):
        NEAREST(image, intensity=(0, 1))
    np.testing.assert_allclose(NEAREST(image, nan="keep"), repeated(image, "YX"), atol=1e-4)
    kept = RANDOM(image, nan="keep", scale=3)
    np.testing.assert_array_equal(np.isfinite(kept), repeated(np.isfinite(image), "YX", 3))
    assert np.isnan(NEAREST(np.full((4, 4), np.nan), nan="keep")).all()


def test_opaque_images_have_the_colours_of_images_without_transparency() -> None:
    image = noise((9, 8, 3))
    opaque = np.dstack([image, np.full((9, 8), 255, np.uint8)])
    out = RANDOM(opaque)
    np.testing.assert_array_equal(out[..., :3], RANDOM(image))
    assert (out[..., 3] == 255).all()


@pytest.mark.parametrize("samples", [2, 4])
@pytest.mark.parametrize("alpha", ["network", "lanczos"])
def test_hidden_colours_do_not_bleed(samples: int, alpha: str) -> None:
    image = noise((12, 12, samples))
    image[:, :6, -1], image[:, 6:, -1] = 255, 0
    garish = image.copy()
    garish[:, 6:, :-1] = 255 - garish[:, 6:, :-1]
    out = RANDOM(image, alpha=alpha)
    np.testing.assert_array_equal(out, RANDOM(garish, alpha=alpha))
    assert out[..., -1].min() < 128 < out[..., -1].max()


def test_transparency_by_the_network_is_that_of_a_gray_image() -> None:
    image = noise((12, 10, 4), np.uint16) * 600
    np.testing.assert_array_equal(RANDOM(image)[..., 3], RANDOM(image[..., 3], intensity="range"))


def test_transparency_by_lanczos_is_that_of_pillow() -> None:
    image = noise((12, 10, 4))
    wanted = Image.fromarray(image[..., 3].astype(np.float32)).resize((20, 24), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(RANDOM(image, alpha="lanczos")[..., 3], np.asarray(wanted).clip(0, 255), atol=0.51)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("alpha", ["network", "lanczos"])
def test_transparency_stays_in_its_range(dtype: Any, alpha: str) -> None:
    """It starts at 0 even where the type doesn't, and a filter that overshoots must not leave it."""
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    image = np.zeros((12, 12, 2), dtype)
    image[..., 1] = np.where(np.indices((12, 12))[1] < 6, top, 0)
    out = RANDOM(image, alpha=alpha)[..., 1]
    assert out.min() == 0
    assert out.max() == top


def test_composited_transparency_is_the_network_of_the_composite() -> None:
    """Over black, an image with transparency looks like what the network makes of it over black."""
    image = noise((12, 12, 4), np.float32) / 100
    image[..., 3] = 0.5 + image[..., 3] / 2
    out = NEAREST(image, intensity=(0, 1))
    np.testing.assert_allclose(out[..., :3] * out[..., 3:], repeated(image[..., :3] * image[..., 3:], "YX"), atol=1e-6)


BAD = [
    ([[1, 2]], {}, "must be an array, not list"),
    (np.zeros((3, 3), np.int64), {}, "can't be int64"),
    (np.zeros((3, 3), complex), {}, "can't be complex128"),
    (torch.zeros(3, 3), {}, "can't be torch.float32"),
    (np.ma.zeros((3, 3)), {}, "masked"),
    (np.zeros(5), {}, r"\(5,\)"),
    (np.zeros((0, 5)), {}, r"\(0, 5\)"),
    (np.zeros((3, 3)), {"axes": "YXS"}, "'YXS' of shape .3, 3."),
    (np.zeros((3, 3, 3)), {"axes": "YXX"}, "'YXX' of shape .3, 3, 3. must be different"),
    (np.zeros((3, 3, 3)), {"axes": "ZYC"}, "lack Y or X"),
    (np.zeros((3, 3, 5)), {"axes": "YXS"}, "S has 1 to 4"),
    (np.zeros((2,) * 9), {}, "can't guess"),
    (np.zeros((3, 3)), {"scale": -1}, "scale must be above 0"),
    (np.zeros((3, 3)), {"scale": 65}, "at most 64"),
    (np.zeros((3, 3)), {"scale": float("nan")}, "not nan"),
    (np.zeros((3, 3)), {"scale": 2, "size": (6, 6)}, "either a scale or a size"),
    (np.zeros((3, 3)), {"size": (6, 0)}, "from 1 on"),
    (np.zeros((3, 3)), {"intensity": "best"}, "'best'"),
    (np.zeros((3, 3)), {"intensity": (5, 5)}, r"\(5, 5\)"),
    (np.zeros((3, 3)), {"intensity": 3}, "not 3"),
    (np.array([[-1e308, 1e308]]), {}, "too far apart"),
    (np.zeros((3, 3)), {"nan": "zero"}, "'zero'"),
    (np.zeros((3, 3, 4)), {"alpha": "none"}, "'none'"),
    (np.zeros((3, 3)), {"out": np.zeros((6, 5))}, r"out must be \(6, 6\) float64"),
    (np.zeros((3, 3)), {"out": np.zeros((6, 6), np.float32)}, "not .* float32"),
    (np.zeros((3, 3)), {"consistency": True, "scale": 1.5}, "whole factor"),
    (np.full((3, 3, 4), 255.0), {}, r"transparency must be in 0..1, not 255..255"),
    (np.full((3, 3, 2), np.nan), {"nan": "keep"}, "transparency must be in 0..1, not nan"),
    (np.zeros((3, 3), bool), {"consistency": True}, "gray levels"),
    (np.zeros((3, 3, 4), np.uint8), {"consistency": True}, "transparent"),
]


@pytest.mark.parametrize(("image", "options", "message"), BAD)
def test_errors_come_before_the_work_and_show_the_value(image: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        NEAREST(image, progress=lambda *_: pytest.fail("it worked"), **options)


def test_the_output_must_not_lie_on_the_input() -> None:
    memory = np.zeros((8, 8), np.uint8)
    with pytest.raises(ImageError, match="share"):
        NEAREST(memory[:4, :4], out=memory)


@pytest.mark.parametrize("target", [(27, 31), (20, 24), (21, 25), (40, 48), (47, 90), (5, 30), (3, 4), (10, 12)])
@pytest.mark.parametrize("linear", [False, True])
def test_other_targets_are_filtered_as_pillow_filters(target: tuple[int, int], linear: bool) -> None:
    """However often the network runs, and however the filter's input comes: the result is Pillow's of the whole."""
    image = noise((10, 12, 3), np.float32) / 100
    large = image
    while large.shape[0] * LARGEST_STRETCH < target[0] or large.shape[1] * LARGEST_STRETCH < target[1]:
        large = repeated(large, "YX")
    large = to_linear(large) if linear and large.shape[:2] != target else large
    bands = [Image.fromarray(large[..., c]).resize(target[::-1], Image.Resampling.LANCZOS) for c in range(3)]
    wanted = np.dstack([np.asarray(band) for band in bands])
    wanted = to_gamma(wanted) if linear and large.shape[:2] != target else wanted
    out = NEAREST(image, size=target, intensity=(0, 1), linear_light=linear)
    np.testing.assert_allclose(out, wanted, atol=2e-5)


def test_networks_for_any_scale_render_the_target_themselves() -> None:
    upscaler = random_upscaler(4, "lte")
    image = noise((9, 8, 3))
    out = upscaler(image, scale=2.7)
    unit = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    wanted = upscaler.network()(unit, (24, 22))[0].permute(1, 2, 0).detach().numpy() * 255
    np.testing.assert_allclose(out, wanted.clip(0, 255), atol=0.51)


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 2.7, 4, 5.3])
def test_the_size_of_a_scale(scale: float) -> None:
    assert NEAREST(noise((7, 10)), scale=scale).shape == (round(7 * scale), round(10 * scale))


def test_linear_light_comes_back() -> None:
    values = np.linspace(-0.5, 1.5, 1001)
    np.testing.assert_allclose(to_gamma(to_linear(values)), values, atol=1e-6)
    assert to_linear(np.array(0.5)) == pytest.approx(0.21404114)  # IEC 61966-2-1


def test_progress_rises_to_the_end_and_cancel_stops() -> None:
    seen: list[float] = []
    image = noise((2, 12, 12, 4))
    RANDOM(image, scale=5, axes="TYXS", progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with pytest.raises(Cancelled):
        RANDOM(image, axes="TYXS", cancel=lambda: True)


def test_the_mean_stands_in_for_what_is_not_finite() -> None:
    """The same one for every piece of a plane, so that the result doesn't depend on the memory."""
    image = np.array([[0, 1, np.nan, 0.5]], np.float64)
    assert RANDOM.survey(image, intensity=(0, 1), nan="keep").planes[0].stand_in == 0.5
    assert RANDOM.survey(image * np.nan, intensity=(0, 1), nan="keep").planes[0].stand_in == 0


WRONG = [{"precision": ["float32"]}, {"precision": 16}, {"memory_limit": "4GB"}, {"memory_limit": 0}, {"memory_limit": True}]


@pytest.mark.parametrize("options", [*WRONG, {"memory_limit": 1.5}, {"device": "meta"}, {"device": "tpu9"}, {"device": 1.5}])
def test_an_upscaler_that_cannot_be_says_what_was_wrong(options: dict[str, Any]) -> None:
    (value,) = options.values()
    with pytest.raises(EscError, match=re.escape(repr(value))):
        Upscaler("esc-nano-x2", **options)


@pytest.mark.parametrize("model", [None, 3, "", " ", b"esc-nano-x2"])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(EscError, match="a model must be"):
        Upscaler(model)


def test_whole_numbers_of_any_kind() -> None:
    assert Upscaler(NEAREST.model, memory_limit=np.int64(2**30)).memory_limit == 2**30


SIZES = [
    {"scale": "2"},
    {"scale": 0},
    {"scale": np.nan},
    {"scale": True},
    {"size": "ab"},
    {"size": (np.nan, 9)},
    {"size": 9},
]
OTHERS = [{"axes": 3}, {"bits": "8"}, {"out": [1]}, {"nan": None}, {"alpha": 1}]


@pytest.mark.parametrize("options", [*SIZES, *OTHERS])
def test_misuse_from_python_is_an_image_error(options: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        NEAREST(np.zeros((4, 4), np.uint8), **options)
