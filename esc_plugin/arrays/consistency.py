"""How much of an image its upscaled version still is: averages over each input pixel, compared and restored.

A camera pixel is the sum of the light that falls on it. So an upscaled image can be true only if its averages over each
input pixel are that pixel. This is necessary and not sufficient: detail inside of a pixel is the network's guess in any
case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..errors import ImageError
from ..progress import stop_if_asked
from .layout import Index, Layout, layout_of
from .sizes import Size

#: Output values that are corrected at a time.
BAND_VALUES = 2**19
#: Values of an upscaled plane that are compared at a time.
READ_VALUES = 2**25
#: Halvings of the interval that holds a block's correction; float64 has no more bits.
HALVINGS = 60


@dataclass(frozen=True)
class Agreement:
    """What is left between an input and the averages of its output, in the input's units.

    Attributes
    ----------
    channel : int
        Which entry of C or S; 0 where all are counted together.
    bias : float
        Mean of the averages minus mean of the input.
    rms, worst : float
        Root mean square and largest size of the differences.
    mean : float
        Of the input.
    """

    channel: int
    bias: float
    rms: float
    worst: float
    mean: float


@dataclass(frozen=True)
class Part:
    """Where a part of an image lies. What is under it of the upscaled image is its `enlarged_span`.

    Attributes
    ----------
    rows, columns : tuple of int
        First and last, excluded, in pixels of the image.
    size, target : tuple of int
        Height and width of the whole image, and of all of the upscaled one.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    size: Size
    target: Size

    @classmethod
    def of(cls, layout: Layout, large: Layout) -> Part:
        """Return all of an image."""
        (height, width), target = (layout.height, layout.width), (large.height, large.width)
        return cls((0, height), (0, width), (height, width), target)


def check_agreement(image: Any, upscaled: Any, axes: str | None = None) -> list[Agreement]:
    """Average `upscaled` down to the size of `image` and compare, per channel (C, else S, else all as one).

    Parameters
    ----------
    image, upscaled : array
        The same axes and entries, but for Y and X. They are read some rows at a time, so they may be larger than memory.
    axes : str, optional
        See `esc_plugin.arrays.layout.layout_of`.

    Raises
    ------
    ImageError
        If the second can't be an upscaled version of the first: other axes, smaller, or of other proportions.
    """
    layout, large = _layouts(image, upscaled, axes)
    channel = "C" if "C" in layout.axes else "S"
    found: dict[int, _Tally] = {}
    for index, _, plane, differs in _bands(layout, image, large, upscaled):
        if channel == "C" or plane.ndim == 2:
            found.setdefault(layout.channel(index), _Tally()).add(plane, differs)
            continue
        for sample in range(plane.shape[2]):
            found.setdefault(sample, _Tally()).add(plane[..., sample], differs[..., sample])
    return [tally.result(place) for place, tally in sorted(found.items())]


def difference(image: Any, upscaled: Any, axes: str | None = None, part: Part | None = None) -> tuple[np.ndarray, Agreement]:
    """Subtract the averages of `upscaled` from `image`, for a look at what has changed where, and count it all together.

    Parameters
    ----------
    image, upscaled, axes
        See `check_agreement`.
    part : Part, optional
        Where they lie, if they are parts of an image and of its upscaled version.

    Returns
    -------
    difference : numpy.ndarray
        float32, with the axes of `image` but S: colours as their mean, without transparency.
    agreement : Agreement
        Of all values, those of transparency too.

    Raises
    ------
    ImageError
        See `check_agreement`.
    """
    layout, large = _layouts(image, upscaled, axes, part)
    kept = [axis for axis, letter in enumerate(layout.axes) if letter != "S"]
    flat = Layout(tuple(layout.shape[axis] for axis in kept), layout.axes.replace("S", ""))
    out, tally = np.empty(flat.shape, np.float32), _Tally()
    colours = layout.samples - layout.alpha
    for index, rows, plane, differs in _bands(layout, image, large, upscaled, part):
        tally.add(plane, differs)
        place = tuple(index[axis] for axis in kept)
        flat.plane(out, place)[rows] = -differs if differs.ndim == 2 else -differs[..., :colours].mean(-1)
    return out, tally.result(0)


