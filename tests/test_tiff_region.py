"""TIFF by region: the values of the whole file, from only the tiles and strips that a region touches."""

from __future__ import annotations

import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import ImageError
from esc_plugin.files import Picture, read_picture, write_picture
from esc_plugin.files.file_array import FileArray
from esc_plugin.files.tiff_region import MappedTiff, TiledTiff

from .confined import run_confined
from .small import random_upscaler

#: How pages are stored, and shapes with their types that this is for.
GRAY = {"photometric": "minisblack"}
KINDS: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    "tiled": (GRAY | {"tile": (16, 32)}, (70, 90), "u2"),
    "tiled and compressed": (GRAY | {"tile": (32, 16), "compression": "zlib", "predictor": True}, (70, 90), "u2"),
    "LZW": (GRAY | {"tile": (32, 32), "compression": "lzw"}, (70, 90), "u1"),
    "floating": (GRAY | {"rowsperstrip": 9, "compression": "zlib", "predictor": 3}, (70, 90), "f4"),
    "big-endian": (GRAY | {"tile": (16, 16), "byteorder": ">"}, (70, 90), "u2"),
    "strips": (GRAY | {"rowsperstrip": 7, "compression": "zlib"}, (70, 90), "u2"),
    "plain": (GRAY, (70, 90), "u2"),
    "plain, big-endian": (GRAY | {"byteorder": ">"}, (3, 70, 90), "f4"),
    "BigTIFF": (GRAY | {"bigtiff": True, "tile": (16, 16)}, (70, 90), "u2"),
    "RGB": ({"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}, (40, 50, 3), "u1"),
    "RGBA": ({"photometric": "rgb", "tile": (16, 16), "extrasamples": ["unassalpha"]}, (40, 50, 4), "u1"),
    "planar": ({"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16)}, (3, 40, 50), "u2"),
    "planar strips": (
        {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 7, "compression": "zlib"},
        (3, 40, 50),
        "u1",
    ),
    "volume": (GRAY | {"volumetric": True, "tile": (2, 16, 16)}, (5, 40, 50), "u2"),
    "stack": (GRAY | {"metadata": {"axes": "TCYX"}, "tile": (16, 16), "ome": True}, (2, 3, 40, 50), "u2"),
    "stack of colours": ({"photometric": "rgb", "rowsperstrip": 7, "compression": "zlib"}, (3, 40, 50, 3), "u1"),
    "ImageJ": (GRAY | {"imagej": True, "compression": "zlib", "rowsperstrip": 8}, (4, 40, 50), "u2"),
    "white is zero": ({"photometric": "miniswhite", "tile": (16, 16)}, (40, 50), "u2"),
    "plain, white is zero": ({"photometric": "miniswhite"}, (40, 50), "u1"),
    "one bit": (GRAY | {"tile": (16, 16), "compression": "zlib"}, (40, 50), "?"),
}
#: What must be converted as a whole.
WHOLE: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "turned": (GRAY | {"tile": (16, 16), "extratags": [(274, 3, 1, 6, True)]}, (40, 50)),
    "palette": (
        {"photometric": "palette", "tile": (16, 16), "colormap": np.arange(768, dtype="u2").reshape(3, 256)},
        (40, 50),
    ),
    "multiplied": ({"photometric": "rgb", "tile": (16, 16), "extrasamples": ["assocalpha"]}, (40, 50, 4)),
    "one piece": (GRAY | {"compression": "zlib", "rowsperstrip": 40}, (40, 50)),
}


def values(shape: tuple[int, ...], dtype: str = "u1") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2 if dtype == "?" else 256, shape).astype(dtype)


def written(folder: Path, kind: str) -> tuple[Path, np.ndarray]:
    options, shape, dtype = KINDS[kind]
    path, pixels = folder / "a.tif", values(shape, dtype)
    tifffile.imwrite(path, pixels, **options)
    return path, pixels


def same(a: Picture, b: Picture) -> None:
    assert (a.axes, a.pixels.shape, a.pixels.dtype.name) == (b.axes, b.pixels.shape, b.pixels.dtype.name)
    np.testing.assert_array_equal(np.asarray(a.pixels), np.asarray(b.pixels))


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    def entry(length: int) -> int | slice:
        if draw(st.booleans()):
            return slice(*sorted(draw(st.tuples(st.integers(0, length), st.integers(0, length)))))
        return draw(st.integers(-length, length - 1)) if draw(st.booleans()) else draw(st.slices(length))

    return tuple(entry(n) for n in shape)


@pytest.mark.parametrize("kind", KINDS)
def test_any_region_is_that_of_the_whole(kind: str, tmp_path: Path) -> None:
    path, _ = written(tmp_path, kind)
    whole, lazy = read_picture(path), read_picture(path, lazy=True)
    assert isinstance(lazy.pixels, FileArray)
    assert type(lazy.pixels) is (MappedTiff if kind.startswith("plain") else TiledTiff)
    same(whole, lazy)
    pixels = np.asarray(whole.pixels)

    @given(indices(pixels.shape))
    @settings(max_examples=40)
    def check(index: tuple[int | slice, ...]) -> None:
        part = lazy.pixels[index]
        assert part.dtype.isnative
        np.testing.assert_array_equal(part, pixels[index])

    check()


@pytest.mark.parametrize("kind", WHOLE)
def test_what_must_be_converted_is_read_whole(kind: str, tmp_path: Path) -> None:
    options, shape = WHOLE[kind]
    tifffile.imwrite(tmp_path / "a.tif", values(shape), **options)
    lazy = read_picture(tmp_path / "a.tif", lazy=True)
    assert not isinstance(lazy.pixels, TiledTiff)
    same(lazy, read_picture(tmp_path / "a.tif"))
    with pytest.raises(ImageError, match="million values"):
        read_picture(tmp_path / "a.tif", max_pixels=10, lazy=True)


def test_compressed_colours_are_decoded_alike(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    smooth = np.linspace(0, 255, 64 * 80 * 3).reshape(64, 80, 3).astype("u1")
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", tile=(16, 32), compression="jpeg")
    lazy = read_picture(tmp_path / "a.tif", lazy=True)
    assert isinstance(lazy.pixels, TiledTiff)
    same(lazy, read_picture(tmp_path / "a.tif"))


def test_of_a_pyramid_the_full_level_is_read(tmp_path: Path) -> None:
    pixels = values((128, 96, 3))
    options: dict[str, Any] = {"photometric": "rgb", "tile": (32, 32), "compression": "zlib"}
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as tif:
        tif.write(pixels, subifds=2, **options)
        tif.write(pixels[::2, ::2], subfiletype=1, **options)
        tif.write(pixels[::4, ::4], subfiletype=1, **options)
    lazy = read_picture(tmp_path / "a.tif", lazy=True)
    np.testing.assert_array_equal(lazy.pixels[33:99, 5:70], pixels[33:99, 5:70])
    assert lazy.pixels.shape == pixels.shape


def test_a_region_of_the_result_needs_its_tiles_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pixels = tmp_path / "a.tif", values((160, 160), "u2")
    tifffile.imwrite(path, pixels, tile=(16, 16), photometric="minisblack", compression="zlib")
    lazy, upscaler, decoded = read_picture(path, lazy=True).pixels, random_upscaler(), []
    survey = upscaler.survey(lazy, axes="YX")
    original = TiledTiff.decoded
    monkeypatch.setattr(TiledTiff, "decoded", lambda self, *a: decoded.append(a[-1]) or original(self, *a))
    part = upscaler(lazy, axes="YX", region=((32, 64), (160, 192)), survey=survey)
    np.testing.assert_array_equal(part, upscaler(pixels, axes="YX")[32:64, 160:192])
    assert 0 < len(set(decoded)) < 64


def test_only_tiles_that_are_touched_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values((3, 160, 160)), tile=(16, 16), photometric="minisblack", compression="zlib")
    pixels, decoded = read_picture(tmp_path / "a.tif", lazy=True).pixels, []
    original = TiledTiff.decoded

    def counted(self: TiledTiff, *arguments: Any) -> Any:
        decoded.append(arguments[-2:])
        return original(self, *arguments)

    monkeypatch.setattr(TiledTiff, "decoded", counted)
    pixels[1, 20:40, 33:48]
    assert decoded == [(1, 12), (1, 22)]
    decoded.clear()
    pixels[0:2, 16:32, 0:1]
    assert decoded == [(0, 10), (1, 10)]
    decoded.clear()
    assert pixels[:, 5:5].shape == (3, 0, 160)
    assert decoded == []


@pytest.mark.parametrize("kind", ["tiled and compressed", "plain", "stack"])
def test_it_is_read_by_threads_and_other_processes(kind: str, tmp_path: Path) -> None:
    path, pixels = written(tmp_path, kind)
    array = read_picture(path, lazy=True).pixels
    sent = pickle.dumps(array)
    assert len(sent) < 1000
    boxes = [(..., slice(y, y + 9), slice(x, x + 9)) for y, x in product(range(0, 36, 4), repeat=2)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(array.__getitem__, boxes))
    for box, part in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(part, pixels[box])
    np.testing.assert_array_equal(pickle.loads(sent)[...], pixels)


def test_a_damaged_tile_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path, pixels = written(tmp_path, "tiled and compressed")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, count = page.dataoffsets[7], page.databytecounts[7]
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
    lazy = read_picture(path, lazy=True).pixels
    np.testing.assert_array_equal(lazy[:32], pixels[:32])
    with pytest.raises(ImageError, match=r"tile 8 of page 1 of .*a.tif' can't be read") as error:
        lazy[32:64]
    assert "\n" not in str(error.value)


def test_a_tile_without_an_address_is_zeros(tmp_path: Path) -> None:
    path, pixels = written(tmp_path, "tiled")
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages.first.tags["TileOffsets"]
        tag.overwrite([0, *tag.value[1:]])
    pixels[:16, :32] = 0
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    np.testing.assert_array_equal(np.asarray(read_picture(path, lazy=True).pixels), pixels)


def test_what_is_cut_off_is_said_at_once(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "tiled")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError, match="truncated"):
        read_picture(path, lazy=True)


