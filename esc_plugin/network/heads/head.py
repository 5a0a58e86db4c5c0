"""What a head is: the module that makes pixels of features, and what the rest of the house must know of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..config import EscConfig
from ..grid import Geometry
from ..state_dict import Dialect, KeyCondition, State


class Head(nn.Module):
    """The last module of a network, its ``to_img``. The parameters carry the names that the trainers give them.

    ``forward(chunk, features)``, or ``forward(chunk, features, image)`` if `image_halo` is a number, makes
    (B, 3, h, w), the output region of the `Chunk`, of the features (B, C, h', w') and the image (B, 3, h'', w'') under
    the chunk's region grown by their halos. The image comes in `HeadKind.value_range` and the output leaves in it.

    Attributes
    ----------
    halo : int
        Feature pixels that it needs around a chunk.
    image_halo : int or None
        The same of the image; ``None``: it doesn't need the image.
    asks : int
        For a halo that depends on the data: about how many feature pixels it will ask for.
    values_per_pixel, cost : float
        Values alive at once and multiplications, per feature pixel.
    values_per_output_pixel, cost_per_output_pixel : float
        What comes on top of that per output pixel, where the scale isn't known beforehand.
    """

    halo: int
    image_halo: int | None = None
    asks: int = 0
    values_per_pixel: float
    cost: float
    values_per_output_pixel: float = 0.0
    cost_per_output_pixel: float = 0.0

    def halos(self, geometry: Geometry) -> tuple[int, int | None]:
        """Return `halo` and `image_halo`; a head for any scale looks further where it shrinks."""
        return self.halo, self.image_halo


def _accept(_: EscConfig) -> None:
    """Find nothing wrong."""


@dataclass(frozen=True)
class HeadKind:
    """What detection, programs, dialects, training and export must know of a head.

    Attributes
    ----------
    name : str
        Its `EscConfig.head`.
    keys : KeyCondition
        What the canonical state dict of a network with this head has, and one with any other head has not.
    read : callable
        ``read(state) -> dict``: the fields of `EscConfig` that the state dict tells, without ``head``. ``scale`` counts
        output pixels per feature pixel. A `KeyError` or `ValueError` says what can't be.
    make : callable
        ``make(config) -> Head``.
    check : callable
        ``check(config)`` raises a `ValueError` for what `make` can't build or `read` would take for something else.
    deep_skip : bool
        The image reaches the features by a learned branch (``skip.*``) too, so that it may be folded.
    any_scale : bool
        It renders any real scale, and no parameter depends on the scale.
    value_range : tuple of float
        What black and white are to the network. Everybody else says 0 and 1.
    rescale : callable, optional
        ``rescale(parameter, source, target) -> parameter`` for another scale, for trainings that begin with a network of
        another one.
    dialect : Dialect, optional
        What the programs that train it call its parameters, if not ``to_img.*`` as we do.
    """

    name: str
    keys: KeyCondition
    read: Callable[[State], dict[str, Any]]
    make: Callable[[EscConfig], Head]
    check: Callable[[EscConfig], None] = _accept
    deep_skip: bool = False
    any_scale: bool = False
    value_range: tuple[float, float] = (0.0, 1.0)
    rescale: Callable[[Tensor, int, int], Tensor] | None = None
    dialect: Dialect | None = None
