"""Stacks with coarse z: planes between planes, made in sections along z, and where they lie afterwards."""

from __future__ import annotations

import tempfile
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import Cancelled, ImageError, volume
from esc_plugin.arrays.framing import Framing
from esc_plugin.arrays.sizes import isotropic_planes
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job, label_of
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.files.ome_axes import Axes
from esc_plugin.volume import upscale_volume

from .commands import inside_the_test
from .small import nearest_upscaler, random_upscaler

NEAREST, RANDOM = nearest_upscaler(), random_upscaler()
TYPES = ["uint8", "uint16", "int16", "int32", "float16", "float32", "float64"]


def noise(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@st.composite
def stacks(draw: st.DrawFn) -> np.ndarray:
    """Draw a stack (Z, Y, X) of a size that doesn't suit windows."""
    shape = draw(st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 9)))
    return noise(shape, np.float32, draw(st.integers(0, 99)))


FACTORS = st.sampled_from([1.5, 2, 2.7, 3, 4])


@pytest.mark.parametrize("axes", ["ZYX", "XZY", "CYZX", "TZCYX", "ZYXS"])
def test_each_section_is_a_whole_image(axes: str) -> None:
    """Of any order of axes: the mean of what the network makes of a row's XZ section and of a column's YZ section."""
    sizes = {"T": 2, "C": 2, "Z": 3, "Y": 6, "X": 7, "S": 3}
    image = noise(tuple(sizes[a] for a in axes))
    found = upscale_volume(RANDOM, image, axes=axes, factor=2, intensity=(0, 100))
    samples = "S" if "S" in axes else ""
    outer = "".join(a for a in axes if a not in "ZYXS")
    ordered, made = (
        np.moveaxis(array, [axes.index(a) for a in outer + "ZYX" + samples], range(array.ndim)) for array in (image, found)
    )
    for place in np.ndindex(*ordered.shape[: len(outer)]):
        one = ordered[place]
        rows = [RANDOM(one[:, y], axes="YX" + samples, size=(6, 7), intensity=(0, 100)) for y in range(6)]
        columns = [RANDOM(one[:, :, x], axes="YX" + samples, size=(6, 6), intensity=(0, 100)) for x in range(7)]
        wanted = (np.stack(rows, 1) + np.stack(columns, 2)) / 2
        np.testing.assert_allclose(made[place], wanted, rtol=1e-6, atol=1e-5)


def test_one_kind_of_sections_alone() -> None:
    image = noise((3, 5, 6))
    xz, yz = (upscale_volume(RANDOM, image, factor=3, sections=name) for name in ("XZ", "YZ"))
    np.testing.assert_allclose(upscale_volume(RANDOM, image, factor=3), (xz + yz) / 2, rtol=1e-6)
    assert np.abs(xz - yz).max() > 0.01


@settings(max_examples=15)
@given(st.sampled_from(TYPES), FACTORS, st.integers(0, 100))
def test_what_is_constant_stays_constant(dtype: str, factor: float, value: int) -> None:
    image = np.full((3, 4, 5), value, dtype)
    out = upscale_volume(NEAREST, image, factor=factor)
    assert (out.shape, out.dtype) == ((round(3 * factor), 4, 5), image.dtype)
    np.testing.assert_allclose(out, value, rtol=1e-6)