def test_a_file_that_has_changed_or_gone_is_one_line(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "tiled")
    lazy = read_picture(path, lazy=True).pixels
    written(tmp_path, "strips")
    tifffile.imwrite(path, values((20, 90)), tile=(16, 16))
    with pytest.raises(ImageError, match="has changed"):
        lazy[0]
    path.unlink()
    with pytest.raises(ImageError, match="can't be opened"):
        lazy[0]


def test_a_slide_larger_than_memory_is_read_by_region(tmp_path: Path) -> None:
    path, side = tmp_path / "slide.tif", 256
    black, gray = (zlib.compress(np.full((side, side), value, "u2").tobytes()) for value in (0, 9))
    tiles = (gray if (y, x) == (40, 50) else black for y in range(160) for x in range(160))
    options: dict[str, Any] = {"tile": (side, side), "compression": "zlib", "bigtiff": True, "photometric": "minisblack"}
    tifffile.imwrite(path, tiles, shape=(160 * side,) * 2, dtype="u2", **options)
    program = """
        import sys
        from esc_plugin.files import read_picture
        pixels = read_picture(sys.argv[1], lazy=True).pixels
        print(pixels.shape, int(pixels[10_000:11_000, 12_500:13_500].sum()))
    """
    assert run_confined(program, path, memory=2**30).split("\n")[0] == f"(40960, 40960) {9 * side * side}"


@pytest.mark.parametrize("source", ["a.tif", "a.png"])
def test_a_large_result_is_tiled(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esc_plugin.files.tiff_write.LARGEST_STRIPS", 500)
    values = np.random.default_rng(0).integers(0, 9, (270, 30)).astype(np.uint8)
    write_picture(tmp_path / source, Picture(values, "YX", "PNG"))
    picture = read_picture(tmp_path / source)
    write_picture(tmp_path / "large.tif", picture.enlarged(values.repeat(2, 0)))
    with tifffile.TiffFile(tmp_path / "large.tif") as tif:
        assert tif.pages.first.is_tiled
    np.testing.assert_array_equal(read_picture(tmp_path / "large.tif").pixels, values.repeat(2, 0))
