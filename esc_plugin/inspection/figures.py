"""The pictures of a report, drawn with matplotlib and no window."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .study import Study

WIDTH = 11.0  # inches
SIGNED = "RdBu_r"
LEAST = 1e-4  # the smallest share of the largest attribution that is drawn


def large_kernel_figure(study: Study) -> Figure:
    """Draw the shared kernel filter by filter, before and after the D4 mean, and its mean magnitude."""
    before, after = (
        mosaic(k.flatten(0, 1), k.shape[1] if k.shape[1] > 1 else None) for k in (study.kernel, study.symmetric)
    )
    limit = float(study.kernel.abs().max())
    same = study.model.config.large_kernel == "separable"
    figure = Figure((WIDTH, 4.6 if same else 3.6), layout="constrained")
    panels = [("as trained", before)] if same else [("as trained", before), ("mean over the D4 group, as used", after)]
    axes = np.atleast_1d(figure.subplots(1, len(panels) + 1))
    for axis, (title, picture) in zip(axes, panels, strict=False):
        drawn = axis.imshow(picture, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
        bare(axis, title)
    figure.colorbar(drawn, ax=list(axes[:-1]), shrink=0.75, label="weight")
    magnitude = study.symmetric.abs().mean((0, 1)).numpy()
    drawn = axes[-1].imshow(
        magnitude, cmap="magma", norm=LogNorm(max(magnitude.min(), magnitude.max() * 1e-4), magnitude.max())
    )
    bare(axes[-1], "mean magnitude")
    figure.colorbar(drawn, ax=axes[-1], shrink=0.75)
    return figure


def dynamic_kernel_figure(study: Study) -> Figure:
    """Draw the kernels that the layers made of the image: a row per block, a column per layer, a 3x3 square per channel."""
    places = [tuple(int(part) for part in name.split(".")) for name in study.dynamic]
    rows, columns = (max(place[i] for place in places) for i in (0, 1))
    limit = max(float(kernel.abs().max()) for kernel in study.dynamic.values())
    figure = Figure((WIDTH, WIDTH / max(columns, 4) * rows * 0.93 + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for (row, column), kernel in zip(places, study.dynamic.values(), strict=True):
        axis = axes[row - 1, column - 1]
        drawn = axis.imshow(mosaic(kernel), cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
        bare(axis, f"block {row}, layer {column}")
    figure.colorbar(drawn, ax=axes, shrink=0.75, label="weight")
    return figure


def similarity_figure(study: Study) -> Figure:
    """Draw the matrix of linear CKA."""
    figure = Figure((WIDTH * 0.75, WIDTH * 0.62), layout="constrained")
    axis = figure.subplots()
    drawn = axis.imshow(study.similarity.numpy(), cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    places = range(len(study.layers))
    size = 9 if len(study.layers) <= 24 else 6
    axis.set_xticks(places, study.layers, rotation=90, fontsize=size)
    axis.set_yticks(places, study.layers, fontsize=size)
    figure.colorbar(drawn, ax=axis, label="linear CKA")
    return figure


def attribution_figure(study: Study) -> Figure:
    """Draw the image with the patch, the output around it, and what it depends on."""
    scale, patch, found = study.model.scale, study.patch, study.attribution
    figure = Figure((WIDTH, 3.8), layout="constrained")
    image, output, depends = figure.subplots(1, 3)
    corner = (patch.left / scale - 0.5, patch.top / scale - 0.5)
    source = picture(study.image)
    image.imshow(source, interpolation="nearest")
    bare(image, "image, and the patch")
    output.imshow(picture(study.output)[patch.top : patch.bottom, patch.left : patch.right], interpolation="nearest")
    bare(output, f"the patch in the output, x{scale}")
    magnitude = found.signed.abs().numpy()
    top = float(magnitude.max()) or 1.0
    gray = np.repeat(source.mean(2, keepdims=True), 3, 2)
    depends.imshow(0.6 * gray, vmin=0, vmax=1)
    shares = np.maximum(magnitude / top, LEAST)
    visible = np.sqrt(np.clip(1 - np.log(shares) / np.log(LEAST), 0, 1))  # where there is nothing the image shows
    drawn = depends.imshow(shares, cmap="plasma", norm=LogNorm(LEAST, 1), alpha=visible, interpolation="nearest")
    bare(depends, f"what it depends on: DI {found.diffusion_index:.1f}")
    scale_of = ScalarMappable(drawn.norm, drawn.cmap)
    figure.colorbar(scale_of, ax=depends, shrink=0.75, label="share of the largest", extend="min")
    for axis in (image, depends):
        size = (patch.width / scale, patch.height / scale)
        axis.add_patch(Rectangle(corner, *size, fill=False, edgecolor="#19e3ff", linewidth=1.3))
    return figure


def mosaic(kernels: Tensor, columns: int | None = None) -> np.ndarray:
    """Lay out (N, k, k) side by side, one pixel of NaN between them."""
    count, edge = kernels.shape[0], kernels.shape[-1]
    columns = columns or ceil(sqrt(count))
    rows = ceil(count / columns)
    sheet = np.full((rows * (edge + 1) - 1, columns * (edge + 1) - 1), np.nan, np.float32)
    for i, kernel in enumerate(kernels.numpy()):
        top, left = i // columns * (edge + 1), i % columns * (edge + 1)
        sheet[top : top + edge, left : left + edge] = kernel
    return sheet


def picture(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) -> (H, W, 3), clipped to 0..1."""
    return image[0].clamp(0, 1).permute(1, 2, 0).numpy()


def bare(axis: Axes, title: str) -> None:
    """Put a title on a picture and take its ticks away."""
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