@settings(max_examples=15)
@given(stacks(), st.sampled_from([2, 3, 4]))
def test_planes_keep_their_mean(image: np.ndarray, factor: int) -> None:
    """With consistency: the mean of the voxels that one becomes is that voxel."""
    out = upscale_volume(RANDOM, image, factor=factor, consistency=True)
    np.testing.assert_allclose(out.reshape(len(image), factor, *image.shape[1:]).mean(1), image, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_sums_of_integers_are_kept_exactly(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside bright voxels the network falls below 0, which dark ones can't."""
    monkeypatch.setattr(volume, "BLOCK_BYTES", 1000)
    image = noise((2, 4, 5, 6), dtype) * np.array(0 if dtype == "uint8" else 9, dtype)
    image[:, 1], image[0, 2, 3] = np.iinfo(dtype).max, 0
    out = upscale_volume(RANDOM, image, axes="TZYX", factor=3, consistency=True)
    np.testing.assert_array_equal(out.reshape(2, 4, 3, 5, 6).sum(2, dtype=np.int64), image.astype(np.int64) * 3)


@settings(max_examples=10)
@given(stacks(), FACTORS, st.sampled_from([0, 1, 2]))
def test_a_mirrored_stack_gives_the_mirrored_result(image: np.ndarray, factor: float, axis: int) -> None:
    out = upscale_volume(NEAREST, image, factor=factor, intensity=(0, 100))
    mirrored = upscale_volume(NEAREST, np.flip(image, axis), factor=factor, intensity=(0, 100))
    np.testing.assert_allclose(np.flip(mirrored, axis), out, atol=1e-4)


def test_turning_rows_into_columns_turns_the_result() -> None:
    image = noise((3, 5, 8))
    out = upscale_volume(RANDOM, image.transpose(0, 2, 1), factor=2)
    np.testing.assert_allclose(out.transpose(0, 2, 1), upscale_volume(RANDOM, image, factor=2), atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_blocks_and_what_is_read_by_index_change_nothing(
    dtype: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dask = pytest.importorskip("dask.array")
    image = noise((2, 3, 7, 9), dtype)
    whole = upscale_volume(RANDOM, image, axes="TZYX", spacing=(0.5, 0.2, 0.2))
    assert whole.shape == (2, 8, 7, 9)
    monkeypatch.setattr(volume, "BLOCK_BYTES", 1000)
    out = np.memmap(tmp_path / "out", dtype, "w+", shape=whole.shape)
    lazy = dask.from_array(image, chunks=(1, 2, 4, 4))
    assert upscale_volume(RANDOM, lazy, axes="TZYX", spacing=(0.5, 0.2, 0.2), out=out) is out
    np.testing.assert_array_equal(out, whole)


def test_a_zarr_array_can_be_filled() -> None:
    zarr = pytest.importorskip("zarr")
    image = noise((2, 6, 7), np.uint16)
    source, out = (zarr.create_array({}, shape=shape, chunks=(1, 4, 4), dtype="uint16") for shape in ((2, 6, 7), (4, 6, 7)))
    source[:] = image
    upscale_volume(RANDOM, source, factor=2, out=out)
    np.testing.assert_array_equal(out[:], upscale_volume(RANDOM, image, factor=2))


def test_each_channel_has_its_levels_and_all_its_frames_share_them() -> None:
    image = noise((2, 2, 3, 5, 6), np.uint16)
    image[:, 1] *= 300  # a bright channel
    image[1] *= 2  # a bright frame
    both = upscale_volume(RANDOM, image, axes="TCZYX", factor=2)
    for channel in range(2):
        np.testing.assert_array_equal(both[:, channel], upscale_volume(RANDOM, image[:, channel], axes="TZYX", factor=2))
    levels = RANDOM.levels(image, axes="TCZYX")
    frame = upscale_volume(RANDOM, image[0], axes="CZYX", factor=2, intensity=levels)
    np.testing.assert_array_equal(both[0], frame)


def test_the_ends_of_a_type_are_no_wall_for_the_mean() -> None:
    """Values beyond the type are clipped once, after the mean; its ends stay what they are."""
    image = np.zeros((4, 6, 6), np.uint16)
    image[2:] = 65535
    out = upscale_volume(NEAREST, image, factor=2)
    assert (out[:3] == 0).all()
    assert (out[5:] == 65535).all()
    mask = upscale_volume(NEAREST, image > 0, factor=2)
    np.testing.assert_array_equal(mask, (image > 0).repeat(2, 0))


def test_what_is_not_finite_stays_where_it_was() -> None:
    image = noise((3, 5, 6))
    image[1, 2, 3], image[0, 0, 0], image[2, 4, 5] = np.nan, np.inf, -np.inf
    with pytest.raises(ImageError, match="NaN"):
        upscale_volume(RANDOM, image, factor=2)
    out = upscale_volume(RANDOM, image, factor=2, nan="keep")
    odd = ~np.isfinite(image).repeat(2, 0)
    np.testing.assert_array_equal(out[odd], image.repeat(2, 0)[odd])
    assert np.isfinite(out[~odd]).all()


def test_a_cancelled_stack_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(volume, "BLOCK_BYTES", 1000)
    image, out = noise((3, 5, 6)), np.full((6, 5, 6), 7, np.float32)
    asked = [0]

    def cancel(after: int) -> bool:
        asked[0] += 1
        return asked[0] > after

    for after in range(0, 40, 3):
        asked[0] = 0
        with pytest.raises(Cancelled):
            upscale_volume(RANDOM, image, factor=2, out=out, cancel=lambda after=after: cancel(after))
    assert (out == 7).all()
    assert not list(tmp_path.iterdir())


def test_progress_rises_to_the_end() -> None:
    seen: list[float] = []
    upscale_volume(
        RANDOM, noise((2, 3, 5, 6)), axes="CZYX", factor=3, progress=lambda done, total: seen.append(done / total)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1


BAD = [
    ({"axes": "TYX"}, r"two planes \(Z\) or more, this image has the axes 'TYX'"),
    ({"axes": "YXZ", "image": np.zeros((4, 5, 1), np.uint8)}, "two planes"),
    ({"axes": "ZYXS", "image": np.zeros((3, 4, 5, 4), np.uint8)}, "transparency"),
    ({"factor": None}, "either the spacing of the voxels or a factor, not None and None"),
    ({"spacing": (1, 1, 1)}, "either the spacing"),
    ({"factor": 0.5}, "from 1 on, not 0.5"),
    ({"factor": 65}, "at most 64, not 65"),
    ({"factor": "2"}, "from 1 on, not '2'"),
    ({"factor": None, "spacing": (1, 1)}, r"not \(1, 1\)"),
    ({"factor": None, "spacing": (1, 0, 1)}, r"not \(1, 0, 1\)"),
    ({"factor": None, "spacing": (0.1, 0.2, 0.2)}, r"voxels are 0.1 x 0.2 x 0.2"),
    ({"sections": "XY"}, "'XZ', 'YZ' or both, not 'XY'"),
    ({"sections": ()}, r"or both, not \(\)"),
    ({"consistency": True, "factor": 2.5}, "whole factor"),
    ({"intensity": "best"}, "'best'"),
    ({"out": np.zeros((6, 4, 4), np.uint8)}, r"out must be \(6, 4, 5\) uint8"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_errors_come_before_the_work(options: dict[str, Any], message: str) -> None:
    given = {"image": np.zeros((3, 4, 5), np.uint8), "factor": 2, "progress": lambda *_: pytest.fail("it worked")} | options
    with pytest.raises(ImageError, match=message):
        upscale_volume(RANDOM, given.pop("image"), **given)


def test_how_many_planes_make_voxels_isotropic() -> None:
    assert isotropic_planes(12, (0.5, 0.16, 0.16)) == 38  # 37.5
    assert isotropic_planes(10, (4, 1, 4)) == 20
    assert isotropic_planes(10, (-0.2, 0.1, -0.1)) == 20  # axes that run the other way


@given(st.integers(2, 99), st.integers(2, 99), st.floats(-9, 9), st.floats(0.1, 9))
def test_the_outer_edges_stay_where_they_were(planes: int, target: int, start: float, step: float) -> None:
    old = Axes("zyx", (step, 1.0, -0.2), (start, 1.0, 2.0), ("micrometer",) * 3)
    new = old.enlarged(2, 3, target / planes)
    for axis, (n, m) in enumerate([(planes, target), (5, 10), (4, 12)]):
        for edge in (-0.5, None):
            before = old.translate[axis] + old.scale[axis] * (n - 0.5 if edge is None else edge)
            after = new.translate[axis] + new.scale[axis] * (m - 0.5 if edge is None else edge)
            assert after == pytest.approx(before, abs=1e-9 * (abs(start) + n * step + 1))


# Files


def write_ome(path: Path, image: np.ndarray, axes: str = "ZYX", z: float | None = 0.6, **more: Any) -> Path:
    metadata = {"axes": axes, "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.2, **more}
    metadata |= {"PhysicalSizeZ": z, "PhysicalSizeZUnit": "µm"} if z else {}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, photometric="minisblack")
    return path


def positions(count: int, start: float, step: float) -> dict[str, Any]:
    return {"Plane": {"PositionZ": [start + step * z for z in range(count)], "PositionZUnit": ["µm"] * count}}


@pytest.fixture(name="esc")
def _esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return inside_the_test(monkeypatch, capsys)


def test_an_ome_tiff_says_where_its_planes_lie_now(esc: Any, tmp_path: Path) -> None:
    image = noise((4, 12, 13), np.uint16)
    path = write_ome(tmp_path / "stack.ome.tif", image, **positions(4, 10.0, -0.6))
    esc("upscale", path, "--isotropic")
    with tifffile.TiffFile(tmp_path / "stack_isotropic.ome.tif") as tif:
        assert (tif.series[0].shape, tif.series[0].axes) == ((12, 12, 13), "ZYX")
        about = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (about["SizeZ"], about["PhysicalSizeZ"], about["PhysicalSizeX"]) == (12, pytest.approx(0.2), 0.2)
    assert [plane["TheZ"] for plane in about["Plane"]] == list(range(12))
    # The first voxel's outer edge was at 10.3, the last one's at 7.9.
    np.testing.assert_allclose([plane["PositionZ"] for plane in about["Plane"]], 10.2 - 0.2 * np.arange(12))
    record = read_provenance(tmp_path / "stack_isotropic.ome.tif")
    assert (record["planes"], record["size"]) == (12, [12, 13])


def test_a_stack_from_ome_zarr_lies_where_it_lay(esc: Any, tmp_path: Path) -> None:
    pytest.importorskip("yaozarrs")
    pytest.importorskip("zarr")
    from esc_plugin.files.ome_image import save_image

    axes = Axes("zyx", (0.6, 0.2, 0.2), (3.0, 1.0, 2.0), ("micrometer",) * 3)
    save_image(tmp_path / "a.ome.zarr", noise((3, 8, 9), np.uint16), axes)
    esc("upscale", tmp_path / "a.ome.zarr", "--isotropic", "-o", tmp_path / "b.ome.tif")
    found = read_picture(tmp_path / "b.ome.tif").ome
    assert found is not None
    np.testing.assert_allclose(found.axes.scale, (0.2, 0.2, 0.2))
    np.testing.assert_allclose(found.axes.translate, (2.8, 1.0, 2.0))


def test_a_new_ome_tiff_follows_its_schema(esc: Any, tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types")
    path = write_ome(tmp_path / "a.ome.tif", noise((2, 2, 3, 5, 4), np.uint8), "TCZYX", **positions(12, 0, 0.6))
    esc("upscale", path, "--isotropic", "-s", 2)
    (found,) = ome_types.from_tiff(tmp_path / "a_isotropic_x2.ome.tif").images
    pixels = found.pixels
    assert (pixels.size_z, pixels.size_y, pixels.physical_size_z) == (18, 10, pytest.approx(0.1))
    assert (pixels.physical_size_x, len(pixels.planes)) == (pytest.approx(0.1), 72)


def test_imagej_s_spacing_follows(esc: Any, tmp_path: Path) -> None:
    metadata = {"axes": "ZCYX", "spacing": 0.5, "unit": "um", "Labels": [f"plane {i}" for i in range(6)]}
    tifffile.imwrite(tmp_path / "a.tif", noise((3, 2, 9, 9), np.uint16), imagej=True, resolution=(4, 4), metadata=metadata)
    said = esc("upscale", tmp_path / "a.tif", "--isotropic")
    assert "labels of ImageJ's planes are left out" in said
    with tifffile.TiffFile(tmp_path / "a_isotropic.tif") as tif:
        about = tif.imagej_metadata
        assert (about["spacing"], about["slices"], about["channels"]) == (0.25, 6, 2)
    notes = read_picture(tmp_path / "a_isotropic.tif").ome
    assert notes is not None
    assert notes.axes.voxel == (0.25, 0.25, 0.25)


def test_a_file_holds_what_python_makes(esc: Any, tmp_path: Path) -> None:
    from esc_plugin import Upscaler

    image = noise((2, 4, 7, 8), np.uint16)
    image[1] *= 50
    path = write_ome(tmp_path / "a.ome.tif", image, "CZYX")
    esc("upscale", path, "-m", "esc-nano-x2", "--isotropic", "--consistency", "-o", tmp_path / "b.tif")
    wanted = upscale_volume(Upscaler("esc-nano-x2"), image, axes="CZYX", spacing=(0.6, 0.2, 0.2), consistency=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), wanted)


def test_what_cannot_become_isotropic_is_one_line(esc: Any, tmp_path: Path) -> None:
    stack = noise((3, 8, 8), np.uint8)
    flat = write_ome(tmp_path / "flat.ome.tif", stack[0], "YX", None)
    unknown = write_ome(tmp_path / "unknown.ome.tif", stack, z=None)
    fine = write_ome(tmp_path / "fine.ome.tif", stack, z=0.1)
    good = write_ome(tmp_path / "good.ome.tif", stack)
    tifffile.imwrite(tmp_path / "plain.tif", stack, photometric="minisblack")
    plain = tmp_path / "plain.tif"
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, told in [
        ([flat], "no stack"),
        ([unknown], "how far apart its planes are"),
        ([plain, "--axes", "ZYX"], "how far apart its planes are"),
        ([fine], "aren't further apart than the pixels: voxels are 0.1 x 0.2 x 0.2"),
        ([good, "--region", "0:4,0:4"], "whole stacks only"),
        ([good, "-o", tmp_path / "a.ome.zarr"], "isotropic voxels go to a file"),
        ([good, "-o", tmp_path / "a.png"], "can't hold"),
        ([good, "-s", 0.3], "aren't further apart"),
    ]:
        assert told in " ".join(esc("upscale", *arguments, "--isotropic", code=1).split()), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_cancelled_file_is_not_there(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", noise((3, 8, 8), np.uint8))
    batch, target = Batch(RANDOM, isotropic=True), tmp_path / "b.ome.tif"
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        batch.run([Job(path, target)], cancel=lambda: next(asked) > 8)
    assert [found.name for found in tmp_path.iterdir()] == ["a.ome.tif"]


@pytest.mark.parametrize(
    ("framing", "label"),
    [
        (Framing(), "isotropic"),
        (Framing(2), "isotropic_x2"),
        (Framing(width=300), "isotropic_w300"),
        (Framing(preset="4K", mode="fill"), "isotropic_fill_4K"),
    ],
)
def test_names_of_results_say_it(framing: Framing, label: str) -> None:
    assert label_of(framing, 2, isotropic=True) == label


def test_every_order_of_axes_is_the_same_stack() -> None:
    image = noise((3, 4, 5), np.uint8)
    wanted = upscale_volume(NEAREST, image, factor=2)
    for order in permutations(range(3)):
        axes = "".join("ZYX"[i] for i in order)
        np.testing.assert_array_equal(
            upscale_volume(NEAREST, image.transpose(order), axes=axes, factor=2), wanted.transpose(order)
        )