def _bands(
    layout: Layout, image: Any, large: Layout, upscaled: Any, part: Part | None = None
) -> Iterator[tuple[Index, slice, np.ndarray, np.ndarray]]:
    """Yield some rows of each plane (Y, X[, S]), and the averages of the upscaled ones minus these, in float64.

    Before them come the index of the plane and which rows of it they are.
    """
    part = part or Part.of(layout, large)
    (height, width), (tall, wide) = part.size, part.target
    (first, last), (left, right) = part.rows, part.columns
    values = -(-tall // height) * large.width * layout.samples
    for index in layout.planes():
        for top, bottom in _rows(last - first, values, READ_VALUES):
            rows, within = (first + top, first + bottom), first * tall // height
            above, below = rows[0] * tall // height - within, -(-rows[1] * tall // height) - within
            plane = layout.plane(image, index, slice(top, bottom))
            other = large.plane(upscaled, index, slice(above, below))
            averages = _average_axis(_average_axis(other, rows, height, tall, 0), (left, right), width, wide, 1)
            yield index, slice(top, bottom), plane, averages - plane.astype(np.float64)


def _layouts(image: Any, upscaled: Any, axes: str | None, part: Part | None = None) -> tuple[Layout, Layout]:
    """Return the axes of both, or raise an `ImageError` unless one is an upscaled version of the other."""
    layout = layout_of(image, axes)
    large = layout_of(upscaled, layout.axes)
    if large.shape != layout.resized(large.height, large.width):
        raise ImageError(f"shape {large.shape} is no upscaled version of {layout.shape}, axes {layout.axes!r}.")
    if part is None:  # who knows where parts lie knows that they belong together
        _check_factor((layout.height, layout.width), (large.height, large.width))
    return layout, large


def _check_factor(size: tuple[int, int], large: tuple[int, int]) -> None:
    """Raise an `ImageError` unless one factor from 1 on makes `large` of `size`, within the rounding to whole pixels."""
    least = max((n - 0.5) / small for n, small in zip(large, size, strict=True))
    most = min((n + 0.5) / small for n, small in zip(large, size, strict=True))
    if least > most or large[0] < size[0] or large[1] < size[1]:
        (height, width), factor = size, max(round(large[0] / size[0]), 1)
        raise ImageError(
            f"{large[1]} x {large[0]} is no upscaled version of {width} x {height} (width x height): both must grow by "
            f"one factor, as {width * factor} x {height * factor} would by {factor}."
        )


class _Tally:
    def __init__(self) -> None:
        self.count, self.input, self.sum, self.squares, self.worst = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, plane: np.ndarray, differs: np.ndarray) -> None:
        """Count a plane and how far averages differ from it, where that is finite."""
        usable = np.isfinite(differs)
        differs, values = differs[usable], plane[usable]
        self.count += differs.size
        self.input += float(values.sum(dtype=np.float64))
        self.sum += float(differs.sum())
        self.squares += float(np.square(differs).sum())
        self.worst = max(self.worst, float(np.abs(differs).max(initial=0)))

    def result(self, channel: int) -> Agreement:
        n = max(self.count, 1)
        return Agreement(channel, self.sum / n, (self.squares / n) ** 0.5, self.worst, self.input / n)


def _average_axis(values: np.ndarray, part: tuple[int, int], count: int, length: int, axis: int) -> np.ndarray:
    """Average along an axis of `length` pixels over `count` ones, or part of them, under which `values` lie, in float64.

    It is exact by area: a pixel that lies under two of the `count` counts for both by its share.
    """
    values = np.moveaxis(values, axis, 0)
    first, last = part
    if length % count == 0:
        # Sum before the division: exact for integers.
        blocks = values.reshape(last - first, length // count, *values.shape[1:])
        return np.moveaxis(blocks.sum(1, dtype=np.float64) / (length // count), 0, axis)
    edges = np.arange(first, last + 1) * (length / count) - first * length // count
    whole = np.minimum(edges.astype(int), len(values) - 1)
    share = (edges - whole).reshape(-1, *[1] * (values.ndim - 1))
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0, dtype=np.float64)])
    integral = total[whole] + share * values[whole]
    return np.moveaxis(np.diff(integral, axis=0) * (count / length), 0, axis)


def project(upscaled: np.ndarray, plane: np.ndarray, cancel: Callable[[], bool] | None = None) -> None:
    """Change `upscaled` as little as possible so that its averages over each pixel of `plane` are that pixel.

    That is a projection: each block of output pixels is shifted by one number, except for pixels that would leave the type's
    range. Integers are rounded so that the sum of a block is exactly that of its input pixel times the pixels of the block.
    Floating values agree to rounding. Pixels that aren't finite are left alone.

    Parameters
    ----------
    upscaled : numpy.ndarray
        (Y, X) or (Y, X, S), changed in place.
    plane : numpy.ndarray
        The same dtype, with a whole factor less of Y and X.
    cancel : callable, optional
        ``cancel() -> bool`` is asked between bands of rows.

    Raises
    ------
    ImageError
        If the factor isn't whole.
    Cancelled
        If `cancel` returned ``True``.
    """
    (height, width), (tall, wide) = plane.shape[:2], upscaled.shape[:2]
    if tall % height or wide % width:
        raise ImageError(f"consistency needs a whole factor, {(tall, wide)} isn't a multiple of {(height, width)}.")
    change = _floating if plane.dtype.kind == "f" else _whole
    _change_blocks(upscaled, plane, partial(change, dtype=plane.dtype), cancel)


