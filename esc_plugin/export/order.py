"""What is to be exported: a model in one of two forms, for images of any size or of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.areas import areas_for, image_area
from ..network import ESC
from ..network.grid import Region
from ..version import __version__
from ..weights.model import Model
from ..weights.write import config_json
from .portable import MODULES, PORTABLE, Layers, Regions, Whole, replaced

#: Edge in windows of an image that is large beside what a pixel depends on.
FAR = 64
#: Height and width in windows of the largest picture that a file is checked with.
CHECKED = (3, 5)
#: What a step of the network takes while it is a graph in several hands.
GRAPH_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Order:
    """What a `Converter` is asked for.

    Attributes
    ----------
    model : Model
        What to export.
    form : str
        See `esc_plugin.export.formats.FORMS`.
    size : tuple of int or None
        Height and width of the only image that the file takes; ``None``: any.
    precision : str
        What the file computes in.
    opset : int
        Version of ONNX's operator set.
    pictures : tuple of Path
        Files to calibrate int8 with.
    any_scale : int, optional
        Of a network that renders any scale, the one that the file shall have.
    """

    model: Model
    form: str = "whole"
    size: tuple[int, int] | None = None
    precision: str = "float32"
    opset: int = 18
    pictures: tuple[Path, ...] = ()
    any_scale: int | None = None

    @property
    def scale(self) -> int:
        """Output pixels per pixel of the image, along each axis."""
        return self.model.scale if self.any_scale is None else self.any_scale

    def network(self, layers: Layers = PORTABLE) -> Whole | Regions:
        """Return the module to convert, see `replaced`."""
        return MODULES[self.form](replaced(self.model.network, layers), self.scale)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names, in the order of the module's arguments."""
        return MODULES[self.form].inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names, in the order of what the module returns."""
        return MODULES[self.form].outputs

    def dimensions(self, height: Any, width: Any) -> dict[str, tuple[Any, ...]]:
        """Return the shape of each input and output for an image of that size; names of sizes will do."""
        rows, scale = self.means, self.scale
        larger = [f"{scale}*{n}" if isinstance(n, str) else scale * n for n in (height, width)]
        known = {
            "image": (1, 3, height, width),
            "means": rows,
            "interior": (1, 1, height, width),
            "upscaled": (1, 3, *larger),
            "found": rows,
        }
        return {name: known[name] for name in (*self.inputs, *self.outputs)}

    @property
    def means(self) -> tuple[int, int]:
        """Rows (one for each ConvAttn) and columns (P) of the means."""
        config = self.model.config
        return config.n_blocks * config.conv_blocks, config.pdim

    @property
    def window(self) -> int:
        """Edge of an attention window in pixels of the image; crops start on multiples of it."""
        return self.model.config.window_size * self.model.config.unshuffle

    @cached_property
    def reach(self) -> int:
        """How far from a cut border, in pixels of the image, pixels are not yet those of the whole; whole windows."""
        return reach_of(self.model.network)

    def working_bytes(self, checked: bool) -> int:
        """Return about how many bytes making the file takes, and running it if it is checked.

        Measured with networks of 8, 29 and 68 steps: 100, 185 and 799 MiB, of which libraries take most of the first.
        """
        network, window = self.model.network, self.window
        height, width = self.size or (CHECKED[0] * window, CHECKED[1] * window)
        geometry = network.geometry(height, width)
        rows, columns = geometry.grid
        graph = GRAPH_BYTES * len(network.program(geometry).steps)
        # What a window's pixels find of each other stands beside its softmax: this is no kernel that keeps a row.
        attention = 2 * 4 * rows * columns * self.model.config.num_heads * self.model.config.window_size**2
        return graph + (attention if checked else 0)

    def example(self, height: int, width: int) -> dict[str, Tensor]:
        """Return inputs to trace the module with, or to try a file: random, but always the same."""
        random = torch.Generator().manual_seed(0)
        shapes = self.dimensions(height, width)
        known = {"image": torch.rand(shapes["image"], generator=random)}
        if self.form == "regions":
            known["means"] = torch.randn(self.means, generator=random) / 4
            interior = torch.zeros(shapes["interior"])
            interior[:, :, height // 4 :, : width - width // 4] = 1
            known["interior"] = interior
        return known

    def facts(self) -> dict[str, str]:
        """Return what a file says about itself."""
        model, (layers, channels) = self.model, self.means
        known = {key: value for key, value in model.card.items() if isinstance(value, str)}
        return known | {
            "name": model.name,
            "scale": str(self.scale),
            "config": config_json(model.config),
            "sha256": model.sha256,
            "made_by": f"esc-plugin {__version__}",
            "form": self.form,
            "precision": self.precision,
            "window": str(self.window),
            "unshuffle": str(model.config.unshuffle),
            "reach": str(self.reach),
            "layers": str(layers),
            "channels": str(channels),
            "input": json.dumps({"layout": "NCHW", "channels": "RGB", "range": [0, 1]}),
        }


def reach_of(network: ESC) -> int:
    """Return how far a pixel of the output sees once the means are known, in pixels of the image, in whole windows.

    It is the largest distance between a pixel, wherever in its window it lies, and what the program's steps read for it.
    """
    config = network.config
    window = config.window_size
    edge = FAR * window
    geometry = network.geometry(edge * config.unshuffle, edge * config.unshuffle)
    program, far = network.program(geometry), 0
    for row in range(edge // 2, edge // 2 + window):
        wanted = Region(row, row, row + 1, row + 1)
        read = image_area(program, geometry, areas_for(program, geometry, wanted))
        far = max(far, row * config.unshuffle - read.top, read.bottom - (row + 1) * config.unshuffle)
    pixels = window * config.unshuffle
    return -(-far // pixels) * pixels
