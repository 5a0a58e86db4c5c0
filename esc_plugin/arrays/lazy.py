"""Arrays that are read when they are needed, and no longer than they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import prod
from typing import Any
from uuid import uuid4

import numpy as np

from ..errors import ImageError
from ..progress import Cancel, stop_if_asked
from .chunks import Chunks
from .parcel import Parcel

#: Where something starts and stops along an axis, and along all of them.
Span = tuple[int, int]
Place = tuple[Span, ...]


def sliceable(data: Any) -> Any:
    """Return an array of which parts can be taken without being read: NumPy and dask as they are, others through dask."""
    import dask.array as da

    return data if isinstance(data, np.ndarray | da.Array) else da.from_array(data, inline_array=True)


class CancellableArray:
    """An array that raises `Cancelled` when it is read after someone said stop: reading a lazy stack can take long, too.

    Parameters
    ----------
    array : array
        NumPy, or what is read by index.
    cancel : callable, optional
        Returns ``True`` from when on nothing more is to be read.
    """

    def __init__(self, array: Any, cancel: Cancel | None) -> None:
        self.array, self.cancel = array, cancel
        self.shape, self.dtype, self.ndim = tuple(array.shape), np.dtype(array.dtype), array.ndim

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return the values, computed if the array is lazy.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        ImageError
            If they can't be read.
        """
        stop_if_asked(self.cancel)
        try:
            return np.asarray(self.array[index])
        except OSError as error:
            raise ImageError(f"can't read the image: {error}.") from None


class Part:
    """A part of an array, at its place in the whole; the rest can't be had.

    Parameters
    ----------
    values : numpy.ndarray
        Of the part.
    place : tuple of pair of int
        Where it starts and stops along each axis.
    shape : tuple of int
        Of the whole.
    """

    def __init__(self, values: np.ndarray, place: Place, shape: tuple[int, ...]) -> None:
        self.values, self.place, self.shape = values, place, shape
        self.dtype, self.ndim = values.dtype, values.ndim

    def __getitem__(self, index: tuple[int | slice, ...]) -> np.ndarray:
        """Return the values at an index of the whole.

        Raises
        ------
        ImageError
            If they aren't here.
        """
        within: list[int | slice] = []
        for i, (start, stop), length in zip(index, self.place, self.shape, strict=True):
            first, last, _ = i.indices(length) if isinstance(i, slice) else (i, i + 1, 1)
            if not start <= first <= last <= stop:
                raise ImageError(
                    "the model looks further around this chunk than was foreseen; take larger chunks, or give the image as "
                    "an array that is read by index instead of a dask array."
                )
            within.append(slice(first - start, last - start) if isinstance(i, slice) else i - start)
        return self.values[tuple(within)]


def lazy_array(
    make: Callable[[Any, Place], np.ndarray],
    image: Any,
    shape: tuple[int, ...],
    dtype: np.dtype,
    chunks: Chunks,
    reads: Callable[[Place], Place],
) -> Any:
    """Return a dask array whose chunks a callable makes of parts of an image when they are asked for.

    The graph has one task for each chunk, whose message names its place, and the callable once.

    Parameters
    ----------
    make : callable
        ``make(image, place)`` returns the values at a place of the result. It must be picklable.
    image : array
        A dask array: then a chunk waits for those of its blocks that it reads, and `make` gets a `Part` of the image.
        Anything else must be picklable, and `make` gets it as it is.
    shape, dtype
        Of the result.
    chunks : tuple of tuple of int
        Of the result, as dask has them.
    reads : callable
        ``reads(place)`` is the place in the image that is read for one in the result.

    Returns
    -------
    dask.array.Array
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"upscaled-{uuid4().hex}"
    shared, lazy = f"{name}-shared", isinstance(image, da.Array)
    graph: dict[Any, Any] = {shared: Parcel(make if lazy else partial(make, image))}
    blocks = Blocks(image, f"{name}-part", reads) if lazy else None
    spans = [_spans(sizes) for sizes in chunks]
    for at in np.ndindex(*map(len, chunks)):
        place = tuple(span[i] for span, i in zip(spans, at, strict=True))
        graph[(name, *at)] = (_made_of, shared, place, *blocks.needed(place, graph)) if blocks else (_made, shared, place)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[image] if lazy else [])
    return da.Array(layers, name, chunks, dtype, shape=shape)


class Blocks:
    """The blocks of a dask array, of which parts are put together.

    Parameters
    ----------
    image : dask.array.Array
        The array.
    name : str
        For the tasks that cut a block.
    reads : callable
        See `lazy_array`.
    """

    def __init__(self, image: Any, name: str, reads: Callable[[Place], Place]) -> None:
        self.image, self.name, self.reads = image, name, reads
        self._spans = [_spans(sizes) for sizes in image.chunks]

    def needed(self, place: Place, graph: dict[Any, Any]) -> tuple[Any, ...]:
        """Return what `_made_of` is given for a place of the result.

        A block that is larger than all that is read is cut where it lies, by a task that is added to the graph.
        """
        read = self.reads(place)
        along = [_meeting(spans, span) for spans, span in zip(self._spans, read, strict=True)]
        keys, cuts = [], []
        for pieces in product(*along):
            at, cut, to = zip(*pieces, strict=True)
            key = (self.image.name, *at)
            if prod(self.image.chunks[axis][i] for axis, i in enumerate(at)) > prod(stop - start for start, stop in read):
                cut_key = (f"{self.name}-{'-'.join(str(start) for start, _ in place)}", *at)
                graph[cut_key] = (_cut, key, cut)
                key, cut = cut_key, tuple((0, stop - start) for start, stop in cut)
            keys.append(key)
            cuts.append((cut, to))
        return read, self.image.shape, keys, cuts


def _meeting(spans: Sequence[Span], span: Span) -> list[tuple[int, Span, Span]]:
    """Return the blocks along an axis that meet a span: their number, what of each is in it, and where that comes to lie."""
    start, stop = span
    first = bisect_right(spans, start, key=lambda block: block[1])
    found = []
    for number in range(first, len(spans)):
        low, high = spans[number]
        if low >= stop:
            break
        a, b = max(low, start), min(high, stop)
        found.append((number, (a - low, b - low), (a - start, b - start)))
    return found


def _spans(sizes: Sequence[int]) -> list[Span]:
    stops = np.cumsum(sizes).tolist()
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _slices(place: Place) -> tuple[slice, ...]:
    return tuple(slice(*span) for span in place)


def _cut(block: Any, place: Place) -> np.ndarray:
    # A copy: a view would keep the whole block in memory, and perhaps send it.
    return np.array(block[_slices(place)])


def _made(parcel: Parcel, place: Place) -> np.ndarray:
    made: np.ndarray = parcel.value(place)
    return made


def _made_of(
    parcel: Parcel, place: Place, read: Place, shape: tuple[int, ...], blocks: list[Any], cuts: list[tuple[Place, Place]]
) -> np.ndarray:
    values = np.empty([stop - start for start, stop in read], blocks[0].dtype)
    for block, (cut, to) in zip(blocks, cuts, strict=True):
        values[_slices(to)] = block[_slices(cut)]
    made: np.ndarray = parcel.value(Part(values, read, shape), place)
    return made