def clip_blocks(upscaled: np.ndarray, plane: np.ndarray, low: float, high: float) -> None:
    """Clip what `project` made of floating values, with the averages kept: what is cut off goes to the rest of its block.

    Parameters
    ----------
    upscaled : numpy.ndarray
        (Y, X, S), floating, changed in place.
    plane : numpy.ndarray
        (Y, X, S) in low..high, with a whole factor less of Y and X.
    low, high : float
        The range.
    """
    _change_blocks(upscaled, plane, partial(_clipped, low=low, high=high))


def _change_blocks(
    upscaled: np.ndarray,
    plane: np.ndarray,
    change: Callable[[np.ndarray, np.ndarray], np.ndarray],
    cancel: Callable[[], bool] | None = None,
) -> None:
    """Put ``change(blocks, wanted)`` in the place of the blocks (..., n) over each pixel of a plane, in float64."""
    (height, width), (tall, wide) = plane.shape[:2], upscaled.shape[:2]
    fy, fx = tall // height, wide // width
    for top, bottom in _rows(height, wide * fy * (plane.size // (height * width))):
        stop_if_asked(cancel)
        small = plane[top:bottom].reshape(bottom - top, width, -1).astype(np.float64)
        large = upscaled[top * fy : bottom * fy]
        blocks = large.reshape(bottom - top, fy, width, fx, -1).transpose(0, 2, 4, 1, 3)
        # In memory block by block, so that a block's sum is added up in one order in any part of a result.
        blocks = blocks.astype(np.float64, order="C")
        flat = change(blocks.reshape(*small.shape, fy * fx), small)
        large[...] = flat.reshape(blocks.shape).transpose(0, 3, 1, 4, 2).reshape(large.shape)


def _rows(height: int, values: int, most: int = BAND_VALUES) -> Iterator[tuple[int, int]]:
    step = max(most // values, 1)
    for top in range(0, height, step):
        yield top, min(top + step, height)


def _floating(blocks: np.ndarray, wanted: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Shift blocks (..., n) to the means `wanted`, within the type's range: float16 ends at 65504."""
    limits, shift = np.finfo(dtype), wanted - blocks.mean(-1)
    usable = np.isfinite(shift)
    shifted: np.ndarray = blocks + np.where(usable, shift, 0)[..., None]
    beyond = usable & (np.abs(shifted).max(-1) > limits.max)
    total = wanted[beyond] * blocks.shape[-1]
    shifted[beyond] = _shift_within(blocks[beyond], total, float(limits.min), float(limits.max))
    return shifted


def _clipped(blocks: np.ndarray, wanted: np.ndarray, low: float, high: float) -> np.ndarray:
    beyond = (blocks.min(-1) < low) | (blocks.max(-1) > high)
    blocks[beyond] = _shift_within(blocks[beyond], wanted[beyond] * blocks.shape[-1], low, high)
    return blocks


def _whole(blocks: np.ndarray, wanted: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Shift blocks (..., n) within the type's range until their sums are n `wanted`, then round with the sums kept."""
    limits = np.iinfo(dtype)
    total = wanted * blocks.shape[-1]
    shifted = blocks + (wanted - blocks.mean(-1))[..., None]
    beyond = (shifted.min(-1) < limits.min) | (shifted.max(-1) > limits.max)
    shifted[beyond] = _shift_within(blocks[beyond], total[beyond], float(limits.min), float(limits.max))
    whole = np.floor(shifted + 2.0**-20)  # a rounding error below a whole number is one
    missing = np.rint(total - whole.sum(-1)).astype(int)
    # The largest fractions are rounded up, as many as are missing; stable, so that equals go from left to right.
    order = np.argsort(-(shifted - whole), axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(blocks.shape[-1]) + np.zeros_like(order), -1)
    rounded: np.ndarray = whole + (rank < missing[..., None])
    return rounded


def _shift_within(blocks: np.ndarray, total: np.ndarray, low: float, high: float) -> np.ndarray:
    """Shift blocks (N, n), each by the number that makes their clipped values add up to `total` (N)."""
    least, most = np.full(total.shape, low - high), np.full(total.shape, high - low)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        too_much = (blocks + middle[:, None]).clip(low, high).sum(-1) > total
        least, most = np.where(too_much, least, middle), np.where(too_much, middle, most)
    shifted: np.ndarray = (blocks + least[:, None]).clip(low, high)
    return shifted
