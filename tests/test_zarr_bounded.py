"""Chunks of Zarr that would take more memory than they should, or whose heads lie."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import ImageError
from esc_plugin.files import read_picture, zstd_size

zarr = pytest.importorskip("zarr", reason="needs zarr 3, so Python 3.11")
numcodecs: Any = pytest.importorskip("numcodecs", reason="needs numcodecs, which comes with zarr")

#: By how they are called in metadata.
CODECS = {
    "gzip": numcodecs.GZip(1),
    "zlib": numcodecs.Zlib(1),
    "bz2": numcodecs.BZ2(1),
    "lzma": numcodecs.LZMA(),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "blosc": numcodecs.Blosc("lz4"),
}
PIXELS = np.random.default_rng(3).integers(0, 99, (16, 24), np.uint16)


def saved(path: Path, name: str, form: int, **options: Any) -> Path:
    """Save an array of one chunk, or shard."""
    codec = CODECS[name]
    if form == 3:
        known = {"gzip": zarr.codecs.GzipCodec, "zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}
        others = {"zlib": "Zlib", "bz2": "BZ2", "lzma": "LZMA", "lz4": "LZ4"}
        codec = known[name]() if name in known else getattr(zarr.codecs.numcodecs, others[name])()
    shape = PIXELS.shape
    array = zarr.create_array(
        str(path), shape=shape, chunks=shape, dtype=PIXELS.dtype, compressors=codec, zarr_format=form, **options
    )
    array[...] = PIXELS
    return path


def chunk_of(path: Path, form: int) -> Path:
    return path / ("0.0" if form == 2 else "c/0/0")


def read(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path, lazy=True).pixels)


each = pytest.mark.parametrize("name", CODECS)
both = pytest.mark.parametrize("form", [2, 3])
#: Of zarr, about codecs that version 3 has only as they are called in numcodecs.
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")


@each
@both
def test_arrays_are_read_as_they_were_written(name: str, form: int, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(saved(tmp_path / "a.zarr", name, form)), PIXELS)


@pytest.mark.parametrize("name", ["gzip", "zstd", "blosc"])
def test_shards_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    place = saved(tmp_path / "a.zarr", name, 3, shards=PIXELS.shape)
    np.testing.assert_array_equal(read(place), PIXELS)


@each
@both
def test_a_chunk_becomes_no_more_than_it_should(name: str, form: int, tmp_path: Path) -> None:
    """Else some hundred bytes of bzip2 take two gigabytes."""
    place = saved(tmp_path / "a.zarr", name, form)
    chunk_of(place, form).write_bytes(CODECS[name].encode(np.zeros(2**17, np.uint8)))
    with pytest.raises(ImageError, match=r"chunk '\S+' of .* would become more than 67,072 bytes"):
        read(place)


@both
def test_a_chunk_that_is_longer_than_any_is_not_read(form: int, tmp_path: Path) -> None:
    """Zarr reads the whole of a file, and one with holes has any length for nothing."""
    chunk = chunk_of(saved(tmp_path / "a.zarr", "zstd", form), form)
    os.truncate(chunk, 2**40)
    with pytest.raises(ImageError, match=r"chunk '\S+' of .* has 1,099,511,627,776 bytes, and a chunk .* at most 67,328"):
        read(tmp_path / "a.zarr")


@both
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes as POSIX has them")
def test_a_chunk_that_is_a_pipe_is_not_waited_for(form: int, tmp_path: Path) -> None:
    chunk = chunk_of(saved(tmp_path / "a.zarr", "zstd", form), form)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(ImageError, match="it is no file"):
        read(tmp_path / "a.zarr")


def test_chunks_of_a_shard_may_be_longer_than_their_values(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=(64, 64),
        shards=(64, 64),
        chunks=(1, 1),
        dtype="u1",
        compressors=zarr.codecs.GzipCodec(),
    )
    array[...] = pixels
    assert chunk_of(tmp_path / "a.zarr", 3).stat().st_size > 2 * pixels.nbytes + 2**16
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), pixels)


def test_shards_without_a_size_are_refused(tmp_path: Path) -> None:
    place = saved(tmp_path / "a.zarr", "zstd", 3, shards=PIXELS.shape)
    about = json.loads((place / "zarr.json").read_text())
    about["chunk_grid"]["configuration"]["chunk_shape"] = [0, PIXELS.shape[1]]
    (place / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(ImageError, match="can't be read"):
        read(place)


def test_filters_may_have_made_smaller_values(tmp_path: Path) -> None:
    values = np.arange(400, dtype=np.uint8).reshape(20, 20)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=(20, 20),
        chunks=(20, 20),
        dtype="u1",
        zarr_format=2,
        filters=[numcodecs.Delta("u1", "i8")],
        compressors=numcodecs.Zlib(),
    )
    array[...] = values
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), values)


@both
def test_a_head_of_blosc_that_says_too_much_is_no_crash(form: int, tmp_path: Path) -> None:
    place = saved(tmp_path / "a.zarr", "blosc", form)
    chunk = chunk_of(place, form)
    content = bytearray(chunk.read_bytes())
    content[12:16] = struct.pack("<I", 0x735F00A2)
    chunk.write_bytes(content)
    with pytest.raises(ImageError, match="bytes that its head says"):
        read(place)
    chunk.write_bytes(content[:9])
    with pytest.raises(ImageError, match="cut off"):
        read(place)


@each
@both
def test_what_is_cut_off_is_named(name: str, form: int, tmp_path: Path) -> None:
    place = saved(tmp_path / "a.zarr", name, form)
    chunk = chunk_of(place, form)
    content = chunk.read_bytes()
    for length in (1, 3, len(content) // 2, len(content) - 1):
        chunk.write_bytes(content[:length])
        with pytest.raises(ImageError, match=r"chunk '\S+' of .* can't be read"):
            read(place)


@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("bz2", bz2.compress), ("lzma", lzma.compress)])
def test_streams_that_follow_each_other(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """As writers leave them that add to a file."""
    place, content = saved(tmp_path / "a.zarr", name, 2), PIXELS.tobytes()
    chunk_of(place, 2).write_bytes(compress(content[:100]) + compress(content[100:]))
    np.testing.assert_array_equal(read(place), PIXELS)


def test_a_checksum_is_looked_at(tmp_path: Path) -> None:
    place = saved(tmp_path / "a.zarr", "zlib", 2)
    content = zlib.compress(PIXELS.tobytes())
    chunk_of(place, 2).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ImageError, match="can't be read"):
        read(place)


@given(content=st.binary(max_size=2000), times=st.integers(1, 300), level=st.integers(1, 22), checksum=st.booleans())
@settings(deadline=None, max_examples=50)
def test_what_zstandard_becomes_is_told(content: bytes, times: int, level: int, checksum: bool) -> None:
    whole = content * times
    made = (
        memoryview(numcodecs.Zstd(level, checksum).encode(whole))
        if whole
        else memoryview(b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00")
    )
    assert zstd_size.told_size(made) == len(whole)
    assert zstd_size.largest_size(made) >= len(whole)


@pytest.mark.parametrize("look", [zstd_size.told_size, zstd_size.largest_size])
@given(content=st.binary(max_size=60))
def test_what_is_no_zstandard_is_told_so(look: Callable[[memoryview], Any], content: bytes) -> None:
    with suppress(ImageError):
        look(memoryview(b"\x28\xb5\x2f\xfd" + content))
    with pytest.raises(ImageError, match=r"cut off|isn't Zstandard"):
        look(memoryview(b"\x27" + content))


def test_a_run_of_zstandard_without_a_size_is_bounded(tmp_path: Path) -> None:
    """Each block of four bytes becomes 128 KiB; the head says nothing of it."""
    place = saved(tmp_path / "a.zarr", "zstd", 2)
    run = (2**17 << 3 | zstd_size.RUN << 1).to_bytes(3, "little") + b"\0"
    last = (2**17 << 3 | zstd_size.RUN << 1 | 1).to_bytes(3, "little") + b"\0"
    chunk_of(place, 2).write_bytes(struct.pack("<IBB", zstd_size.MAGIC, 0, 0x38) + run * 2**13 + last)
    with pytest.raises(ImageError, match="would become more than"):
        read(place)
