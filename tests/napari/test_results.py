"""Results as layers, without a window: pixels, place, and everything that is copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Layer

from esc_plugin import Cancelled, ImageError, Upscaler, __version__
from esc_plugin.arrays.pyramid import levels_below
from esc_plugin.session import views, work
from esc_plugin.session.task import Settings, Task
from napari_esc.facts import NOT_COPIED, copied, finest
from napari_esc.geometry import whole_region
from napari_esc.layers import layer_of
from napari_esc.source import Source

from .layers_to_try import kinds, pixels
from .test_geometry import outer_corners

KINDS = kinds()


def task_of(layer: Image, model: str, region: Any = None, **choices: Any) -> Task:
    settings = Settings(model, **{"factor": (2.0, 2.0), "device": "cpu", **choices})
    return Source.of(layer).task(region or whole_region(layer), settings)


def upscaled(layer: Image, model: str, region: Any = None, **choices: Any) -> tuple[Task, Any, Image]:
    # Lowest to highest, so that a network that repeats pixels repeats them all.
    source, task = Source.of(layer), task_of(layer, model, region, **{"intensity": "minmax", **choices})
    result = work.run(task)
    return task, result, layer_of(source, result)


def repeated(values: np.ndarray, rgb: bool, factor: int = 2) -> np.ndarray:
    at = values.ndim - 3 if rgb else values.ndim - 2
    return values.repeat(factor, at).repeat(factor, at + 1)


def assert_same_pixels(found: np.ndarray, wanted: np.ndarray) -> None:
    """Integers agree exactly, floating values to the rounding of the map from their levels to 0..1 and back."""
    rounding = 0 if wanted.dtype.kind in "iu" else 1e-6 * float(np.nanmax(wanted) - np.nanmin(wanted))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_its_source_in_smaller_pixels(kind: str, nearest: str) -> None:
    data, properties = KINDS[kind]
    source = Image(data, name="cells", metadata={"stain": "DAPI"}, **properties)
    before = copied(source)
    _, _, layer = upscaled(source, nearest)
    # The pixels.
    original = np.asarray(finest(source))
    assert layer.data.dtype == original.dtype
    assert_same_pixels(layer.data, repeated(original, source.rgb))
    # The place.
    np.testing.assert_allclose(
        outer_corners(layer, whole_region(layer)), outer_corners(source, whole_region(source)), rtol=0, atol=1e-9
    )
    # Everything else.
    after = copied(layer)
    assert after.keys() == before.keys()
    for key, value in before.items():
        np.testing.assert_equal(after[key], value, err_msg=key)
    assert layer.units == source.units
    assert layer.axis_labels == source.axis_labels
    if not source.rgb:
        assert list(layer.contrast_limits_range) == list(source.contrast_limits_range)
    assert layer.name == "cells [x2]"
    assert layer.metadata["stain"] == "DAPI"
    assert "esc" not in source.metadata


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_a_layer_lies_on_that_part(kind: str, nearest: str) -> None:
    data, properties = KINDS[kind]
    source = Image(data, **properties)
    region = tuple(slice(n // 3, n // 3 + max(n // 2, 1)) for n in finest(source).shape[: source.ndim])
    _, _, layer = upscaled(source, nearest, region)
    assert_same_pixels(layer.data, repeated(np.asarray(finest(source)[region]), source.rgb))
    np.testing.assert_allclose(outer_corners(layer, whole_region(layer)), outer_corners(source, region), rtol=0, atol=1e-9)


def test_all_properties_of_an_image_are_copied_or_left_out_on_purpose() -> None:
    state = Image(pixels(8, 8)).as_layer_data_tuple()[1]
    kept = copied(Image(pixels(8, 8)))
    assert set(state) - set(kept) <= set(NOT_COPIED)
    assert {"colormap", "contrast_limits", "gamma", "blending", "rotate", "shear", "affine", "units", "axis_labels"} <= set(
        kept
    )


def test_provenance_says_how_a_result_came_about(nearest: str) -> None:
    region = (slice(2, 10), slice(0, 12))
    _, _, layer = upscaled(Image(pixels(12, 12), name="cells"), nearest, region, intensity=(0.0, 2000.0))
    told = layer.metadata["esc"]
    assert told["software"] == f"esc-plugin {__version__}"
    assert (told["model"], told["source"]) == ("nearest-x2", Path(nearest).name)  # files go to others
    assert len(told["sha256"]) == 64
    assert told["source_layer"] == "cells"
    assert told["source_region"] == [[2, 10], [0, 12]]
    assert told["factor"] == [2.0, 2.0]
    assert told["levels"] == [[0.0, 2000.0]]
    assert told["precision"] == "float32"


def with_contrast(*shape: int) -> np.ndarray:
    """Return planes of growing brightness, so that each would have levels of its own."""
    values = pixels(*shape).astype(np.uint16)
    return values + 1000 * np.arange(1, shape[0] + 1, dtype=np.uint16).reshape(-1, *[1] * (len(shape) - 1))


@pytest.mark.parametrize("make", [np.asarray, lambda data: dask.array.from_array(data, chunks=(1, 16, 16))])
def test_a_part_has_the_levels_of_its_layer(make: Any) -> None:
    """A preview, a plane, a region: each equals the same place in the result of the whole."""
    source = Image(make(with_contrast(3, 48, 40)), name="cells")
    whole, part = (
        upscaled(source, "esc-nano-x2", region, intensity="auto")[2]
        for region in (whole_region(source), (slice(1, 2), slice(0, 48), slice(0, 40)))
    )
    np.testing.assert_array_equal(part.data[0], whole.data[1])
    assert part.metadata["esc"]["levels"] == whole.metadata["esc"]["levels"]


def test_channels_of_a_layer_have_levels_of_their_own() -> None:
    data = with_contrast(2, 40, 32)
    layer = Image(data, name="both", axis_labels=("channel", "y", "x"))
    both = upscaled(layer, "esc-nano-x2", intensity="auto")[2]
    assert len(both.metadata["esc"]["levels"]) == 2
    for channel in range(2):
        alone = upscaled(Image(data[channel]), "esc-nano-x2", intensity="auto")[2]
        np.testing.assert_array_equal(both.data[channel], alone.data)
    second = upscaled(layer, "esc-nano-x2", (slice(1, 2), slice(0, 40), slice(0, 32)), intensity="auto")[2]
    np.testing.assert_array_equal(second.data[0], both.data[1])
    assert second.metadata["esc"]["levels"] == both.metadata["esc"]["levels"][1:]


def test_a_pixel_size_that_differs_by_axis(nearest: str) -> None:
    """Square pixels from oblong ones: another factor down than across."""
    source = Image(pixels(20, 30), scale=(0.4, 0.2))
    _, _, layer = upscaled(source, nearest, factor=(4.0, 2.0))
    assert layer.data.shape == (80, 60)
    np.testing.assert_allclose(layer.scale, (0.1, 0.1))
    assert layer.name.endswith("[x4 x2]")


def test_the_source_may_change_while_the_work_goes_on(nearest: str) -> None:
    source = Image(pixels(16, 16), name="a", scale=(2, 2), colormap="magma")
    taken, task = Source.of(source), task_of(source, nearest)
    source.name, source.scale, source.colormap, source.data = "b", (9, 9), "gray", pixels(3, 3)
    layer = layer_of(taken, work.run(task))
    assert (layer.name, layer.colormap.name, layer.data.shape) == ("a [x2]", "magma", (32, 32))
    np.testing.assert_allclose(layer.scale, (1, 1))


def test_a_difference_is_measured_and_placed(nearest: str) -> None:
    source = Image(pixels(3, 12, 16), scale=(1, 0.5, 0.5), translate=(0, 3, 4), units=("micrometer",) * 3)
    region = (slice(1, 3), slice(2, 10), slice(0, 16))
    _, result, _ = upscaled(source, nearest, region, difference=True)
    assert result.agreement is not None
    assert (result.agreement.bias, result.agreement.rms) == (0, 0)  # repeated pixels average to what they were
    layer = Layer.create(*Source.of(source).difference_data(result))
    assert layer.data.shape == (2, 8, 16)
    assert not layer.data.any()
    assert layer.units == source.units
    np.testing.assert_allclose(outer_corners(layer, whole_region(layer)), outer_corners(source, region), atol=1e-9)


def test_a_difference_is_input_minus_averaged_result() -> None:
    source = Image(pixels(24, 24))
    _, result, _ = upscaled(source, "esc-nano-x2", difference=True)
    averaged = result.data.reshape(24, 2, 24, 2).mean((1, 3))
    np.testing.assert_allclose(result.difference, source.data - averaged, atol=1e-3)
    found = result.agreement
    np.testing.assert_allclose(
        [found.bias, found.rms], [-result.difference.mean(), np.sqrt(np.square(result.difference).mean())], rtol=1e-4
    )
    assert found.mean == pytest.approx(source.data.mean())


def test_local_averages_are_kept_on_request() -> None:
    source = Image(pixels(20, 20))
    _, result, _ = upscaled(source, "esc-nano-x2", consistency=True, difference=True)
    assert (result.agreement.bias, result.agreement.rms) == (0, 0)


def test_a_lazy_layer_is_read_plane_by_plane(nearest: str) -> None:
    import dask.array as da

    asked: list[tuple[int, ...]] = []

    def load(block_info: Any = None) -> np.ndarray:
        asked.append(tuple(block_info[None]["chunk-location"]))
        return np.full((1, 10, 10), 7, np.uint16)

    lazy = da.map_blocks(load, chunks=((1,) * 6, (10,), (10,)), dtype=np.uint16)
    asked.clear()
    source = Image(lazy, contrast_limits=(0, 10))
    asked.clear()
    upscaled(source, nearest, (slice(2, 4), slice(0, 10), slice(0, 10)), intensity=(0.0, 10.0))
    assert {place[0] for place in asked} == {2, 3}


def test_cancel_stops_before_the_next_plane(nearest: str) -> None:
    source = Image(pixels(5, 8, 8))
    with pytest.raises(Cancelled):
        work.run(task_of(source, nearest), cancel=lambda: True)


def test_large_results_are_pyramids(nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.arrays.pyramid.LARGEST_PLAIN", 100)
    monkeypatch.setattr("esc_plugin.arrays.pyramid.SMALLEST_LEVEL", 40)
    source = Image(pixels(2, 60, 70), scale=(1, 0.5, 0.5))
    _, _, layer = upscaled(source, nearest)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(2, 120, 140), (2, 60, 70), (2, 30, 35)]
    np.testing.assert_array_equal(layer.data[1], source.data)  # the mean of repeated pixels
    np.testing.assert_array_equal(layer.data[2], np.rint(source.data.reshape(2, 30, 2, 35, 2).mean((2, 4))))
    np.testing.assert_allclose(
        outer_corners(layer, whole_region(layer)), outer_corners(source, whole_region(source)), rtol=0, atol=1e-9
    )


def test_a_factor_below_0_is_refused(nearest: str) -> None:
    with pytest.raises(ImageError, match=r"above 0 and at most 64, not -2\.0"):
        task_of(Image(pixels(8, 8)), nearest, factor=(-2.0, 2.0))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_type_that_cannot_be_upscaled_is_refused_with_the_task(dtype: Any, nearest: str) -> None:
    with pytest.raises(ImageError, match=f"can't be {np.dtype(dtype)}"):
        task_of(Image(np.zeros((8, 8), dtype), contrast_limits=(0, 1)), nearest)


def test_a_part_has_the_means_of_its_layer() -> None:
    """A preview anywhere, a plane, a region: each is that place of the result of the whole, to the bit, at any factor."""
    data = with_contrast(2, 60, 75)
    data[:, :30] //= 2  # so that the mean of a part isn't that of the whole
    for factor in ((2.0, 2.0), (1.5, 2.4)):
        source = Image(data, name="cells", scale=(1, 0.4, 0.3))
        _, _, whole = upscaled(source, "esc-nano-x2", factor=factor, intensity="auto")
        views.recent.clear()
        for region in ((slice(1, 2), slice(7, 41), slice(11, 74)), (slice(0, 2), slice(31, 60), slice(0, 75))):
            task, _, part = upscaled(source, "esc-nano-x2", region, factor=factor, intensity="auto", difference=True)
            rows, columns = (slice(*ends) for ends in task.span)
            np.testing.assert_array_equal(part.data, whole.data[region[0], rows, columns])
            # It lies where these pixels lie in the whole.
            first = (region[0].start, rows.start, columns.start)
            np.testing.assert_allclose(part.data_to_world((0, 0, 0)), whole.data_to_world(first), rtol=0, atol=1e-12)
            covered, wanted = outer_corners(part, whole_region(part)), outer_corners(source, region)
            assert np.abs(covered - wanted).max() <= max(part.scale[1:])  # whole pixels of the result


@pytest.mark.parametrize("make", [np.asarray, lambda data: dask.array.from_array(data.copy(), chunks=(64, 64))])
def test_a_preview_is_a_part_of_the_result(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PREVIEW_SECONDS", 0.0)
    source = Image(make(pixels(200, 180)), name="cells")
    task = task_of(source, "esc-nano-x2", (slice(20, 190), slice(0, 150)))
    preview = work.preview(task)
    assert work.LEAST_PREVIEW // 2 < preview.task.pixels < task.pixels
    whole = work.run(task.of_planes())
    rows, columns = (slice(*ends) for ends in preview.task.span)
    np.testing.assert_array_equal(preview.data, whole.data[rows, columns])
    assert preview.record["survey"] == whole.record["survey"]
    assert preview.record["survey"]["method"] == "exact"


def test_the_record_names_the_precision_of_the_survey() -> None:
    """Samples run in float32, also where the pixels of 8 bits alone would have led to something shorter."""
    source = Image(pixels(200, 200, dtype="uint8", high=255), name="photo")
    result = work.run(task_of(source, "esc-nano-x2", sampled=True))
    assert result.record["survey"]["method"] == "sampled"
    assert result.record["precision"] == "float32"


def count_surveys(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []
    survey = Upscaler.survey

    def counted(self: Upscaler, *args: Any, **options: Any) -> Any:
        made.append(options.get("pixels"))
        return survey(self, *args, **options)

    monkeypatch.setattr(Upscaler, "survey", counted)
    return made


def test_a_layer_is_surveyed_once(nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_surveys(monkeypatch)
    source = Image(pixels(40, 40))
    for region in ((slice(0, 9), slice(0, 9)), (slice(20, 33), slice(8, 40)), whole_region(source)):
        upscaled(source, nearest, region)
    assert made == [None]
    upscaled(source, nearest, (slice(0, 9), slice(0, 9)), consistency=True)  # another request
    assert made == [None, None]


def test_the_survey_of_a_whole_result_serves_its_parts(nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_surveys(monkeypatch)
    source = Image(pixels(3, 40, 40))
    whole = upscaled(source, nearest)[2]
    part = upscaled(source, nearest, (slice(0, 3), slice(3, 9), slice(0, 9)))[2]
    assert not made
    assert part.metadata["esc"]["survey"] == whole.metadata["esc"]["survey"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_layer_that_changes_in_place_is_surveyed_anew(lazy: bool) -> None:
    """In memory any change is seen; of a lazy layer, one that touches the pixels that its digest is made of."""
    data = pixels(64, 64)
    source = Image(dask.array.from_array(data, chunks=64, name="same", asarray=False) if lazy else data)
    region = slice(8, 40), slice(8, 40)
    settings = {"intensity": (0.0, 1000.0)}
    upscaled(source, "esc-nano-x2", region, **settings)
    data[0 if lazy else 5, 30:34] = 0
    data[32:] //= 3
    found = upscaled(source, "esc-nano-x2", region, **settings)[2].data
    views.recent.clear()
    np.testing.assert_array_equal(found, upscaled(source, "esc-nano-x2", region, **settings)[2].data)


def test_what_takes_long_to_survey_is_sampled_for_a_look_and_exact_for_a_run(
    nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_surveys(monkeypatch)
    monkeypatch.setattr(views, "SOON", 0.0)
    source = Image(pixels(300, 300))
    task = task_of(source, nearest, (slice(0, 90), slice(0, 90)))
    work.preview(task)
    work.run(task)
    assert made == [views.SAMPLED_PIXELS, None]
    work.preview(task)  # the exact one is there now
    assert len(made) == 2
    upscaled(source, nearest, sampled=True)
    assert made == [views.SAMPLED_PIXELS, None, views.SAMPLED_PIXELS]


def test_what_shows_a_lazy_layer_from_afar() -> None:
    data = np.broadcast_to(np.uint8(3), (2, 9000, 40))
    shapes = [level.shape for level in levels_below(np.broadcast_to(np.uint8(0), (2, 18000, 80)), [data], False)]
    assert shapes[:2] == [(2, 9000, 40), (2, 4500, 20)]
    other = [data, data[:1, ::2, ::2]]  # halved along the planes too, so that one isn't over the other
    assert len(levels_below(data.repeat(2, 1), other, False)) == 1
