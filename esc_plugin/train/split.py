"""Which of a few images are trained on, and which are held out to measure with.

Nothing that is measured may be known from what is trained on. Neighbouring planes of a stack are nearly equal, and so are
the frames of a time series and the channels of a sample: of a stack a block of planes is held out, with a gap to those that
are trained on, and of anything else a part of the picture, the same of all frames and channels. Files may be neighbours
too: those that are alike stay together, see `likeness`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..arrays.layout import Index, Layout, layout_of
from ..progress import Cancel, Progress, stop_if_asked
from .images import Entry, Images, ImageWriter
from .likeness import alike, following
from .sources import EVERYTHING, ImageArray, Source, name_of, naming, open_planes

#: Of so many images or planes or more, one in `ONE_IN` is held out whole; of fewer, this share of each.
WHOLE, ONE_IN, SHARE = 5, 5, 0.25
#: Planes of a stack on either side of the block held out that nobody sees: this share of the stack, and at least so many.
GAP, LEAST_GAP = 0.1, 2
#: What is held out of a stack and of anything else, for people.
PARTS = {True: "the middle fifth of the planes of a stack", False: "a quarter of each plane"}
#: Pixels that are read, of all images together: more than the training of a day cuts patches from.
MOST_PIXELS = 2**28


class Part(NamedTuple):
    """What is taken of a plane."""

    plane: Index
    rows: slice = EVERYTHING
    columns: slice = EVERYTHING


def split(
    sources: Sequence[Source], folder: Path, progress: Progress | None = None, cancel: Cancel | None = None
) -> tuple[Images, Images]:
    """Return planes, or parts of them, to train on and to measure with, which are written into a folder.

    Of five files or more, and of five arrays or more with one plane each, one in five is held out whole, together with those
    that are like it; if most are like others, as the frames of a film are, those in the middle, and what is like them isn't
    trained on. Of all others: of a stack of five planes or more the middle fifth, and what lies next to it isn't trained on;
    otherwise a quarter of each.

    Parameters
    ----------
    sources : sequence of Path or ImageArray
    folder : Path
    progress : callable, optional
        ``progress(done, total)``, in images.
    cancel : callable, optional
        ``cancel() -> bool`` is asked before each plane.

    Raises
    ------
    ImageError
        If one can't be read.
    Cancelled
        If `cancel` returned ``True``.
    """
    most = MOST_PIXELS // len(sources)
    with ImageWriter(folder / "seen.images") as seen, ImageWriter(folder / "held-out.images") as unseen:
        whole, entries = _are_whole(sources), list[list[Entry]]()
        for number, source in enumerate(sources):
            name = source.name if isinstance(source, Path) else name_of(source)
            first = len(seen.entries)
            with naming(source):
                planes = open_planes(source, cancel)
                divided = ([Part(index) for index in planes.layout.planes()], []) if whole else _divided(planes.layout)
                for parts, writer in zip(divided, (seen, unseen), strict=True):
                    for part in _fewer(parts, planes.layout, most):
                        stop_if_asked(cancel)
                        writer.add(name, planes.read(*part))
            entries.append(seen.entries[first:])
            if progress:
                progress(number + 1, len(sources))
    return _chosen(seen.images, entries) if whole else (seen.images, unseen.images)


def _chosen(images: Images, entries: list[list[Entry]]) -> tuple[Images, Images]:
    """Divide the images of a file, given by the entries of their planes, into those that are seen and held out."""
    middle = Images(images.file, [planes[len(planes) // 2] for planes in entries])
    held_out, unused = choose(len(entries), alike([middle[i] for i in range(len(middle))], following(len(middle))))
    seen = set(range(len(entries))) - held_out - unused
    first, last = (Images(images.file, [e for number in sorted(part) for e in entries[number]]) for part in (seen, held_out))
    return first, last


def choose(count: int, pairs: Sequence[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """Return the numbers of images that are held out, one in five, and of those that nobody sees.

    Parameters
    ----------
    count : int
        Of images.
    pairs : sequence of pair of int
        Images that are alike.
    """
    wanted, held_out, groups = count // ONE_IN, set[int](), _groups(count, pairs)
    for number in np.random.default_rng(0).permutation(count).tolist():
        if len(held_out | groups[number]) <= wanted:
            held_out |= groups[number]
    if held_out:
        return held_out, set()
    block = set(range((count - wanted) // 2, (count + wanted) // 2))
    like_them = {number for pair in pairs if block & set(pair) for number in pair} - block
    # Where everything is like everything, nothing would be left to train on; then the gain is told with a warning.
    return block, like_them if 2 * len(block | like_them) <= count else set()


def _groups(count: int, pairs: Sequence[tuple[int, int]]) -> list[set[int]]:
    """Return for each image those that it is alike with, directly or by way of others, and itself."""
    groups = [{number} for number in range(count)]
    for one, other in pairs:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for number in groups[other]:
                groups[number] = groups[one]
    return groups


def held_out_text(arrays: Sequence[ImageArray]) -> str:
    """Say in a few words what `split` will hold out of arrays.

    Raises
    ------
    ImageError
        If one is no image.
    """
    if _are_whole(arrays):
        return f"one in {ONE_IN} of {len(arrays)} images"
    stacked = set()
    for array in arrays:
        with naming(array):
            stacked.add(_stacked(layout_of(array.pixels, array.axes)) is not None)
    return " and ".join(text for stack, text in PARTS.items() if stack in stacked)


def _are_whole(sources: Sequence[Source]) -> bool:
    """Tell whether images are held out whole; otherwise each is to be divided."""
    return len(sources) >= WHOLE and all(isinstance(source, Path) or _is_flat(source) for source in sources)


def _is_flat(array: ImageArray) -> bool:
    with naming(array):
        return layout_of(array.pixels, array.axes).count == 1


def _divided(layout: Layout) -> tuple[list[Part], list[Part]]:
    """Return what is trained on, and what is held out."""
    everything = [Part(index) for index in layout.planes()]
    if (axis := _stacked(layout)) is not None:
        return _block(everything, axis, layout.shape[axis])
    pairs = [_halves(layout, index) for index in layout.planes()]
    return [seen for seen, _ in pairs], [unseen for _, unseen in pairs]


def _stacked(layout: Layout) -> int | None:
    """Return the number of the axis along which planes show other things: Z before unknown ones, never time or channel."""
    axes = [i for i, (a, n) in enumerate(zip(layout.axes, layout.shape, strict=True)) if a not in "YXSCT" and n >= WHOLE]
    return min(axes, key=lambda i: (layout.axes[i] != "Z", -layout.shape[i]), default=None)


def _block(parts: list[Part], axis: int, count: int) -> tuple[list[Part], list[Part]]:
    length = max(count // ONE_IN, 1)
    # A small stack must leave something to train on.
    gap = min(max(ceil(GAP * count), LEAST_GAP), (count - length) // 2 - 1)
    first = (count - length) // 2
    seen = [p for p in parts if not first - gap <= p.plane[axis] < first + length + gap]  # type: ignore[operator]
    return seen, [p for p in parts if first <= p.plane[axis] < first + length]  # type: ignore[operator]


def _halves(layout: Layout, index: Index) -> tuple[Part, Part]:
    """Cut a plane in two across its longer side, always at the same place."""
    where = round(max(layout.width, layout.height) * (1 - SHARE))
    first, last = slice(0, where), slice(where, None)
    if layout.width >= layout.height:
        return Part(index, columns=first), Part(index, columns=last)
    return Part(index, rows=first), Part(index, rows=last)


def _fewer(parts: list[Part], layout: Layout, most: int) -> Iterator[Part]:
    """Yield parts with `most` pixels together: every so many, and of very large ones the middle."""
    cut = [_middle(part, layout, most) for part in parts]
    pixels = sum(_length(p.rows, layout.height) * _length(p.columns, layout.width) for p in cut)
    yield from cut[:: max(ceil(pixels / most), 1)]


def _middle(part: Part, layout: Layout, most: int) -> Part:
    height, width = _length(part.rows, layout.height), _length(part.columns, layout.width)
    share = min(sqrt(most / (height * width)), 1.0)
    return part._replace(rows=_shrunk(part.rows, layout.height, share), columns=_shrunk(part.columns, layout.width, share))


def _shrunk(part: slice, length: int, share: float) -> slice:
    start, stop, _ = part.indices(length)
    left_out = round((stop - start) * (1 - share))
    return slice(start + left_out // 2, stop - (left_out - left_out // 2))


def _length(part: slice, length: int) -> int:
    return len(range(*part.indices(length)))
