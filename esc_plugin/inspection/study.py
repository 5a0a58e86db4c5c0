"""Everything that a report shows, for one model and one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..engine.floor import check_floor, gradient_bytes
from ..errors import EscError, ImageError
from ..network.conv_attention import d4_mean
from ..network.grid import Region
from ..weights.model import Model
from .attribution import Attribution, attribute, edges_in
from .record import recording
from .similarity import similarity_matrix


@dataclass(frozen=True)
class Study:
    """What was found.

    Attributes
    ----------
    model : Model
        What was looked into.
    image, output : Tensor
        (1, 3, H, W) in 0..1, the part of the image that was looked at, and what the network makes of it.
    crop : Region
        Where that part lies in the image.
    patch : Region
        The patch of `output` that the attribution is about.
    kernel, symmetric : Tensor
        The shared large kernel as it was trained, (P, P, k, k), and its mean over flips and quarter turns, which is what is
        used; of ESC-FP, which takes no mean, both are (P, 1, k, k) and the same.
    dynamic : dict of str to Tensor
        (P, 3, 3) by layer: the kernels that were made of this image.
    layers : list of str
        Names of the token mixers: each attention and each ConvAttn, by block.
    similarity : Tensor
        (L, L): linear CKA between what these layers add to the features, over the pixels.
    attribution : Attribution
        Of the patch.
    """

    model: Model
    image: Tensor
    output: Tensor
    crop: Region
    patch: Region
    kernel: Tensor
    symmetric: Tensor
    dynamic: dict[str, Tensor]
    layers: list[str]
    similarity: Tensor
    attribution: Attribution


def study(
    model: Model,
    image: Any,
    *,
    axes: str | None = None,
    at: tuple[int, int] | None = None,
    patch: int = 16,
    crop: int = 96,
    steps: int = 50,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Study:
    """Look inside a model while it works on an image.

    Parameters
    ----------
    image : array
        As `Upscaler` takes it. Of a stack the first plane is taken.
    axes : str, optional
        Letters of its axes, by default guessed.
    at : tuple of int, optional
        Column and row, in pixels of the image, of the middle of the patch whose attribution is wanted. By default where the
        image has the strongest edges.
    patch : int
        Edge of the patch, in pixels of the output.
    crop : int
        Edge of the part of the image, around the patch, that is worked on. It grows to the left and to the top until it
        starts on a corner of the attention windows.
    steps : int
        Of the attribution, see `attribute`.
    progress, cancel : callable, optional
        See `attribute`.

    Raises
    ------
    EscError
        If an argument is impossible.
    ImageError
        If the image can't be used.
    """
    for name, value, least in (("patch", patch, 1), ("crop", crop, 8), ("steps", steps, 1)):
        if value < least:
            raise EscError(f"{name} must be {least} or more, not {value!r}.")
    whole = to_tensor(image, axes)
    height, width = whole.shape[-2:]
    if min(height, width) < 2:
        raise ImageError(f"the image is {width} x {height}; to look for edges in it takes 2 x 2 pixels.")
    if at and not (0 <= at[0] < width and 0 <= at[1] < height):
        raise EscError(f"there is no pixel {at[0]},{at[1]} in an image of {width} x {height}.")
    column, row = at or busiest(whole, max(patch // model.scale, 1))
    grid = model.config.window_size * model.config.unshuffle
    top, bottom = _span(row, crop, grid, height)
    left, right = _span(column, crop, grid, width)
    region = Region(top, left, bottom, right)
    looked_at = f"looking into {model.name!r} with a crop of {region.width} x {region.height}"
    check_floor(looked_at, gradient_bytes(model.network, region.height, region.width))
    part = whole[..., top:bottom, left:right].contiguous()
    box = _patch((row - top, column - left), patch, model.scale, (bottom - top, right - left))
    return _study(model, part, region, box, steps, progress, cancel)


def _study(model: Model, image: Tensor, crop: Region, patch: Region, steps: int, progress: Any, cancel: Any) -> Study:
    network = model.network
    with recording(network) as record, torch.no_grad():
        output = network(image)
    pixels = [f[0].flatten(1).T for f in record.features.values()]  # (H W, C)
    kernel = network.plk_filter if model.config.large_kernel == "full" else network.lk_spatial
    return Study(
        model,
        image,
        output,
        crop,
        patch,
        kernel.detach(),
        d4_mean(kernel.detach()) if model.config.large_kernel == "full" else kernel.detach(),
        {name: made[0] for name, made in record.dynamic.items()},
        list(record.features),
        similarity_matrix(pixels),
        attribute(network, edges_in(patch), image, steps, progress, cancel),
    )


def to_tensor(image: Any, axes: str | None = None) -> Tensor:
    """Return the first plane of an image as a network sees it: (1, 3, H, W) in 0..1, gray repeated, without transparency."""
    layout = layout_of(image, axes)
    first = layout.planes()[0]
    levels = measure_levels(image, layout)[layout.channel(first)]
    plane = layout.plane(image, first)
    colours = plane[..., None] if plane.ndim == 2 else plane[..., : plane.shape[2] - layout.alpha]
    unit = torch.from_numpy(levels.to_unit(colours)).permute(2, 0, 1)[None]
    return unit.expand(1, 3, -1, -1).contiguous()


def busiest(image: Tensor, edge: int) -> tuple[int, int]:
    """Return column and row of the middle of the square of `edge` pixels in which (1, 3, H, W) has the strongest edges."""
    strength = torch.zeros(image.shape[-2:])
    strength[1:] += (image[0, :, 1:] - image[0, :, :-1]).abs().sum(0)
    strength[:, 1:] += (image[0, :, :, 1:] - image[0, :, :, :-1]).abs().sum(0)
    edge = min(edge, *strength.shape)
    sums = F.avg_pool2d(strength[None], edge, stride=1)[0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return column + edge // 2, row + edge // 2


def _span(centre: int, length: int, grid: int, size: int) -> tuple[int, int]:
    """Place `length` pixels around a centre within `size`, and a few more, so as to start on a multiple of `grid`."""
    start = max(min(centre - length // 2, size - length), 0)
    return start - start % grid, min(start + length, size)


def _patch(centre: tuple[int, int], edge: int, scale: int, size: tuple[int, int]) -> Region:
    """Return the square of `edge` output pixels around an image pixel, moved and cut to lie inside."""
    ends = []
    for position, n in zip(centre, size, strict=True):
        # The detector compares a pixel with the next one, so the last row and column are none of its own.
        start = max(min(position * scale + scale // 2 - edge // 2, n * scale - 1 - edge), 0)
        ends.append((start, min(start + edge, n * scale - 1)))
    (top, bottom), (left, right) = ends
    return Region(top, left, bottom, right)
