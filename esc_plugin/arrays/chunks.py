"""In what pieces a lazy result is made."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from ..errors import ImageError
from ..texts import quoted

#: Lengths along each axis, as dask has them.
Chunks = tuple[tuple[int, ...], ...]
#: Rows and columns of a chunk of an image that has none.
CHUNK = 512
#: Rows and columns of a chunk of a result, unless somebody wants other ones: what is computed around it costs little then.
LARGEST = 2048


def chunks_for(wish: Any, image: Any, axes: str, shape: tuple[int, ...], dtype: np.dtype) -> Chunks:
    """Return the chunks of a result, as dask has them.

    Parameters
    ----------
    wish : int, pair of int, or what dask takes; optional
        Rows and columns, or all axes. By default those of the image times the scale, put together or cut to at most
        `LARGEST` rows and columns.
    image : array
        Its ``chunks``, if it has some, are those of dask or zarr.
    axes, shape, dtype
        Of the result.

    Raises
    ------
    ImageError
        If they can't be so.
    """
    from dask.array.core import normalize_chunks

    if wish is None:
        edges: dict[str, Any] = {a: _edge(image, axis, shape[axis]) for axis, a in enumerate(axes) if a in "YX"}
    else:
        pair = (wish, wish) if isinstance(wish, Integral) else wish
        rows_and_columns = isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(n, Integral) for n in pair)
        edges = dict(zip("YX", pair, strict=True)) if rows_and_columns else {}
    if edges:
        wish = tuple(edges.get(letter, n if letter == "S" else 1) for letter, n in zip(axes, shape, strict=True))
    try:
        chunks: Chunks = normalize_chunks(wish, shape, dtype=dtype)
    except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
        raise ImageError(f"chunks={quoted(wish)} don't fit a result of {shape}: {' '.join(str(error).split())}.") from None
    if any(n < 1 for sizes in chunks for n in sizes):
        raise ImageError(f"chunks={quoted(wish)} don't fit a result of {shape}: they must be 1 or more.")
    if "S" in axes and len(chunks[axes.index("S")]) > 1:
        asked = quoted(wish)
        raise ImageError(f"chunks={asked} cut the samples of a pixel (S), which are made together; give {shape!r} there.")
    return chunks


def _edge(image: Any, axis: int, length: int) -> int:
    """Return the length of the chunks of a result along an axis."""
    chunks = getattr(image, "chunks", None)
    own = chunks[axis] if chunks else CHUNK
    edge = max(round(int(max(own) if isinstance(own, tuple) else own) * length / int(image.shape[axis])), 1)
    return min(edge * (LARGEST // edge) if edge <= LARGEST else -(-edge // -(-edge // LARGEST)), length)
