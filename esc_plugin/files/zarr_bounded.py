"""Chunks of Zarr that become no larger than they should, and whose heads tell no lies that a decoder believes.

The codecs of zarr and numcodecs decode whatever size a chunk comes to: 800 bytes of bzip2 become 2 GB in the place of 256
bytes. That of Blosc reads as far as a chunk's own head says, beyond its end.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import zarr
from numcodecs.abc import Codec
from zarr.abc.codec import ArrayArrayCodec, BytesBytesCodec
from zarr.codecs import ShardingCodec

from ..errors import ImageError
from .zstd_size import claimed_size

#: Times that the bytes of a chunk may be decoded in its place, and bytes beyond: checksums, and what doesn't compress.
SLACK, SPARE = 2, 2**16
#: Bytes of the largest value, which filters of Zarr 2 may have made of a smaller one.
LARGEST_VALUE = 16
#: Bytes of a chunk of a shard beside its values: heads, checksums, where it is.
AROUND = 256
#: Bytes of a head of Blosc.
BLOSC_HEAD = 16
#: What decodes a stream up to a length, by the name of a codec, from its configuration.
STREAMS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "gzip": lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "zlib": lambda _: zlib.decompressobj(),
    "bz2": lambda _: bz2.BZ2Decompressor(),
    "lzma": lambda about: lzma.LZMADecompressor(about.get("format", lzma.FORMAT_XZ), None, about.get("filters")),
}


def bounded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array for reading whose chunks can't take more memory than chunks of its shape and type have use for."""
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        most = prod(array.chunks) * (LARGEST_VALUE if metadata.filters else array.dtype.itemsize)
        filters = tuple(_of_zarr_2(codec, most) for codec in metadata.filters or ()) or None
        metadata = replace(metadata, filters=filters, compressor=_of_zarr_2(metadata.compressor, most))
    else:
        metadata = replace(metadata, codecs=_of_zarr_3(metadata.codecs))
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


def most_stored(array: zarr.Array[Any]) -> int:
    """Return how many bytes the file of a chunk, or of a shard, may have."""
    about: Any = array.metadata
    is_filtered = (
        about.filters if about.zarr_format == 2 else any(isinstance(codec, ArrayArrayCodec) for codec in about.codecs)
    )
    value = LARGEST_VALUE if is_filtered else array.dtype.itemsize
    outer = array.shards or array.chunks
    return SLACK * prod(outer) * value + SPARE + (prod(outer) // max(prod(array.chunks), 1)) * AROUND


def _of_zarr_2(codec: Any, most: int) -> Any:
    return Bounded2(codec, SLACK * most + SPARE) if codec and codec.codec_id in (*STREAMS, *HEADS) else codec


def _of_zarr_3(codecs: Iterable[Any]) -> tuple[Any, ...]:
    made: list[Any] = []
    for codec in codecs:
        if isinstance(codec, ShardingCodec):
            made.append(replace(codec, codecs=_of_zarr_3(codec.codecs), index_codecs=_of_zarr_3(codec.index_codecs)))
        elif isinstance(codec, BytesBytesCodec) and (name := _name(codec)) in (*STREAMS, *HEADS):
            made.append(Bounded3(codec, name))
        else:
            made.append(codec)
    return tuple(made)


def _name(codec: BytesBytesCodec) -> str:
    return str(codec.to_dict()["name"]).removeprefix("numcodecs.")


class Bounded2(Codec):  # type: ignore[misc]  # numcodecs has no types
    """A compressor of Zarr 2.

    Parameters
    ----------
    inner
        What it is in numcodecs.
    most : int
        Bytes that a chunk may become.
    """

    codec_id = ""  # zarr asks the class whether it has one

    def __init__(self, inner: Any, most: int) -> None:
        self.inner, self.most = inner, most
        self.codec_id = inner.codec_id

    def get_config(self) -> dict[str, Any]:
        """Return what metadata say of it."""
        about: dict[str, Any] = self.inner.get_config()
        return about

    def encode(self, buf: Any) -> Any:
        """Compress a chunk."""
        return self.inner.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress a chunk.

        Raises
        ------
        ImageError
            If it becomes too large, or its head can't be true.
        """
        if self.codec_id in HEADS:
            HEADS[self.codec_id](memoryview(buf).cast("B"), self.most)
            return self.inner.decode(buf, out)
        return _decoded(self.codec_id, self.get_config(), buf, self.most)


@dataclass(frozen=True)
class Bounded3(BytesBytesCodec):
    """A compressor of Zarr 3, which what is read alone goes through.

    Attributes
    ----------
    inner
        What it is in zarr.
    name : str
        How numcodecs calls it.
    """

    inner: Any
    name: str
    is_fixed_size = False

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """See `zarr.abc.codec.Codec`."""
        size: int = self.inner.compute_encoded_size(input_byte_length, chunk_spec)
        return size

    def evolve_from_array_spec(self, array_spec: Any) -> Bounded3:
        """See `zarr.abc.codec.Codec`."""
        return replace(self, inner=self.inner.evolve_from_array_spec(array_spec))

    def to_dict(self) -> dict[str, Any]:
        """Return what metadata say of it."""
        about: dict[str, Any] = self.inner.to_dict()
        return about

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        most = SLACK * prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize + SPARE
        data = chunk_data.as_numpy_array()
        if self.name in HEADS:
            HEADS[self.name](memoryview(data).cast("B"), most)
            return next(iter(await self.inner.decode([(chunk_data, chunk_spec)])))
        about = self.to_dict().get("configuration", {})
        decoded = await asyncio.to_thread(_decoded, self.name, about, data, most)
        return chunk_spec.prototype.buffer.from_bytes(decoded)


def _decoded(name: str, about: Mapping[str, Any], data: Any, most: int) -> bytes:
    """Decode streams that follow each other."""
    rest = bytes(data)
    parts, size = [], 0
    while rest:
        stream = STREAMS[name](about)
        parts.append(stream.decompress(rest, most + 1 - size))
        size += len(parts[-1])
        _check_size(size, most)
        if not stream.eof:
            raise ImageError("it is cut off.")
        rest = stream.unused_data.lstrip(b"\0")  # zeros after a stream are allowed
    return b"".join(parts)


def _check_blosc(data: memoryview, most: int) -> None:
    """Check a head of Blosc 1: four bytes, then sizes before compression, of a block, and of the whole chunk."""
    if len(data) < BLOSC_HEAD:
        raise ImageError("it is cut off.")
    size, _, length = struct.unpack_from("<3I", data, 4)
    if length > len(data):
        raise ImageError(f"it has {len(data)} of the {length:,} bytes that its head says.")
    _check_size(size, most)


def _check_lz4(data: memoryview, most: int) -> None:
    if len(data) < 4:
        raise ImageError("it is cut off.")
    _check_size(struct.unpack_from("<I", data)[0], most)


def _check_zstd(data: memoryview, most: int) -> None:
    _check_size(claimed_size(data), most)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ImageError(f"it would become more than {most:,} bytes, which is no chunk of this array.")


#: What looks at a chunk before it is decoded, by the name of a codec: its bytes, and how many it may become.
HEADS: dict[str, Callable[[memoryview, int], None]] = {"blosc": _check_blosc, "lz4": _check_lz4, "zstd": _check_zstd}
