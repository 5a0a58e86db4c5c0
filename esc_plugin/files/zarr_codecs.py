"""What a Zarr array says of how it is stored, before a chunk of it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from ..errors import ImageError

#: Codecs that run what is stored as a program; today's zarr refuses them for numbers, its first versions didn't.
HARMFUL = ("pickle",)
#: Chunks of a shard. Where each of them is stands in an index of 16 bytes each, which is made for any part of the shard.
MOST_IN_SHARD = 4_000_000


def check_codecs(array: Any) -> None:
    """Raise an `ImageError` if codecs would run what is stored, or shards have more chunks than there is any use for."""
    about = array.metadata.to_dict()
    codecs = [about.get(name) for name in ("codecs", "filters", "compressor")]
    if found := [name for name in HARMFUL if _names(codecs, name)]:
        raise ImageError(f"its codec {found[0]!r} would run what is stored as a program.")
    outer = array.shards or array.chunks
    if (most := max(_in_shards(about.get("codecs"), outer), default=0)) > MOST_IN_SHARD:
        raise ImageError(f"its shards claim to have {most:,} chunks each, which is more than can be used.")


def _in_shards(codecs: Any, outer: tuple[int, ...]) -> Iterator[int]:
    """Yield how many chunks a shard has, and those how many that are shards themselves."""
    for codec in codecs or ():
        about = codec.get("configuration") if isinstance(codec, Mapping) else None
        if isinstance(about, Mapping) and codec.get("name") == "sharding_indexed":
            inner = tuple(about["chunk_shape"])
            yield prod(-(-a // max(b, 1)) for a, b in zip(outer, inner, strict=False))
            yield from _in_shards(about.get("codecs"), inner)


def _names(entry: Any, name: str) -> bool:
    """Whether a text that ends with a name is anywhere in a tree."""
    if isinstance(entry, Mapping):
        return any(_names(value, name) for value in entry.values())
    if isinstance(entry, (list, tuple)):
        return any(_names(value, name) for value in entry)
    return isinstance(entry, str) and entry.lower().endswith(name)
